/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources.c - the packs that a copy of a map must have: those it names, and those that have what these have lost. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/store_private.h"
#include "common/cleanup.h"

struct sources {
	const struct pages_store *store;
	const struct pages_map *map;
	struct pack **pack; /* the map's, in its order; then others */
	bool *used;         /* of each */
	size_t packs, room;
	struct fm_error *err;
};

int pages_store_hold(struct pages_store *s, int *fd_r, struct fm_error *err)
{
	struct store_locks locks;
	int rc = store_lock_to_read(s, &locks, err);

	*fd_r = fm_steal_fd(&locks.dir);
	store_unlock(&locks);
	return rc;
}

static int add(struct sources *s, struct pack *p)
{
	size_t room = s->packs == s->room ? 2 * s->room + 16 : s->room;
	struct pack **pack = reallocarray(s->pack, room, sizeof(*pack));
	bool *used = pack ? reallocarray(s->used, room, sizeof(*used)) : NULL;

	if (pack)
		s->pack = pack;
	if (used)
		s->used = used;
	if (!used) {
		pack_close(p);
		return fm_fail(s->err, FM_FAILED, "out of memory");
	}
	s->room = room;
	s->used[s->packs] = s->packs < s->map->packs;
	s->pack[s->packs++] = p;
	return 0;
}

static int open_named(struct sources *s)
{
	for (size_t i = 0; i < s->map->packs; i++) {
		const struct map_pack *wanted = &s->map->pack[i];
		struct pack *p = pack_open(s->store->dir, wanted->id, s->store->job, s->store->key, false, s->err);

		if (!p || add(s, p) < 0)
			return -1;
		if (p->slots != wanted->slots)
			return fm_fail(s->err, FM_CORRUPT, "%s: it has %u slots, the map says %u", p->path, p->slots,
				       wanted->slots);
	}
	return 0;
}

static int open_other(void *data, const uint8_t id[32])
{
	struct sources *s = data;
	struct fm_error ignored;
	struct pack *p;

	for (size_t i = 0; i < s->map->packs; i++)
		if (memcmp(s->map->pack[i].id, id, 32) == 0)
			return 0;
	p = pack_open(s->store->dir, id, s->store->job, s->store->key, false, &ignored);
	return p ? add(s, p) : 0; /* damaged: not a place to look */
}

/* A page that its own pack has lost: in one that is used already, if it can be. */
static int find_page(struct sources *s, const struct pack *lost, uint32_t slot)
{
	long other = -1;

	for (size_t i = 0; i < s->packs; i++) {
		if (pack_find(s->pack[i], lost->hash[slot]) < 0)
			continue;
		if (s->used[i])
			return 0;
		other = other < 0 ? (long)i : other;
	}
	if (other < 0)
		return fm_fail(s->err, FM_CORRUPT, "%s: page %u was removed from it, and no other pack has it", lost->path, slot);
	s->used[other] = true;
	return 0;
}

static int follow_absent(struct sources *s)
{
	const struct pages_map *m = s->map;
	bool opened = false;

	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn);
		size_t p;

		if (ref < REF_FIRST)
			continue;
		p = map_pack_of(m, ref);
		if (s->pack[p]->location[ref - m->pack[p].base] != DISK_ABSENT)
			continue;
		if (!opened && store_each(s->store->dir, open_other, s, NULL, s->err) < 0)
			return -1;
		opened = true;
		if (find_page(s, s->pack[p], ref - m->pack[p].base) < 0)
			return -1;
	}
	return 0;
}

static int tell(const struct sources *s, pages_source_fn each, void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->packs; i++) {
		struct pages_source source = { .named = i < s->map->packs, .bytes = s->pack[i]->bytes,
					       .present = s->pack[i]->present };

		if (!s->used[i])
			continue;
		hash_hex(s->pack[i]->id, source.id);
		rc = each(arg, &source, s->err);
	}
	return rc;
}

int pages_map_sources(struct pages_store *store, const struct pages_map *m, pages_source_fn each, void *arg,
		      struct fm_error *err)
{
	struct sources s = { .store = store, .map = m, .err = err };
	int rc = open_named(&s);

	if (rc == 0)
		rc = follow_absent(&s);
	if (rc == 0)
		rc = tell(&s, each, arg);
	for (size_t i = 0; i < s.packs; i++)
		pack_close(s.pack[i]);
	free(s.pack);
	free(s.used);
	return rc;
}
