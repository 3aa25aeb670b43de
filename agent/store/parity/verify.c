/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify.c - all shards of a set, read from the first byte to the last; see parity.h.
 *
 * A shard's file is hashed as it must be, from what was verified of it: the SHA-256 at its end is then the last thing
 * that can be wrong.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/parity/group.h"
#include "agent/store/parity/parity.h"
#include "common/hex.h"

struct verify {
	struct group group;
	bool unknown; /* there was a stripe without checksums */
	bool too_many;
	struct digest *digest[PARITY_K_MAX];
	struct shard_writer writer[PARITY_M_MAX];
};

static int begin(struct verify *v, struct fm_error *err)
{
	const struct parity_meta *meta = &v->group.meta;

	if (group_buffers(&v->group, err) < 0)
		return -1;
	for (unsigned i = 0; i < meta->k; i++)
		if (!(v->digest[i] = digest_create(err)))
			return -1;
	for (unsigned i = 0; i < meta->m; i++)
		if (shard_writer_begin(&v->writer[i], NULL, meta, meta->k + i, err) < 0)
			return -1;
	return 0;
}

/* Each parity shard's own record, too: group_checksums() is content with the first. */
static bool record_right(struct verify *v, unsigned s, uint64_t t)
{
	struct group *g = &v->group;
	uint64_t checksum[PARITY_SHARDS_MAX];
	struct fm_error error;

	if (!g->usable[s])
		return false;
	if (shard_checksums(g->in->source[s], &g->meta, s, t, checksum, &error) < 0) {
		if (g->report->shard[s].state == PARITY_WHOLE)
			group_note(g, s, "%s", error.text);
		return false;
	}
	if (g->known && memcmp(checksum, g->checksum, (size_t)8 * (g->meta.k + g->meta.m)) != 0) {
		group_note(g, s, "%s has other checksums of stripe %llu than another shard", group_name(g, s),
			   (unsigned long long)t);
		return false;
	}
	return true;
}

static int stripe(struct verify *v, uint64_t t, struct fm_error *err)
{
	struct group *g = &v->group;
	const struct parity_meta *meta = &g->meta;
	unsigned wrong = 0;

	group_checksums(g, t);
	v->unknown |= !g->known;
	for (unsigned s = 0; s < meta->k + meta->m; s++) {
		bool record = s < meta->k || record_right(v, s, t), right = group_fetch(g, s, t);

		wrong += !right;
		if (!right || !record)
			continue;
		if (s < meta->k && digest_add(v->digest[s], g->buffer[s], meta_bytes(meta, s, t), err) < 0)
			return -1;
		if (s >= meta->k &&
		    shard_writer_stripe(&v->writer[s - meta->k], meta, t, g->checksum, g->buffer[s], err) < 0)
			return -1;
	}
	v->too_many |= wrong > meta->m;
	group_ahead(g, t + 1);
	return 0;
}

static int ends(struct verify *v, struct fm_error *err)
{
	struct group *g = &v->group;
	uint8_t sha256[32], inner[32];
	char hex[65];

	for (unsigned s = 0; s < g->meta.k; s++) {
		if (digest_so_far(v->digest[s], sha256, err) < 0)
			return -1;
		if (g->report->shard[s].state == PARITY_WHOLE && memcmp(sha256, g->meta.data[s].sha256, 32) != 0)
			group_note(g, s, "%s is damaged: its SHA-256 is not what it was", group_name(g, s));
		v->too_many |= v->unknown && g->report->shard[s].state != PARITY_WHOLE;
	}
	for (unsigned i = 0; i < g->meta.m; i++) {
		if (shard_writer_end(&v->writer[i], &g->meta, hex, inner, err) < 0)
			return -1;
		if (g->report->shard[g->meta.k + i].state == PARITY_WHOLE &&
		    memcmp(inner, g->file_sha256[i], sizeof(inner)) != 0)
			group_note(g, g->meta.k + i, "%s: the SHA-256 at its end is not that of the rest",
				   group_name(g, g->meta.k + i));
	}
	return 0;
}

static int run(struct verify *v, const struct parity_shards *shards, const struct parity_pace *pace,
	       struct parity_report *report_r, struct fm_error *err)
{
	const struct parity_meta *meta = &v->group.meta;

	if (group_open(&v->group, shards, report_r, err) < 0 || begin(v, err) < 0)
		return -1;
	for (uint64_t t = 0; t < meta->stripes; t++)
		if ((pace && pace->step(pace->arg, t * meta->stripe, meta->length, err) < 0) || stripe(v, t, err) < 0)
			return -1;
	return ends(v, err);
}

int parity_verify(const struct parity_shards *shards, const struct parity_pace *pace, struct parity_report *report_r,
		  bool *rebuildable_r, struct fm_error *err)
{
	struct verify *v = calloc(1, sizeof(*v));
	int rc;

	memset(report_r, 0, sizeof(*report_r));
	*rebuildable_r = false;
	if (!v)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = run(v, shards, pace, report_r, err);
	if (rc == 0)
		*rebuildable_r = !v->too_many;
	group_dispose(&v->group);
	for (unsigned i = 0; i < PARITY_K_MAX; i++)
		digest_destroy(v->digest[i]);
	for (unsigned i = 0; i < PARITY_M_MAX; i++)
		shard_writer_dispose(&v->writer[i]);
	free(v);
	return rc;
}

static int about_data(const struct parity_meta *meta, struct parity_about *about_r, struct fm_error *err)
{
	for (unsigned i = 0; i < meta->k; i++) {
		about_r->data[i].name = strdup(meta->data[i].name);
		if (!about_r->data[i].name)
			return fm_fail(err, FM_FAILED, "out of memory");
		about_r->data[i].offset = meta->data[i].offset;
		about_r->data[i].length = meta->data[i].length;
		fm_hex(meta->data[i].sha256, 32, about_r->data[i].sha256);
	}
	return 0;
}

int parity_about(const struct parity_shards *shards, struct parity_about *about_r, struct fm_error *err)
{
	struct parity_report *report = calloc(1, sizeof(*report));
	struct group *g = calloc(1, sizeof(*g));
	int rc = -1;

	memset(about_r, 0, sizeof(*about_r));
	if (!report || !g)
		fm_fail(err, FM_FAILED, "out of memory");
	else
		rc = group_open(g, shards, report, err);
	if (rc == 0) {
		fm_hex(g->meta.id, sizeof(g->meta.id), about_r->id);
		about_r->stripe = g->meta.stripe;
		rc = about_data(&g->meta, about_r, err);
	}
	if (rc < 0)
		parity_about_dispose(about_r, PARITY_K_MAX);
	free(g);
	free(report);
	return rc;
}

void parity_about_dispose(struct parity_about *about, unsigned k)
{
	for (unsigned i = 0; i < k; i++) {
		free(about->data[i].name);
		about->data[i].name = NULL;
	}
}
