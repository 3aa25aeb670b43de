/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parity_fixture.c - see parity_fixture.h. */
#include "config.h"

#include "tests/unit/parity_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t fixture_random(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

void fixture_bytes(unsigned char *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = seed % 4 == 3 && i / 512 % 2 ? 0 : fixture_random(&seed);

		memcpy(data + i, &word, size - i < 8 ? size - i : 8);
	}
}

static bool strikes(long *countdown)
{
	return *countdown > 0 && --*countdown == 0;
}

static int size_of(void *arg, uint64_t *size_r, struct fm_error *err)
{
	*size_r = ((struct memory *)arg)->size;
	return 0;
}

static int read_at(void *arg, uint64_t offset, void *data, size_t size, struct fm_error *err)
{
	struct memory *m = arg;

	m->reads++;
	if (strikes(&m->read_fails))
		return fm_fail(err, m->code, "%s: cannot be read (a test)", m->name);
	if (offset > m->size || size > m->size - offset)
		return fm_fail(err, FM_CORRUPT, "%s ends at %zu", m->name, m->size);
	memcpy(data, m->data + offset, size);
	m->largest = size > m->largest ? size : m->largest;
	m->read += size;
	return 0;
}

static void hint(void *arg, uint64_t offset, uint64_t size)
{
	((struct memory *)arg)->hinted += size;
}

static int append(void *arg, const void *data, size_t size, struct fm_error *err)
{
	struct memory *m = arg;

	assert_int_equal(m->commits + m->aborts, 0);
	if (strikes(&m->write_fails))
		return fm_fail(err, m->code, "%s: cannot be written (a test)", m->name);
	if (m->size + size > m->room) {
		m->room = 2 * (m->size + size);
		m->data = realloc(m->data, m->room);
		assert_non_null(m->data);
	}
	memcpy(m->data + m->size, data, size);
	m->size += size;
	m->largest = size > m->largest ? size : m->largest;
	return 0;
}

static int commit(void *arg, struct fm_error *err)
{
	struct memory *m = arg;

	if (m->commit_fails)
		return fm_fail(err, m->code, "%s: cannot be committed (a test)", m->name);
	m->commits++;
	return 0;
}

static void discard(void *arg)
{
	((struct memory *)arg)->aborts++;
}

struct parity_source memory_source(struct memory *m)
{
	return (struct parity_source){ m->name, size_of, read_at, hint, m };
}

struct parity_sink memory_sink(struct memory *m)
{
	return (struct parity_sink){ m->name, append, commit, discard, m };
}

void memory_set(struct memory *m, const void *data, size_t size)
{
	m->data = realloc(m->data, size + 1);
	assert_non_null(m->data);
	if (size > 0)
		memcpy(m->data, data, size);
	m->size = m->room = size;
}

void memory_dispose(struct memory *m)
{
	free(m->data);
	m->data = NULL;
}

void world_make(struct parity_world *w, unsigned k, unsigned m, uint32_t stripe, const size_t *length, uint64_t seed)
{
	struct parity_data data[PARITY_K_MAX];
	struct parity_source source[PARITY_K_MAX];
	struct parity_sink sink[PARITY_M_MAX];
	struct parity_spec spec = { k, m, stripe, data };
	struct fm_error err;

	memset(w, 0, sizeof(*w));
	w->k = k;
	w->m = m;
	w->stripe = stripe;
	for (unsigned i = 0; i < k + m; i++) {
		struct memory *shard = &w->shard[i];

		snprintf(shard->name, sizeof(shard->name), i < k ? "node%u/7.1/member-%u.map" : "node%u/7.1/%u.parity", i, i);
		if (i >= k) {
			sink[i - k] = memory_sink(shard);
			continue;
		}
		shard->data = malloc(length[i] + 8);
		assert_non_null(shard->data);
		shard->size = length[i];
		fixture_bytes(shard->data, length[i], seed * 1000 + i);
		source[i] = memory_source(shard);
		data[i] = (struct parity_data){ shard->name, 4096 * i, length[i], NULL };
	}
	assert_ok(parity_make(&spec, source, sink, NULL, &w->made, &err), err);
	for (unsigned i = 0; i < m; i++) {
		assert_int_equal(w->shard[k + i].commits, 1);
		assert_int_equal(w->shard[k + i].aborts, 0);
		assert_int_equal(w->made.shard[i].bytes, w->shard[k + i].size);
	}
}

void world_dispose(struct parity_world *w)
{
	for (unsigned i = 0; i < PARITY_SHARDS_MAX; i++)
		memory_dispose(&w->shard[i]);
}

void bit_set(uint64_t bits[2], unsigned i)
{
	bits[i / 64] |= (uint64_t)1 << i % 64;
}

bool bit_is(const uint64_t bits[2], unsigned i)
{
	return bits[i / 64] >> i % 64 & 1;
}

/* What a try has for sources; *shards_r points to both arrays. */
static void sources(const struct parity_world *w, const struct world_try *t, struct parity_source *source,
		    const struct parity_source **list, struct parity_shards *shards_r)
{
	static struct parity_about known;

	memcpy(known.id, w->made.id, sizeof(known.id));
	known.stripe = w->stripe;
	for (unsigned i = 0; i < w->k; i++) {
		known.data[i].name = (char *)w->shard[i].name;
		known.data[i].offset = 4096 * i;
		known.data[i].length = w->shard[i].size;
		memcpy(known.data[i].sha256, w->made.data_sha256[i], sizeof(known.data[i].sha256));
	}
	for (unsigned i = 0; i < w->k + w->m; i++) {
		source[i] = memory_source(t->other[i] ? t->other[i] : (struct memory *)&w->shard[i]);
		list[i] = bit_is(t->lost, i) ? NULL : &source[i];
	}
	*shards_r = (struct parity_shards){ w->k, w->m, t->any_id ? NULL : w->made.id, t->known ? &known : NULL, list };
}

int world_rebuild(const struct parity_world *w, const struct world_try *t, struct parity_report *report_r,
		  struct fm_error *err)
{
	struct parity_source source[PARITY_SHARDS_MAX];
	const struct parity_source *list[PARITY_SHARDS_MAX];
	struct memory result[PARITY_SHARDS_MAX] = { 0 };
	struct parity_sink sink[PARITY_SHARDS_MAX];
	const struct parity_sink *sinks[PARITY_SHARDS_MAX];
	struct parity_shards shards;
	int rc;

	sources(w, t, source, list, &shards);
	for (unsigned i = 0; i < w->k + w->m; i++) {
		snprintf(result[i].name, sizeof(result[i].name), "new-%u", i);
		sink[i] = memory_sink(&result[i]);
		sinks[i] = bit_is(t->wanted, i) ? &sink[i] : NULL;
	}
	rc = parity_rebuild(&shards, sinks, NULL, report_r, err);
	for (unsigned i = 0; i < w->k + w->m; i++) {
		const struct memory *is = &result[i], *was = &w->shard[i];

		assert_int_equal(is->commits + is->aborts, bit_is(t->wanted, i));
		if (rc == 0)
			assert_int_equal(is->aborts, 0);
		if (is->commits && (is->size != was->size || (is->size > 0 && memcmp(is->data, was->data, is->size) != 0)))
			fail_msg("shard %u of %u+%u was rebuilt wrong (%zu bytes, not %zu)", i, w->k, w->m, is->size,
				 was->size);
		memory_dispose(&result[i]);
	}
	if (rc < 0)
		assert_true(*err->text);
	return rc;
}

int world_verify(const struct parity_world *w, const struct world_try *t, struct parity_report *report_r,
		 bool *rebuildable_r, struct fm_error *err)
{
	struct parity_source source[PARITY_SHARDS_MAX];
	const struct parity_source *list[PARITY_SHARDS_MAX];
	struct parity_shards shards;

	sources(w, t, source, list, &shards);
	return parity_verify(&shards, NULL, report_r, rebuildable_r, err);
}
