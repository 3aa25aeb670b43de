/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group.c - see group.h. */
#include "config.h"

#include "agent/store/parity/group.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "agent/store/parity/code.h"
#include "common/cleanup.h"
#include "common/hex.h"

static bool not_again(const struct fm_error *err)
{
	return err->code == FM_NOT_FOUND || err->code == FM_DENIED || err->code == FM_TIMEOUT;
}

const char *group_name(const struct group *g, unsigned s)
{
	if (g->in->source[s])
		return g->in->source[s]->name;
	if (s >= g->in->k)
		return "a parity shard";
	return g->from ? g->meta.data[s].name : "a data file";
}

void group_note(struct group *g, unsigned s, const char *fmt, ...)
{
	va_list ap;

	g->report->shard[s].stripes++;
	if (g->report->shard[s].state != PARITY_WHOLE)
		return;
	g->report->shard[s].state = PARITY_DAMAGED;
	va_start(ap, fmt);
	vsnprintf(g->report->shard[s].text, sizeof(g->report->shard[s].text), fmt, ap);
	va_end(ap);
}

/* A source said no. */
static void note_error(struct group *g, unsigned s, const struct fm_error *why)
{
	group_note(g, s, "%s", why->text);
	if (not_again(why)) {
		g->usable[s] = false;
		g->report->shard[s].state = PARITY_LOST;
	}
}

static void note_lost(struct group *g, unsigned s)
{
	group_note(g, s, "%s (shard %u) is lost", group_name(g, s), s);
	g->report->shard[s].state = PARITY_LOST;
}

/* *why: the first shard that could not be used, and the reason. -1: not even tell what is meant. */
static int parity_open(struct group *g, unsigned s, struct fm_error *why, struct fm_error *err)
{
	const struct parity_shards *in = g->in;
	FM_AUTO_FREE struct parity_meta *meta = calloc(1, sizeof(*meta));
	struct fm_error error;

	if (!meta)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (shard_open(in->source[s], s, in->k, in->m, in->known ? in->known->id : in->id, meta,
		       g->file_sha256[s - in->k], &error) < 0) {
		note_error(g, s, &error);
		if (why->code == FM_OK)
			*why = error;
		return 0;
	}
	if (g->from && memcmp(meta->id, g->meta.id, sizeof(meta->id)) != 0)
		return fm_fail(err, FM_CORRUPT, "%s and %s are not of the same set, and which one is meant is not said",
			       g->from, in->source[s]->name);
	if (g->from && memcmp(meta, &g->meta, sizeof(*meta)) != 0) {
		group_note(g, s, "%s says something else of its set than %s", in->source[s]->name, g->from);
		return 0;
	}
	if (!g->from)
		g->meta = *meta;
	if (!g->from)
		g->from = in->source[s]->name;
	g->usable[s] = true;
	return 0;
}

static void data_open(struct group *g, unsigned s)
{
	const struct parity_source *source = g->in->source[s];
	uint64_t size;
	struct fm_error error;

	g->usable[s] = true;
	if (source->size(source->arg, &size, &error) < 0)
		note_error(g, s, &error);
	else if (size != g->meta.data[s].length)
		group_note(g, s, "%s is %llu bytes long, it had %llu", source->name, (unsigned long long)size,
			   (unsigned long long)g->meta.data[s].length);
}

/* What the caller knows of the set. */
static int meta_known(struct group *g, struct fm_error *err)
{
	const struct parity_about *known = g->in->known;
	struct parity_meta *meta = &g->meta;

	meta->k = g->in->k;
	meta->m = g->in->m;
	meta->stripe = known->stripe;
	if (meta_unhex(known->id, meta->id, sizeof(meta->id), err) < 0)
		return fm_context(err, "set's id");
	if (!meta_stripe_valid(known->stripe))
		return fm_fail(err, FM_USAGE, "set %s: stripes of %u bytes", known->id, known->stripe);
	for (unsigned i = 0; i < meta->k; i++) {
		const char *name = known->data[i].name;

		if (!name || !meta_name_valid(name, strlen(name)) || known->data[i].length > PARITY_LENGTH_MAX)
			return fm_fail(err, FM_USAGE, "set %s: data file %u has no valid name or length", known->id, i);
		if (meta_unhex(known->data[i].sha256, meta->data[i].sha256, 32, err) < 0)
			return fm_context(err, "%s: SHA-256", name);
		strcpy(meta->data[i].name, name);
		meta->data[i].offset = known->data[i].offset;
		meta->data[i].length = known->data[i].length;
		if (meta->length < meta->data[i].length)
			meta->length = meta->data[i].length;
	}
	meta->stripes = meta_stripes(meta->length, meta->stripe);
	g->from = "the set's manifest";
	return 0;
}

int group_open(struct group *g, const struct parity_shards *in, struct parity_report *report_r, struct fm_error *err)
{
	struct fm_error why = { .code = FM_OK, .text = "all are lost" };

	memset(g, 0, sizeof(*g));
	memset(report_r, 0, sizeof(*report_r));
	g->in = in;
	g->report = report_r;
	if (in->k < 1 || in->k > PARITY_K_MAX || in->m < 1 || in->m > PARITY_M_MAX)
		return fm_fail(err, FM_USAGE, "%u data and %u parity shards are no set", in->k, in->m);
	if (in->known && meta_known(g, err) < 0)
		return -1;
	for (unsigned s = in->k; s < in->k + in->m; s++) {
		if (!in->source[s])
			note_lost(g, s);
		else if (parity_open(g, s, &why, err) < 0)
			return -1;
	}
	for (unsigned s = 0; s < in->k; s++) {
		if (!in->source[s])
			note_lost(g, s);
		else if (g->from)
			data_open(g, s);
	}
	if (!g->from)
		return fm_fail(err, why.code == FM_INCOMPATIBLE ? FM_INCOMPATIBLE : FM_CORRUPT,
			       "no parity shard of set %s can be used, so nothing says what the others must be: %s",
			       in->id ? in->id : "(unknown)", why.text);
	return 0;
}

int group_buffers(struct group *g, struct fm_error *err)
{
	for (unsigned s = 0; s < g->meta.k + g->meta.m; s++) {
		g->buffer[s] = aligned_alloc(CODE_ALIGN, g->meta.stripe);
		if (!g->buffer[s])
			return fm_fail(err, FM_FAILED, "out of memory: %u stripes of %u bytes", g->meta.k + g->meta.m,
				       g->meta.stripe);
	}
	return 0;
}

void group_dispose(struct group *g)
{
	for (unsigned s = 0; s < PARITY_SHARDS_MAX; s++) {
		free(g->buffer[s]);
		g->buffer[s] = NULL;
	}
}

void group_checksums(struct group *g, uint64_t t)
{
	g->known = false;
	for (unsigned s = g->meta.k; s < g->meta.k + g->meta.m && !g->known; s++) {
		struct fm_error error;

		if (!g->usable[s])
			continue;
		if (shard_checksums(g->in->source[s], &g->meta, s, t, g->checksum, &error) == 0)
			g->known = true;
		else
			note_error(g, s, &error);
	}
}

void group_ahead(const struct group *g, uint64_t t)
{
	for (unsigned s = 0; s < g->meta.k + g->meta.m; s++) {
		const struct parity_source *source = g->in->source[s];
		size_t size = t < g->meta.stripes ? meta_bytes(&g->meta, s, t) : 0;

		if (!g->usable[s] || !source->ahead || size == 0)
			continue;
		if (s < g->meta.k)
			source->ahead(source->arg, t * g->meta.stripe, size);
		else
			source->ahead(source->arg, shard_record_offset(&g->meta, t), shard_record_size(&g->meta) + size);
	}
}

bool group_fetch(struct group *g, unsigned s, uint64_t t)
{
	const struct parity_source *source = g->in->source[s];
	size_t size = meta_bytes(&g->meta, s, t), padded = meta_padded(&g->meta, t);
	uint64_t offset = t * g->meta.stripe;
	struct fm_error error;

	memset(g->buffer[s] + size, 0, padded - size);
	if (size == 0)
		return true;
	if (!g->usable[s])
		return false;
	if (s >= g->meta.k)
		offset = shard_record_offset(&g->meta, t) + shard_record_size(&g->meta);
	if (source->read(source->arg, offset, g->buffer[s], size, &error) < 0) {
		note_error(g, s, &error);
		return false;
	}
	if (g->known && XXH3_64bits(g->buffer[s], size) != g->checksum[s]) {
		group_note(g, s, "%s: stripe %llu is damaged", source->name, (unsigned long long)t);
		return false;
	}
	return true;
}

/* SHA-256 of what has the length it must have. */
static int data_sha256(struct group *g, unsigned s, struct digest *d, uint8_t sha256_r[32], struct fm_error *err)
{
	const struct parity_source *source = g->in->source[s];

	for (uint64_t t = 0; t < meta_stripes(g->meta.data[s].length, g->meta.stripe); t++) {
		size_t size = meta_bytes(&g->meta, s, t);

		if (source->read(source->arg, t * g->meta.stripe, g->buffer[s], size, err) < 0 ||
		    digest_add(d, g->buffer[s], size, err) < 0)
			return -1;
	}
	return digest_so_far(d, sha256_r, err);
}

bool group_confirm(struct group *g, unsigned s)
{
	struct fm_error error;
	uint8_t sha256[32];
	struct digest *d;

	if (g->confirmed[s] != 0 || !g->usable[s])
		return g->confirmed[s] > 0;
	g->confirmed[s] = -1;
	d = digest_create(&error);
	if (!d || data_sha256(g, s, d, sha256, &error) < 0)
		note_error(g, s, &error);
	else if (memcmp(sha256, g->meta.data[s].sha256, 32) != 0)
		group_note(g, s, "%s is damaged: its SHA-256 is not what it was", group_name(g, s));
	else
		g->confirmed[s] = 1;
	digest_destroy(d);
	return g->confirmed[s] > 0;
}

int group_too_many(const struct group *g, uint64_t t, const bool *right, struct fm_error *err)
{
	unsigned n = g->meta.k + g->meta.m, gone = 0;
	size_t used = 0;
	char list[600] = "", id[33];

	for (unsigned s = 0; s < n; s++) {
		if (right[s])
			continue;
		gone++;
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u: %.120s", *list ? "; " : "", s,
						 g->report->shard[s].text);
	}
	fm_hex(g->meta.id, sizeof(g->meta.id), id);
	return fm_fail(err, FM_CORRUPT, "set %s, stripe %llu: %u of %u shards are lost or damaged, %u can be rebuilt: %s",
		       id, (unsigned long long)t, gone, n, g->meta.m, list);
}
