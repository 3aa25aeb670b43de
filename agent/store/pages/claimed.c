/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * claimed.c - see claimed.h.
 *
 * A pack is looked at when its name is first seen. Only now and then all are looked at, and those that were known
 * before, too, as they are now: a pack that had lost pages may have been written again under the same name.
 *
 * An NFS client believes for up to a minute what it once read of a folder (acdirmax), unless it changes something there
 * and hears that others have, too: so its time is set before it is read again.
 */
#include "config.h"

#include "agent/store/pages/claimed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define ROOM_FIRST 1024u
#define ALL_ROUNDS 64u /* every so many looks */
#define FRESH_ROUNDS 8u
#define NOWHERE UINT32_MAX

static uint32_t start(const struct claimed *c, const uint8_t hash[32])
{
	uint32_t value;

	memcpy(&value, hash + 8, sizeof(value));
	return value & (c->table_room - 1);
}

/* Its number, or -1. */
static long find(const struct claimed *c, const uint8_t hash[32])
{
	if (!c->table_room)
		return -1;
	for (uint32_t i = start(c, hash); c->table[i]; i = (i + 1) & (c->table_room - 1))
		if (memcmp(c->hash[c->table[i] - 1], hash, 32) == 0)
			return (long)c->table[i] - 1;
	return -1;
}

uint32_t claimed_find(const struct claimed *c, const uint8_t hash[32])
{
	long n = find(c, hash);

	return n < 0 ? REF_NONE : c->ref[n];
}

static void insert(struct claimed *c, uint32_t n)
{
	uint32_t i = start(c, c->hash[n]);

	while (c->table[i])
		i = (i + 1) & (c->table_room - 1);
	c->table[i] = n + 1;
}

static int grow(struct claimed *c, struct fm_error *err)
{
	uint32_t room = c->room ? 2 * c->room : ROOM_FIRST;
	void *hash = realloc(c->hash, (size_t)room * sizeof(*c->hash));
	void *ref, *table;

	if (hash)
		c->hash = hash;
	ref = realloc(c->ref, (size_t)room * sizeof(*c->ref));
	if (ref)
		c->ref = ref;
	table = calloc(2 * (size_t)room, sizeof(*c->table));
	if (!hash || !ref || !table) {
		free(table);
		return fm_fail(err, FM_FAILED, "out of memory");
	}
	free(c->table);
	c->table = table;
	c->table_room = 2 * room;
	c->room = room;
	for (uint32_t i = 0; i < c->count; i++)
		insert(c, i);
	return 0;
}

int claimed_add(struct claimed *c, struct pages_map *map, const uint8_t hash[32], struct fm_error *err)
{
	static const uint8_t no_pack[32];
	uint32_t ref;

	if (c->count == c->room && grow(c, err) < 0)
		return -1;
	if (c->range_left == 0) {
		long at = map_pack_add(map, no_pack, PAGES_PACK_MAX, err);

		if (at < 0)
			return -1;
		c->range_left = PAGES_PACK_MAX;
		ref = map->pack[at].base;
	} else {
		ref = c->ref[c->count - 1] + 1;
	}
	c->range_left--;
	memcpy(c->hash[c->count], hash, 32);
	c->ref[c->count] = ref;
	insert(c, c->count++);
	return 0;
}

static void take(struct claimed *c, const struct pages_store *s, uint32_t pack)
{
	const struct pack *p = s->pack[pack];

	for (uint32_t n = 0; n < c->count; n++) {
		long slot = c->at[n].pack == NOWHERE ? pack_find(p, c->hash[n]) : -1;

		if (slot < 0)
			continue;
		c->at[n] = (struct claimed_at){ pack, (uint32_t)slot };
		c->found++;
	}
}

struct look {
	struct claimed *claimed;
	struct pages_store *store;
	bool all;
	struct fm_error *err;
};

static bool was_looked_at(const struct claimed *c, const uint8_t id[32])
{
	for (size_t i = 0; i < c->looks; i++)
		if (memcmp(c->looked[i], id, 32) == 0)
			return true;
	return false;
}

static int note(struct claimed *c, const uint8_t id[32], struct fm_error *err)
{
	if (c->looks == c->looks_room) {
		size_t room = c->looks_room ? 2 * c->looks_room : 64;
		void *bigger = realloc(c->looked, room * sizeof(*c->looked));

		if (!bigger)
			return fm_fail(err, FM_FAILED, "out of memory");
		c->looked = bigger;
		c->looks_room = room;
	}
	memcpy(c->looked[c->looks++], id, 32);
	return 0;
}

/* The pack as it is now; one that cannot be read is not where a page is found. Its index, or -1. */
static long pack_now(struct pages_store *s, const uint8_t id[32])
{
	long index = store_index(s, id);
	struct fm_error ignored;
	struct pack *p;

	if (index < 0)
		return store_add(s, id, &ignored);
	p = pack_open(s->dir, id, s->job, s->key, false, &ignored);
	if (!p)
		return -1;
	if (p->slots == s->pack[index]->slots && p->present > s->pack[index]->present) {
		struct pack *old = s->pack[index];

		s->pack[index] = p;
		p = old;
	}
	pack_close(p);
	return index;
}

static int look_at(void *data, const uint8_t id[32])
{
	struct look *l = data;
	struct claimed *c = l->claimed;
	bool looked = was_looked_at(c, id);
	long index;

	if (c->found == c->count || (looked && !l->all))
		return 0;
	if (!looked && note(c, id, l->err) < 0)
		return -1;
	index = pack_now(l->store, id);
	if (index >= 0)
		take(c, l->store, (uint32_t)index);
	return 0;
}

/* In what the writer knew it has looked already. */
static int note_old(void *data, const uint8_t id[32])
{
	struct look *l = data;

	return store_index(l->store, id) >= 0 ? note(l->claimed, id, l->err) : 0;
}

static int look_begin(struct look *l)
{
	struct claimed *c = l->claimed;

	c->looking = true;
	c->at = calloc((size_t)c->count + 1, sizeof(*c->at));
	if (!c->at)
		return fm_fail(l->err, FM_FAILED, "out of memory");
	for (uint32_t n = 0; n < c->count; n++)
		c->at[n].pack = NOWHERE;
	return store_each(l->store->dir, note_old, l, NULL, l->err);
}

int claimed_look(struct claimed *c, struct pages_store *s, struct fm_error *err)
{
	struct look l = { .claimed = c, .store = s, .err = err };

	if (c->found == c->count)
		return 1;
	if (!c->looking && look_begin(&l) < 0)
		return -1;
	l.all = ++c->rounds % ALL_ROUNDS == 0;
	if (c->rounds % FRESH_ROUNDS == 0)
		(void)utimensat(AT_FDCWD, s->dir, NULL, 0);
	if (store_each(s->dir, look_at, &l, NULL, err) < 0)
		return -1;
	return c->found == c->count;
}

bool claimed_place(const struct claimed *c, uint32_t ref, uint32_t *pack_r, uint32_t *slot_r)
{
	uint32_t low = 0, high = c->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (c->ref[mid] < ref)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == c->count || c->ref[low] != ref)
		return false;
	*pack_r = c->at[low].pack;
	*slot_r = c->at[low].slot;
	return true;
}

uint64_t claimed_memory(const struct claimed *c)
{
	return (uint64_t)c->room * (sizeof(*c->hash) + sizeof(*c->ref)) + (uint64_t)c->table_room * sizeof(*c->table);
}

void claimed_dispose(struct claimed *c)
{
	free(c->hash);
	free(c->ref);
	free(c->table);
	free(c->at);
	free(c->looked);
	memset(c, 0, sizeof(*c));
}
