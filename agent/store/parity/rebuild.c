/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rebuild.c - lost and damaged shards, made of others; see parity.h.
 *
 * Each stripe is a matter of its own: k right shards of it are looked for, data first, and give the rest. Where no parity
 * shard has a readable record of a stripe, its checksums are gone: then all data files, read as a whole and compared
 * with their SHA-256, do instead, and only parity can be wanted.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "agent/store/parity/code.h"
#include "agent/store/parity/group.h"
#include "agent/store/parity/parity.h"

struct rebuild {
	struct group group;
	const struct parity_sink *const *sink;
	unsigned ended; /* sinks before this one are committed or aborted */
	struct code code;
	struct code_plan plan; /* for the last stripe's source and target */
	uint8_t source[PARITY_K_MAX], target[PARITY_M_MAX];
	struct digest *digest[PARITY_K_MAX];
	struct shard_writer writer[PARITY_M_MAX];
};

/* Up to the last stripe in which anything is wanted. */
static uint64_t stripes_wanted(const struct rebuild *r)
{
	const struct parity_meta *meta = &r->group.meta;
	uint64_t stripes = 0;

	for (unsigned s = 0; s < meta->k + meta->m; s++) {
		uint64_t has = meta_stripes(s < meta->k ? meta->data[s].length : meta->length, meta->stripe);

		if (r->sink[s] && has > stripes)
			stripes = has;
	}
	return stripes;
}

static int begin(struct rebuild *r, struct fm_error *err)
{
	const struct parity_meta *meta = &r->group.meta;

	if (code_init(&r->code, meta->k, meta->m, err) < 0 || group_buffers(&r->group, err) < 0)
		return -1;
	for (unsigned s = 0; s < meta->k; s++)
		if (r->sink[s] && !(r->digest[s] = digest_create(err)))
			return -1;
	for (unsigned s = meta->k; s < meta->k + meta->m; s++)
		if (r->sink[s] && shard_writer_begin(&r->writer[s - meta->k], r->sink[s], meta, s, err) < 0)
			return -1;
	return 0;
}

/* k right shards of stripe t: source_r; right_r says of each shard whether it is one. */
static int gather(struct rebuild *r, uint64_t t, uint8_t *source_r, bool *right_r, struct fm_error *err)
{
	struct group *g = &r->group;
	unsigned n = g->meta.k + g->meta.m, found = 0;

	memset(right_r, 0, PARITY_SHARDS_MAX * sizeof(*right_r));
	group_checksums(g, t);
	/* Without checksums nothing can be said of parity. */
	for (unsigned s = 0; s < (g->known ? n : g->meta.k) && found < g->meta.k; s++) {
		bool unsure = !g->known && meta_bytes(&g->meta, s, t) > 0;

		if ((unsure && !group_confirm(g, s)) || !group_fetch(g, s, t))
			continue;
		right_r[s] = true;
		source_r[found++] = (uint8_t)s;
	}
	return found == g->meta.k ? 0 : group_too_many(g, t, right_r, err);
}

/* Into the buffers of the shards that are wanted, or all parity where checksums are to be made. */
static int calculate(struct rebuild *r, uint64_t t, const uint8_t *source, const bool *right, uint8_t *target_r,
		     unsigned *count_r, struct fm_error *err)
{
	const struct parity_meta *meta = &r->group.meta;
	unsigned count = 0;

	for (unsigned s = 0; s < meta->k + meta->m; s++)
		if (!right[s] && (r->sink[s] || !r->group.known))
			target_r[count++] = (uint8_t)s;
	*count_r = count;
	if (count == 0)
		return 0;
	if (r->plan.wanted != count || memcmp(r->source, source, meta->k) != 0 ||
	    memcmp(r->target, target_r, count) != 0) {
		if (code_plan(&r->code, source, target_r, count, &r->plan, err) < 0)
			return -1;
		memcpy(r->source, source, meta->k);
		memcpy(r->target, target_r, count);
	}
	code_run(&r->plan, r->group.buffer, meta_padded(meta, t));
	return 0;
}

static int check(struct rebuild *r, uint64_t t, const uint8_t *target, unsigned count, struct fm_error *err)
{
	struct group *g = &r->group;

	for (unsigned i = 0; i < count; i++) {
		unsigned s = target[i];

		if (g->known && XXH3_64bits(g->buffer[s], meta_bytes(&g->meta, s, t)) != g->checksum[s])
			return fm_fail(err, FM_CORRUPT, "%s: what was rebuilt of stripe %llu is not what it was: the set was made wrong",
				       group_name(g, s), (unsigned long long)t);
	}
	for (unsigned s = 0; !g->known && s < g->meta.k + g->meta.m; s++)
		g->checksum[s] = XXH3_64bits(g->buffer[s], meta_bytes(&g->meta, s, t));
	return 0;
}

static int hand_out(struct rebuild *r, uint64_t t, struct fm_error *err)
{
	struct group *g = &r->group;

	for (unsigned s = 0; s < g->meta.k; s++) {
		size_t size = meta_bytes(&g->meta, s, t);

		if (!r->sink[s] || size == 0)
			continue;
		if (digest_add(r->digest[s], g->buffer[s], size, err) < 0 ||
		    r->sink[s]->write(r->sink[s]->arg, g->buffer[s], size, err) < 0)
			return -1;
	}
	for (unsigned s = g->meta.k; s < g->meta.k + g->meta.m; s++)
		if (r->sink[s] && shard_writer_stripe(&r->writer[s - g->meta.k], &g->meta, t, g->checksum, g->buffer[s], err) < 0)
			return -1;
	return 0;
}

static int stripe(struct rebuild *r, uint64_t t, struct fm_error *err)
{
	uint8_t source[PARITY_K_MAX], target[PARITY_M_MAX];
	bool right[PARITY_SHARDS_MAX];
	unsigned count;

	if (gather(r, t, source, right, err) < 0)
		return -1;
	group_ahead(&r->group, t + 1);
	if (calculate(r, t, source, right, target, &count, err) < 0 || check(r, t, target, count, err) < 0)
		return -1;
	return hand_out(r, t, err);
}

static int finish(struct rebuild *r, struct fm_error *err)
{
	const struct parity_meta *meta = &r->group.meta;
	uint8_t sha256[32];
	char hex[65];

	for (unsigned s = 0; s < meta->k; s++) {
		if (!r->sink[s])
			continue;
		if (digest_so_far(r->digest[s], sha256, err) < 0)
			return -1;
		if (memcmp(sha256, meta->data[s].sha256, 32) != 0)
			return fm_fail(err, FM_CORRUPT, "%s: what was rebuilt does not have the SHA-256 that it had",
				       meta->data[s].name);
	}
	for (unsigned s = meta->k; s < meta->k + meta->m; s++)
		if (r->sink[s] && shard_writer_end(&r->writer[s - meta->k], meta, hex, NULL, err) < 0)
			return -1;
	for (; r->ended < meta->k + meta->m; r->ended++)
		if (r->sink[r->ended] && r->sink[r->ended]->commit(r->sink[r->ended]->arg, err) < 0)
			return -1;
	return 0;
}

static int run(struct rebuild *r, const struct parity_shards *shards, const struct parity_pace *pace,
	       struct parity_report *report_r, struct fm_error *err)
{
	uint64_t stripes, total;

	if (group_open(&r->group, shards, report_r, err) < 0 || begin(r, err) < 0)
		return -1;
	stripes = stripes_wanted(r);
	total = stripes * r->group.meta.stripe;
	for (uint64_t t = 0; t < stripes; t++)
		if ((pace && pace->step(pace->arg, t * r->group.meta.stripe, total, err) < 0) || stripe(r, t, err) < 0)
			return -1;
	return finish(r, err);
}

static void rebuild_free(struct rebuild *r)
{
	group_dispose(&r->group);
	for (unsigned i = 0; i < PARITY_K_MAX; i++)
		digest_destroy(r->digest[i]);
	for (unsigned i = 0; i < PARITY_M_MAX; i++)
		shard_writer_dispose(&r->writer[i]);
	free(r);
}

int parity_rebuild(const struct parity_shards *shards, const struct parity_sink *const *sink,
		   const struct parity_pace *pace, struct parity_report *report_r, struct fm_error *err)
{
	struct rebuild *r = calloc(1, sizeof(*r));
	unsigned ended = 0;
	int rc = -1;

	memset(report_r, 0, sizeof(*report_r));
	if (r) {
		r->sink = sink;
		rc = run(r, shards, pace, report_r, err);
		ended = r->ended;
		rebuild_free(r);
	} else {
		fm_fail(err, FM_FAILED, "out of memory");
	}
	for (unsigned s = ended; s < shards->k + shards->m; s++)
		if (sink[s])
			sink[s]->abort(sink[s]->arg);
	return rc;
}
