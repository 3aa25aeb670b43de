/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * read_job.c - from pfns to verified pages.
 *
 * Pages are copied out of their frames first and hashed where the caller will find them: what was verified is what is
 * handed out.
 */
#include "config.h"

#include "agent/store/pages/read_job.h"

#include <stdlib.h>
#include <string.h>

struct found {
	const struct pack *pack;
	uint32_t slot;
};

static int add_other(void *data, const uint8_t id[32], const struct pages_store *store)
{
	struct read_source *s = data;
	struct fm_error ignored;
	struct pack **bigger;
	struct pack *p;

	for (size_t i = 0; i < s->packs; i++)
		if (memcmp(s->pack[i]->id, id, 32) == 0)
			return 0;
	p = store_pack_open(store, id, true, &ignored);
	if (!p) /* damaged: not a place to look */
		return 0;
	bigger = realloc(s->other, (s->others + 1) * sizeof(*bigger));
	if (!bigger) {
		pack_close(p);
		return 0; /* then a page is not found, and that is told */
	}
	s->other = bigger;
	s->other[s->others++] = p;
	return 0;
}

struct others {
	struct read_source *source;
	const struct pages_store *store;
};

static int each_other(void *data, const uint8_t id[32])
{
	struct others *o = data;

	return add_other(o->source, id, o->store);
}

/* Does the map need a page that its pack has not any more? */
static bool any_absent(const struct read_source *s)
{
	const struct pages_map *m = s->map;

	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn);
		size_t p;

		if (ref < REF_FIRST)
			continue;
		p = map_pack_of(m, ref);
		if (s->pack[p]->location[ref - m->pack[p].base] == DISK_ABSENT)
			return true;
	}
	return false;
}

static int packs_open(struct read_source *s, const struct pages_store *store, struct fm_error *err)
{
	s->pack = calloc(s->map->packs + 1, sizeof(*s->pack));
	if (!s->pack)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (; s->packs < s->map->packs; s->packs++) {
		const struct map_pack *wanted = &s->map->pack[s->packs];
		struct pack *p = store_pack_open(store, wanted->id, true, err);

		if (!p)
			return -1;
		s->pack[s->packs] = p;
		if (p->slots != wanted->slots) {
			s->packs++;
			return fm_fail(err, FM_CORRUPT, "%s: it has %u slots, the map says %u", p->path, p->slots,
				       wanted->slots);
		}
	}
	return 0;
}

static size_t frame_bytes_max(const struct read_source *s)
{
	size_t pages = 1;

	for (size_t i = 0; i < s->packs + s->others; i++) {
		const struct pack *p = i < s->packs ? s->pack[i] : s->other[i - s->packs];

		for (uint32_t f = 0; f < p->frames; f++)
			pages = p->frame[f].pages > pages ? p->frame[f].pages : pages;
	}
	return pages * PAGES_SIZE;
}

int read_source_init(struct read_source *s, const struct pages_store *store, const struct pages_map *m,
		     size_t cache_bytes, unsigned threads, struct fm_error *err)
{
	struct others others = { s, store };
	size_t bytes, entries;

	memset(s, 0, sizeof(*s));
	s->map = m;
	if (packs_open(s, store, err) < 0)
		return -1;
	if (any_absent(s) && store_each_place(store, each_other, &others, NULL, err) < 0)
		return -1;
	bytes = frame_bytes_max(s);
	entries = cache_bytes / bytes;
	return cache_init(&s->cache, entries < 2 * threads ? 2 * threads : entries, bytes, err);
}

void read_source_dispose(struct read_source *s)
{
	for (size_t i = 0; i < s->packs; i++)
		pack_close(s->pack[i]);
	for (size_t i = 0; i < s->others; i++)
		pack_close(s->other[i]);
	free(s->pack);
	free(s->other);
	if (s->cache.entry)
		cache_dispose(&s->cache);
}

/* likely: the pack of the page before; what a pack has lost mostly lies together in another. NULL: none. */
static int locate(const struct read_source *s, uint64_t pfn, uint32_t ref, const struct pack *likely, struct found *found_r,
		  struct fm_error *err)
{
	long slot;
	size_t p = map_pack_of(s->map, ref);

	found_r->pack = s->pack[p];
	found_r->slot = ref - s->map->pack[p].base;
	if (found_r->pack->location[found_r->slot] != DISK_ABSENT)
		return 0;
	slot = likely ? pack_find(likely, s->pack[p]->hash[found_r->slot]) : -1;
	if (slot >= 0) {
		*found_r = (struct found){ likely, (uint32_t)slot };
		return 0;
	}
	for (size_t i = 0; i < s->packs + s->others; i++) {
		const struct pack *other = i < s->packs ? s->pack[i] : s->other[i - s->packs];

		slot = pack_find(other, s->pack[p]->hash[found_r->slot]);
		if (slot < 0)
			continue;
		*found_r = (struct found){ other, (uint32_t)slot };
		return 0;
	}
	return fm_fail(err, FM_CORRUPT, "%s: page %u (pfn %#llx) was removed from it, and no other pack has it",
		       found_r->pack->path, found_r->slot, (unsigned long long)pfn);
}

/* Copy one page; *held: the frame the last one was in. */
static int copy(struct read_source *s, const struct found *f, uint64_t pfn, struct cache_frame **held,
		struct pack_scratch *scratch, void *data_r, struct fm_error *err)
{
	uint32_t at = f->pack->location[f->slot], frame = DISK_LOCATION_FRAME(at);

	if (!*held || (*held)->pack != f->pack || (*held)->frame != frame) {
		cache_release(&s->cache, *held);
		*held = cache_hold(&s->cache, f->pack, frame, scratch, err);
		if (!*held)
			return fm_context(err, "page %u (pfn %#llx)", f->slot, (unsigned long long)pfn);
	}
	memcpy(data_r, (*held)->data + DISK_LOCATION_PLACE(at) * PAGES_SIZE, PAGES_SIZE);
	return 0;
}

/*
 * What its own pack has lost is read wherever it can be: a damaged pack keeps copies in its index that the good one, for
 * whose sake they were to go, has too.
 */
static int copy_any(struct read_source *s, struct found *f, uint64_t pfn, struct cache_frame **held,
		    struct pack_scratch *scratch, void *data_r, struct fm_error *err)
{
	size_t own = map_pack_of(s->map, map_get(s->map, pfn));
	const struct pack *first = f->pack;
	const uint8_t *hash = first->hash[f->slot];
	struct fm_error why, ignored;

	if (copy(s, f, pfn, held, scratch, data_r, &why) == 0)
		return 0;
	if (first == s->pack[own] || why.code != FM_CORRUPT) {
		*err = why;
		return -1;
	}
	for (size_t i = 0; i < s->packs + s->others; i++) {
		const struct pack *other = i < s->packs ? s->pack[i] : s->other[i - s->packs];
		long slot = other == first ? -1 : pack_find(other, hash);

		if (slot < 0)
			continue;
		*f = (struct found){ other, (uint32_t)slot };
		if (copy(s, f, pfn, held, scratch, data_r, &ignored) == 0)
			return 0;
	}
	*err = why;
	return -1;
}

static int verify(const struct read_job *j, const struct found *found, struct hasher *hasher, struct fm_error *err)
{
	const void *page[PAGES_BATCH];
	uint8_t hash[PAGES_BATCH][32];
	size_t at[PAGES_BATCH], count = 0;

	for (size_t i = 0; i < j->count; i++)
		if (found[i].pack) {
			page[count] = j->data + i * PAGES_SIZE;
			at[count++] = i;
		}
	if (hasher_pages(hasher, page, count, hash, err) < 0)
		return -1;
	for (size_t n = 0; n < count; n++) {
		const struct found *f = &found[at[n]];

		if (memcmp(hash[n], f->pack->hash[f->slot], 32) != 0)
			return fm_fail(err, FM_CORRUPT, "%s: frame %u: page %u (pfn %#llx) is damaged: its SHA-256 is wrong",
				       f->pack->path, DISK_LOCATION_FRAME(f->pack->location[f->slot]), f->slot,
				       (unsigned long long)j->pfn[at[n]]);
	}
	return 0;
}

static int run(struct read_source *s, struct read_job *j, struct hasher *hasher, struct pack_scratch *scratch,
	       struct fm_error *err)
{
	struct found found[PAGES_BATCH];
	struct cache_frame *held = NULL;
	const struct pack *last = NULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < j->count; i++) {
		unsigned char *data = j->data + i * PAGES_SIZE;
		uint32_t ref = map_get(s->map, j->pfn[i]);

		found[i].pack = NULL;
		if (j->page)
			j->page[i] = ref == REF_ZERO ? pages_zero : data;
		if (ref == REF_NONE) {
			rc = fm_fail(err, FM_NOT_FOUND, "there is no page with pfn %#llx",
				     (unsigned long long)j->pfn[i]);
		} else if (ref == REF_ZERO) {
			if (!j->page)
				memset(data, 0, PAGES_SIZE);
		} else {
			rc = locate(s, j->pfn[i], ref, last, &found[i], err);
			if (rc == 0)
				rc = copy_any(s, &found[i], j->pfn[i], &held, scratch, data, err);
			last = rc == 0 ? found[i].pack : last;
		}
	}
	cache_release(&s->cache, held);
	return rc < 0 ? -1 : verify(j, found, hasher, err);
}

void read_job_run(struct read_source *s, struct read_job *j, struct hasher *hasher, struct pack_scratch *scratch)
{
	j->err.code = FM_OK;
	if (run(s, j, hasher, scratch, &j->err) < 0 && j->err.code == FM_OK)
		j->err.code = FM_FAILED;
}
