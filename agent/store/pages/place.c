/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.c - find a page by its hash, or give it a slot.
 *
 * Looked at in this order, cheapest and likeliest first: what this pfn was in the parent (one comparison), the pack
 * being written, the finished packs from the newest on.
 */
#include "config.h"

#include "agent/store/pages/place.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"
#include "common/io.h"

static int parent_packs_find(struct place *p, bool all, struct fm_error *err)
{
	p->parent_pack = calloc(p->parent->packs + 1, sizeof(*p->parent_pack));
	if (!p->parent_pack)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < p->parent->packs; i++) {
		const struct map_pack *had = &p->parent->pack[i];
		char hex[65];

		p->parent_pack[i] = store_index(p->store, had->id);
		if (p->parent_pack[i] >= 0 && p->store->pack[p->parent_pack[i]]->slots != had->slots)
			p->parent_pack[i] = -1;
		if (p->parent_pack[i] >= 0 || !all)
			continue;
		hash_hex(had->id, hex);
		return fm_fail(err, FM_CORRUPT, "%s/%s" PACK_SUFFIX ": the last snapshot needs it, and it is missing or damaged%s%s",
			       p->store->dir, hex, *p->store->found.damaged_text ? ": " : "",
			       p->store->found.damaged_text);
	}
	return 0;
}

static int bases_make(struct place *p, struct fm_error *err)
{
	uint32_t *bigger = realloc(p->base, (p->store->packs + 1) * sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	p->base = bigger;
	for (; p->bases < p->store->packs; p->bases++)
		p->base[p->bases] = 0;
	return 0;
}

static int inherit(struct place *p, struct fm_error *err);

int place_init(struct place *p, struct pages_store *s, const struct pages_writer_options *o, struct fm_error *err)
{
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	p->full_end = &p->full;
	p->store = s;
	p->parent = o->parent;
	p->frame_pages = o->frame_pages;
	p->pack_pages = o->pack_pages;
	p->map = map_create(s->job, err);
	if (!p->map || bases_make(p, err) < 0)
		return -1;
	if (!p->parent)
		return 0;
	if (p->parent->job != s->job)
		return fm_fail(err, FM_USAGE, "the parent is a snapshot of job %u, not %u", p->parent->job, s->job);
	if (parent_packs_find(p, o->inherit, err) < 0)
		return -1;
	return o->inherit ? inherit(p, err) : 0;
}

void frame_buffers_free(struct frame_buffer *f)
{
	while (f) {
		struct frame_buffer *next = f->next;

		free(f);
		f = next;
	}
}

void place_dispose(struct place *p)
{
	pack_writer_abort(p->pack);
	seen_dispose(&p->seen);
	frame_buffers_free(p->frame);
	frame_buffers_free(p->full);
	frame_buffers_free(p->idle);
	pthread_mutex_destroy(&p->lock);
	pages_map_close(p->map);
	claimed_dispose(&p->claimed);
	free(p->parent_pack);
	free(p->base);
}

static bool holds(const struct pack *pack, uint32_t slot, const uint8_t hash[32])
{
	return memcmp(pack->hash[slot], hash, 32) == 0 && pack->location[slot] != DISK_ABSENT;
}

/* The map's ref of a slot in one of the store's packs. */
static int known_ref(struct place *p, size_t index, uint32_t slot, uint32_t *ref_r, struct fm_error *err)
{
	if (p->base[index] == 0) {
		long at = map_pack_add(p->map, p->store->pack[index]->id, p->store->pack[index]->slots, err);

		if (at < 0)
			return -1;
		p->base[index] = p->map->pack[at].base;
	}
	*ref_r = p->base[index] + slot;
	return 0;
}

/* 1 found, 0 not, -1. */
static int find(struct place *p, uint64_t pfn, const uint8_t hash[32], uint32_t *ref_r, struct fm_error *err)
{
	uint32_t was = p->parent ? map_get(p->parent, pfn) : REF_NONE;
	long slot;

	if (was >= REF_FIRST) {
		size_t of = map_pack_of(p->parent, was);

		slot = was - p->parent->pack[of].base;
		if (p->parent_pack[of] >= 0 && holds(p->store->pack[p->parent_pack[of]], (uint32_t)slot, hash))
			return known_ref(p, (size_t)p->parent_pack[of], (uint32_t)slot, ref_r, err) < 0 ? -1 : 1;
	}
	slot = p->pack ? seen_find(&p->seen, p->pack, hash) : -1;
	if (slot >= 0) {
		*ref_r = p->map->pack[p->map_pack].base + (uint32_t)slot;
		return 1;
	}
	*ref_r = claimed_find(&p->claimed, hash);
	if (*ref_r != REF_NONE)
		return 1;
	for (size_t i = p->store->packs; i-- > 0;) {
		slot = pack_find(p->store->pack[i], hash);
		if (slot >= 0)
			return known_ref(p, i, (uint32_t)slot, ref_r, err) < 0 ? -1 : 1;
	}
	return 0;
}

static int open_all(void *data, const uint8_t id[32])
{
	struct pages_store *s = data;
	struct fm_error damaged;

	if (store_index(s, id) < 0)
		(void)store_add(s, id, &damaged); /* one that does not verify is not where a page is found */
	return 0;
}

/* The page is not in its pack any more: where is it? */
static int move(struct place *p, uint64_t pfn, const struct pack *from, uint32_t was, struct fm_error *err)
{
	for (bool all = false;; all = true) {
		uint32_t ref;

		for (size_t i = p->store->packs; i-- > 0;) {
			long slot = pack_find(p->store->pack[i], from->hash[was]);

			if (slot >= 0)
				return known_ref(p, i, (uint32_t)slot, &ref, err) < 0 ? -1 : map_set(p->map, pfn, ref, err);
		}
		if (all)
			return fm_fail(err, FM_CORRUPT, "%s: the last snapshot's page %u (pfn %#llx) was removed from it",
				       from->path, was, (unsigned long long)pfn);
		if (store_each(p->store->dir, open_all, p->store, NULL, err) < 0 || bases_make(p, err) < 0)
			return -1;
	}
}

/*
 * What is inherited is not looked at again, so it must be there: between the opening of the parent's map and our lock it
 * may have been removed, and swept. What another pack keeps by now is named there.
 */
static int inherited_check(struct place *p, struct fm_error *err)
{
	const struct pages_map *m = p->parent;

	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn), slot;
		const struct pack *pack;
		size_t of;

		if (ref < REF_FIRST)
			continue;
		of = map_pack_of(m, ref);
		slot = ref - m->pack[of].base;
		pack = p->store->pack[p->parent_pack[of]];
		if (pack->location[slot] == DISK_ABSENT && move(p, pfn, pack, slot, err) < 0)
			return -1;
	}
	return 0;
}

static int inherit(struct place *p, struct fm_error *err)
{
	if (map_inherit(p->map, p->parent, err) < 0)
		return -1;
	for (size_t i = 0; i < p->map->packs; i++)
		p->base[p->parent_pack[i]] = p->map->pack[i].base;
	return inherited_check(p, err);
}

int place_knows(struct place *p, uint64_t pfn, const uint8_t hash[32], struct fm_error *err)
{
	uint32_t ref;

	return find(p, pfn, hash, &ref, err);
}

int place_leave(struct place *p, const uint8_t hash[32], struct fm_error *err)
{
	return claimed_find(&p->claimed, hash) != REF_NONE ? 0 : claimed_add(&p->claimed, p->map, hash, err);
}

int place_settle(struct place *p, struct fm_error *err)
{
	int rc = claimed_look(&p->claimed, p->store, err);
	uint64_t at = 0;

	if (rc <= 0 || p->claimed.count == 0 || p->settled)
		return rc;
	if (bases_make(p, err) < 0)
		return -1;
	for (uint64_t pfn; (pfn = map_next(p->map, at)) < PAGES_PFN_END; at = pfn + 1) {
		uint32_t pack, slot, ref;

		if (!claimed_place(&p->claimed, map_get(p->map, pfn), &pack, &slot))
			continue;
		if (known_ref(p, pack, slot, &ref, err) < 0 || map_set(p->map, pfn, ref, err) < 0)
			return -1;
	}
	p->settled = true;
	/* Their names are durable, whoever gave them. */
	return fm_fsync_dir(p->store->dir, err) < 0 ? -1 : 1;
}

static int pack_begin(struct place *p, struct fm_error *err)
{
	static const uint8_t not_yet[32];

	p->map_pack = map_pack_add(p->map, not_yet, p->pack_pages, err);
	if (p->map_pack < 0)
		return -1;
	p->frames = 0;
	p->pack = pack_writer_create(p->store->dir, p->store->job, p->store->key, err);
	return p->pack ? 0 : -1;
}

static int frame_begin(struct place *p, struct fm_error *err)
{
	pthread_mutex_lock(&p->lock);
	p->frame = p->idle;
	if (p->frame)
		p->idle = p->frame->next;
	pthread_mutex_unlock(&p->lock);
	if (!p->frame)
		p->frame = malloc(sizeof(*p->frame) + p->frame_pages * PAGES_SIZE);
	if (!p->frame)
		return fm_fail(err, FM_FAILED, "out of memory");
	p->frame->next = NULL;
	p->frame->pages = 0;
	p->frame->number = p->frames++;
	return 0;
}

void place_give_frame(struct place *p, struct frame_buffer *f)
{
	pthread_mutex_lock(&p->lock);
	f->next = p->idle;
	p->idle = f;
	pthread_mutex_unlock(&p->lock);
}

void place_end_frame(struct place *p)
{
	if (!p->frame)
		return;
	*p->full_end = p->frame;
	p->full_end = &p->frame->next;
	p->frame = NULL;
}

static int store_new(struct place *p, const void *data, const uint8_t hash[32], uint32_t *ref_r, struct fm_error *err)
{
	struct frame_buffer *f;
	long slot;

	if (!p->pack && pack_begin(p, err) < 0)
		return -1;
	if (!p->frame && frame_begin(p, err) < 0)
		return -1;
	f = p->frame;
	slot = pack_writer_slot(p->pack, hash, DISK_LOCATION(f->number, f->pages), err);
	if (slot < 0 || seen_add(&p->seen, p->pack, (uint32_t)slot, err) < 0)
		return -1;
	memcpy(f->data + f->pages * PAGES_SIZE, data, PAGES_SIZE);
	if (++f->pages == p->frame_pages)
		place_end_frame(p);
	*ref_r = p->map->pack[p->map_pack].base + (uint32_t)slot;
	return 0;
}

int place_page(struct place *p, uint64_t pfn, const void *data, const uint8_t hash[32], struct fm_error *err)
{
	uint32_t ref;
	int found = find(p, pfn, hash, &ref, err);

	if (found < 0 || (!found && store_new(p, data, hash, &ref, err) < 0))
		return -1;
	if (found)
		p->counts.known++;
	else
		p->counts.stored++;
	return map_set(p->map, pfn, ref, err);
}

bool place_pack_full(const struct place *p)
{
	return p->pack && pack_writer_slots(p->pack) >= p->pack_pages;
}

struct frame_buffer *place_take_full(struct place *p)
{
	struct frame_buffer *full = p->full;

	p->full = NULL;
	p->full_end = &p->full;
	return full;
}

static void memory_note(struct place *p)
{
	uint64_t now = pages_map_memory(p->map) + p->bases * sizeof(*p->base) + claimed_memory(&p->claimed) +
		       (p->pack ? pack_writer_memory(p->pack) : 0) + p->seen.room * sizeof(*p->seen.slot);

	if (now > p->memory)
		p->memory = now;
}

int place_finish_pack(struct place *p, struct fm_error *err)
{
	struct map_pack *entry;
	uint64_t bytes;
	long index;

	memory_note(p);
	if (!p->pack)
		return 0;
	entry = &p->map->pack[p->map_pack];
	entry->slots = pack_writer_slots(p->pack);
	if (pack_writer_finish(p->pack, p->frames, entry->id, &bytes, err) < 0)
		return -1; /* others may be at its frames: place_dispose() takes it away */
	p->pack = NULL;
	seen_dispose(&p->seen);
	p->pack_bytes += bytes;
	/* What it has is looked up in the file from now on. The same pages may be known as another writer's pack. */
	index = store_index(p->store, entry->id);
	if (index < 0)
		index = store_add(p->store, entry->id, err);
	if (index < 0 || bases_make(p, err) < 0)
		return -1;
	if (p->base[index] == 0)
		p->base[index] = entry->base;
	return 0;
}
