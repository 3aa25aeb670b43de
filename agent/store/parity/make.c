/* SPDX-License-Identifier: GPL-2.0-or-later */
/* make.c - parity shards of data files; see parity.h. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

#include "agent/store/parity/code.h"
#include "agent/store/parity/parity.h"
#include "agent/store/parity/shard.h"
#include "common/hex.h"

struct make {
	const struct parity_spec *spec;
	const struct parity_source *source;
	const struct parity_sink *sink;
	unsigned ended; /* sinks before this one are committed or aborted */
	struct parity_meta meta;
	struct code code;
	struct code_plan plan;
	unsigned char *buffer[PARITY_SHARDS_MAX];
	uint64_t checksum[PARITY_SHARDS_MAX];
	struct digest *digest[PARITY_K_MAX];
	struct shard_writer writer[PARITY_M_MAX];
};

static int meta_of_data(struct make *m, unsigned i, struct fm_error *err)
{
	const struct parity_data *data = &m->spec->data[i];
	uint64_t size;

	if (!data->name || !meta_name_valid(data->name, strlen(data->name)))
		return fm_fail(err, FM_USAGE, "the name of data file %u is empty, longer than %u bytes, or has control characters",
			       i, PARITY_NAME_MAX);
	if (data->length > PARITY_LENGTH_MAX || data->offset > PARITY_LENGTH_MAX)
		return fm_fail(err, FM_USAGE, "%s: %llu bytes are more than it may have", data->name,
			       (unsigned long long)data->length);
	if (data->sha256 && meta_unhex(data->sha256, m->meta.data[i].sha256, 32, err) < 0)
		return fm_context(err, "%s: SHA-256", data->name);
	if (m->source[i].size(m->source[i].arg, &size, err) < 0)
		return -1;
	if (size != data->length)
		return fm_fail(err, FM_CORRUPT, "%s is %llu bytes long, not %llu", m->source[i].name,
			       (unsigned long long)size, (unsigned long long)data->length);
	strcpy(m->meta.data[i].name, data->name);
	m->meta.data[i].offset = data->offset;
	m->meta.data[i].length = data->length;
	if (data->length > m->meta.length)
		m->meta.length = data->length;
	return 0;
}

static int meta_of_spec(struct make *m, struct fm_error *err)
{
	const struct parity_spec *spec = m->spec;
	uint32_t stripe = spec->stripe ? spec->stripe : PARITY_STRIPE_DEFAULT;

	if (code_init(&m->code, spec->k, spec->m, err) < 0)
		return -1;
	if (!meta_stripe_valid(stripe))
		return fm_fail(err, FM_USAGE, "stripes of %u bytes: %u to %u, in steps of %u, are possible", stripe,
			       PARITY_STRIPE_MIN, PARITY_STRIPE_MAX, PARITY_STRIPE_MIN);
	m->meta.k = spec->k;
	m->meta.m = spec->m;
	m->meta.stripe = stripe;
	for (unsigned i = 0; i < spec->k; i++)
		if (meta_of_data(m, i, err) < 0)
			return -1;
	m->meta.stripes = meta_stripes(m->meta.length, stripe);
	if (getrandom(m->meta.id, sizeof(m->meta.id), 0) != (ssize_t)sizeof(m->meta.id))
		return fm_fail(err, FM_FAILED, "no random number for a set: %s", strerror(errno));
	return 0;
}

static int begin(struct make *m, struct fm_error *err)
{
	uint8_t number[PARITY_SHARDS_MAX];

	for (unsigned s = 0; s < m->meta.k + m->meta.m; s++) {
		number[s] = (uint8_t)s;
		m->buffer[s] = aligned_alloc(CODE_ALIGN, m->meta.stripe);
		if (!m->buffer[s])
			return fm_fail(err, FM_FAILED, "out of memory: %u stripes of %u bytes", m->meta.k + m->meta.m,
				       m->meta.stripe);
	}
	for (unsigned i = 0; i < m->meta.k; i++)
		if (!(m->digest[i] = digest_create(err)))
			return -1;
	for (unsigned i = 0; i < m->meta.m; i++)
		if (shard_writer_begin(&m->writer[i], &m->sink[i], &m->meta, m->meta.k + i, err) < 0)
			return -1;
	return code_plan(&m->code, number, number + m->meta.k, m->meta.m, &m->plan, err);
}

static void ahead(const struct make *m, uint64_t t)
{
	for (unsigned i = 0; i < m->meta.k && t < m->meta.stripes; i++) {
		const struct parity_source *source = &m->source[i];
		size_t size = meta_bytes(&m->meta, i, t);

		if (source->ahead && size > 0)
			source->ahead(source->arg, t * m->meta.stripe, size);
	}
}

static int stripe(struct make *m, uint64_t t, struct fm_error *err)
{
	const struct parity_meta *meta = &m->meta;
	size_t padded = meta_padded(meta, t);

	for (unsigned i = 0; i < meta->k; i++) {
		const struct parity_source *source = &m->source[i];
		size_t size = meta_bytes(meta, i, t);

		if (size > 0 && source->read(source->arg, t * meta->stripe, m->buffer[i], size, err) < 0)
			return -1;
		memset(m->buffer[i] + size, 0, padded - size);
		m->checksum[i] = XXH3_64bits(m->buffer[i], size);
		if (digest_add(m->digest[i], m->buffer[i], size, err) < 0)
			return -1;
	}
	ahead(m, t + 1);
	code_run(&m->plan, m->buffer, padded);
	for (unsigned s = meta->k; s < meta->k + meta->m; s++)
		m->checksum[s] = XXH3_64bits(m->buffer[s], meta_bytes(meta, s, t));
	for (unsigned i = 0; i < meta->m; i++)
		if (shard_writer_stripe(&m->writer[i], meta, t, m->checksum, m->buffer[meta->k + i], err) < 0)
			return -1;
	return 0;
}

/* What the data are, now that all was read; is it what was known? */
static int hashes(struct make *m, struct parity_made *made_r, struct fm_error *err)
{
	for (unsigned i = 0; i < m->meta.k; i++) {
		const char *known = m->spec->data[i].sha256;

		if (digest_so_far(m->digest[i], m->meta.data[i].sha256, err) < 0)
			return -1;
		fm_hex(m->meta.data[i].sha256, 32, made_r->data_sha256[i]);
		if (known && strcmp(known, made_r->data_sha256[i]) != 0)
			return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, not %.12s…",
				       m->source[i].name, made_r->data_sha256[i], known);
	}
	return 0;
}

static int finish(struct make *m, struct parity_made *made_r, struct fm_error *err)
{
	if (hashes(m, made_r, err) < 0)
		return -1;
	for (unsigned i = 0; i < m->meta.m; i++) {
		if (shard_writer_end(&m->writer[i], &m->meta, made_r->shard[i].sha256, NULL, err) < 0)
			return -1;
		made_r->shard[i].bytes = m->writer[i].bytes;
	}
	for (; m->ended < m->meta.m; m->ended++)
		if (m->sink[m->ended].commit(m->sink[m->ended].arg, err) < 0)
			return -1;
	fm_hex(m->meta.id, sizeof(m->meta.id), made_r->id);
	return 0;
}

static int run(struct make *m, const struct parity_pace *pace, struct parity_made *made_r, struct fm_error *err)
{
	if (meta_of_spec(m, err) < 0 || begin(m, err) < 0)
		return -1;
	for (uint64_t t = 0; t < m->meta.stripes; t++)
		if ((pace && pace->step(pace->arg, t * m->meta.stripe, m->meta.length, err) < 0) || stripe(m, t, err) < 0)
			return -1;
	return finish(m, made_r, err);
}

static void make_free(struct make *m)
{
	for (unsigned i = 0; i < PARITY_SHARDS_MAX; i++)
		free(m->buffer[i]);
	for (unsigned i = 0; i < PARITY_K_MAX; i++)
		digest_destroy(m->digest[i]);
	for (unsigned i = 0; i < PARITY_M_MAX; i++)
		shard_writer_dispose(&m->writer[i]);
	free(m);
}

int parity_make(const struct parity_spec *spec, const struct parity_source *source, const struct parity_sink *sink,
		const struct parity_pace *pace, struct parity_made *made_r, struct fm_error *err)
{
	struct make *m = calloc(1, sizeof(*m));
	unsigned ended = 0;
	int rc = -1;

	memset(made_r, 0, sizeof(*made_r));
	if (m) {
		m->spec = spec;
		m->source = source;
		m->sink = sink;
		rc = run(m, pace, made_r, err);
		ended = m->ended;
		make_free(m);
	} else {
		fm_fail(err, FM_FAILED, "out of memory");
	}
	for (unsigned i = ended; i < spec->m; i++)
		sink[i].abort(sink[i].arg);
	return rc;
}
