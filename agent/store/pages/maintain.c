/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * maintain.c - a finished pack verified, or written anew: the pass behind the hot one.
 *
 * A pack written anew keeps its id, its slots and their hashes; so whoever refers to it need not know. What it need
 * not keep becomes absent: its hash stays, its bytes go.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/pack_write.h"
#include "agent/store/pages/needed_private.h"
#include "common/cleanup.h"

/* A pack read from its first frame to its last. */
struct walk {
	struct pack *pack;
	struct hasher hasher;
	struct pack_scratch scratch;
	uint32_t *slot; /* at frame × PAGES_FRAME_MAX + place: which slot that is, plus 1; 0: none */
	unsigned char *data;
	uint64_t pages;
};

static void walk_end(struct walk *w)
{
	hasher_dispose(&w->hasher);
	pack_scratch_dispose(&w->scratch);
	free(w->slot);
	free(w->data);
	pack_close(w->pack);
}

static int walk_begin(struct walk *w, const struct pages_store *s, const char *hex, struct fm_error *err)
{
	uint8_t id[32];

	memset(w, 0, sizeof(*w));
	if (!hash_parse(hex, id))
		return fm_fail(err, FM_USAGE, "%.70s is not the id of a pack", hex);
	w->pack = pack_open(s->dir, id, s->job, s->key, true, err);
	if (!w->pack || hasher_init(&w->hasher, NULL, s->key, err) < 0 || pack_scratch_init(&w->scratch, err) < 0)
		return -1;
	w->data = malloc(PAGES_FRAME_MAX * PAGES_SIZE);
	w->slot = calloc((size_t)w->pack->frames * PAGES_FRAME_MAX + 1, sizeof(*w->slot));
	if (!w->data || !w->slot)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (uint32_t i = 0; i < w->pack->slots; i++) {
		uint32_t at = w->pack->location[i];

		if (at != DISK_ABSENT)
			w->slot[DISK_LOCATION_FRAME(at) * PAGES_FRAME_MAX + DISK_LOCATION_PLACE(at)] = i + 1;
	}
	return 0;
}

/* Frame f to w->data, each page compared with its hash. */
static int walk_frame(struct walk *w, uint32_t f, struct fm_error *err)
{
	const uint32_t *slot = w->slot + (size_t)f * PAGES_FRAME_MAX;
	const void *page[PAGES_FRAME_MAX];
	uint8_t hash[PAGES_FRAME_MAX][32];
	unsigned pages = w->pack->frame[f].pages;

	if (pack_frame_read(w->pack, f, &w->scratch, w->data, err) < 0)
		return -1;
	for (unsigned i = 0; i < pages; i++)
		page[i] = w->data + i * PAGES_SIZE;
	if (hasher_pages(&w->hasher, page, pages, hash, err) < 0)
		return -1;
	for (unsigned i = 0; i < pages; i++)
		if (!slot[i] || memcmp(hash[i], w->pack->hash[slot[i] - 1], 32) != 0)
			return fm_fail(err, FM_CORRUPT, "%s: frame %u: page %u is damaged: its SHA-256 is wrong",
				       w->pack->path, f, slot[i] ? slot[i] - 1 : i);
	w->pages += pages;
	return 0;
}

int pack_check_slots(struct pages_store *s, const struct pack *p, const uint8_t *bits, struct fm_error *err)
{
	FM_AUTO_FREE bool *wanted = calloc((size_t)p->frames + 1, sizeof(*wanted));
	struct walk w = { 0 };
	char hex[65];
	int rc;

	if (!wanted)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (uint32_t i = 0; i < p->slots; i++)
		if (bits[i / 8] & 1u << i % 8 && p->location[i] != DISK_ABSENT)
			wanted[DISK_LOCATION_FRAME(p->location[i])] = true;
	hash_hex(p->id, hex);
	rc = walk_begin(&w, s, hex, err);
	for (uint32_t f = 0; rc == 0 && f < w.pack->frames; f++) {
		if (pages_sweep_wanted(s))
			rc = fm_fail(err, FM_BUSY, "%s: a sweep gives way to a writer or a reader", s->dir);
		else if (f < p->frames && wanted[f])
			rc = walk_frame(&w, f, err);
	}
	walk_end(&w);
	return rc;
}

/* The order is derived; a wrong one would hide pages. The digest covers it, but not who wrote it. */
static int order_check(const struct pack *p, struct fm_error *err)
{
	for (uint32_t i = 1; i < p->slots; i++)
		if (memcmp(p->hash[p->order[i - 1].slot], p->hash[p->order[i].slot], 32) > 0)
			return fm_fail(err, FM_CORRUPT, "%s: its index is not in order", p->path);
	return 0;
}

int pages_pack_verify(struct pages_store *s, const char id[65], struct pages_verdict *verdict_r, struct fm_error *err)
{
	struct walk w;
	int rc = walk_begin(&w, s, id, err);

	memset(verdict_r, 0, sizeof(*verdict_r));
	if (rc == 0)
		rc = order_check(w.pack, err);
	for (uint32_t f = 0; rc == 0 && f < w.pack->frames; f++)
		rc = walk_frame(&w, f, err);
	if (rc == 0)
		*verdict_r = (struct pages_verdict){ .pages = w.pages, .frames = w.pack->frames, .bytes = w.pack->bytes };
	walk_end(&w);
	return rc;
}

/* What is being written from it. */
struct anew {
	struct pack_writer *writer;
	const struct pages_rewrite_options *o;
	struct pack_scratch scratch;
	unsigned frame_pages, filled;
	uint32_t frames;
	uint32_t *location; /* of each slot */
	unsigned char *data;
};

static int anew_flush(struct anew *a, struct fm_error *err)
{
	uint64_t bytes;

	if (a->filled == 0)
		return 0;
	if (pack_writer_frame(a->writer, a->frames, a->filled, a->data, a->o->codec, a->o->level ? a->o->level : 3,
			      &a->scratch, &bytes, err) < 0)
		return -1;
	a->frames++;
	a->filled = 0;
	return 0;
}

static int anew_frame(struct anew *a, const struct walk *w, uint32_t f, struct fm_error *err)
{
	for (unsigned i = 0; i < w->pack->frame[f].pages; i++) {
		uint32_t slot = w->slot[(size_t)f * PAGES_FRAME_MAX + i] - 1;

		if (a->o->keep && !(a->o->keep[slot / 8] & 1u << slot % 8))
			continue;
		memcpy(a->data + a->filled * PAGES_SIZE, w->data + i * PAGES_SIZE, PAGES_SIZE);
		a->location[slot] = DISK_LOCATION(a->frames, a->filled);
		if (++a->filled == a->frame_pages && anew_flush(a, err) < 0)
			return -1;
	}
	return 0;
}

static int anew_begin(struct anew *a, const struct pages_store *s, const struct pack *p,
		      const struct pages_rewrite_options *o, struct fm_error *err)
{
	memset(a, 0, sizeof(*a));
	if (o->keep && s->sweep_fd < 0)
		return fm_fail(err, FM_USAGE, "%s: pages are removed in a sweep only", s->dir);
	a->o = o;
	a->frame_pages = o->frame_pages ? o->frame_pages : PAGES_FRAME_MAX;
	if (a->frame_pages < PAGES_FRAME_MIN || a->frame_pages > PAGES_FRAME_MAX || o->codec > PAGES_ZSTD)
		return fm_fail(err, FM_USAGE, "options of a rewrite that are out of bounds");
	a->data = malloc(a->frame_pages * PAGES_SIZE);
	a->location = malloc(p->slots * sizeof(*a->location));
	if (!a->data || !a->location)
		return fm_fail(err, FM_FAILED, "out of memory");
	memset(a->location, 0xff, p->slots * sizeof(*a->location)); /* DISK_ABSENT */
	if (pack_scratch_init(&a->scratch, err) < 0)
		return -1;
	a->writer = pack_writer_create(s->dir, s->job, s->key, err);
	return a->writer ? 0 : -1;
}

static int anew_finish(struct anew *a, const struct pack *p, uint64_t *bytes_r, struct fm_error *err)
{
	uint8_t id[32];

	if (anew_flush(a, err) < 0)
		return -1;
	for (uint32_t i = 0; i < p->slots; i++)
		if (pack_writer_slot(a->writer, p->hash[i], a->location[i], err) < 0)
			return -1;
	/* Same job, same hashes: the same id, and so the same name. */
	if (pack_writer_finish(a->writer, a->frames, id, bytes_r, err) < 0)
		return -1;
	a->writer = NULL;
	return 0;
}

static void anew_end(struct anew *a)
{
	pack_writer_abort(a->writer);
	pack_scratch_dispose(&a->scratch);
	free(a->location);
	free(a->data);
}

int pages_pack_rewrite(struct pages_store *s, const char id[65], const struct pages_rewrite_options *o,
		       uint64_t *before_r, uint64_t *after_r, struct fm_error *err)
{
	struct anew a = { 0 };
	struct walk w;
	int rc = walk_begin(&w, s, id, err);

	if (rc == 0)
		rc = anew_begin(&a, s, w.pack, o, err);
	for (uint32_t f = 0; rc == 0 && f < w.pack->frames; f++) {
		if (pages_sweep_wanted(s))
			rc = fm_fail(err, FM_BUSY, "%s: a sweep gives way to a writer or a reader", s->dir);
		else
			rc = walk_frame(&w, f, err);
		if (rc == 0)
			rc = anew_frame(&a, &w, f, err);
	}
	if (rc == 0) {
		*before_r = w.pack->bytes;
		rc = anew_finish(&a, w.pack, after_r, err);
	}
	anew_end(&a);
	walk_end(&w);
	return rc;
}
