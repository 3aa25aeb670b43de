/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * claimed.h - pages of a map that other writers are storing just now (page store only).
 *
 * Such a page has a ref at once, out of ranges that stand for no pack; it is known by its hash alone. When the packs of
 * the others are there it is looked for in them, and the map's refs are replaced by those of the slots that were found:
 * a map on the disk names what is there, and nothing else. Memory: 44 to 48 bytes a page.
 */
#ifndef FM_STORE_PAGES_CLAIMED_H
#define FM_STORE_PAGES_CLAIMED_H

#include "agent/store/pages/map.h"
#include "agent/store/pages/store_private.h"

struct claimed {
	uint8_t (*hash)[32];
	uint32_t *ref;       /* of each, in the map */
	uint32_t count, room;
	uint32_t *table;     /* by hash: number + 1; open addressing, at most half full */
	uint32_t table_room; /* a power of two, or 0 */
	uint32_t range_left; /* refs of the last range that nobody has */
	/* from here on when they are looked for */
	bool looking;
	uint32_t found;
	struct claimed_at {
		uint32_t pack, slot; /* in the store; pack UINT32_MAX: not yet */
	} *at;
	uint8_t (*looked)[32]; /* ids of packs that were looked at already */
	size_t looks, looks_room;
	unsigned rounds;
};

/* The ref of that page, or REF_NONE. */
uint32_t claimed_find(const struct claimed *c, const uint8_t hash[32]);
/* One that is not in it yet. */
int claimed_add(struct claimed *c, struct pages_map *map, const uint8_t hash[32], struct fm_error *err);

/*
 * Look for those still missing in the packs there are. 1: all have been found, 0: not yet, -1. Known packs of the store
 * stay at their places, others are added as they are needed.
 */
int claimed_look(struct claimed *c, struct pages_store *s, struct fm_error *err);

/* All have been found: where the page of this ref is. False: it is no ref of these. */
bool claimed_place(const struct claimed *c, uint32_t ref, uint32_t *pack_r, uint32_t *slot_r);

uint64_t claimed_memory(const struct claimed *c);
void claimed_dispose(struct claimed *c);

#endif
