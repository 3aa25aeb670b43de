/* SPDX-License-Identifier: GPL-2.0-or-later */
/* needed_private.h - what needed.c, the marks, and needed_once.c, of which one copy is enough, share; nobody else. */
#ifndef FM_STORE_PAGES_NEEDED_PRIVATE_H
#define FM_STORE_PAGES_NEEDED_PRIVATE_H

#include "agent/store/pages/store_private.h"

struct pages_needed {
	struct pages_store *store;
	uint8_t **bits; /* of each of the store's packs */
	bool *named;
	uint8_t (*damaged)[32]; /* ids of packs that do not verify */
	bool *damaged_named;
	size_t damages;
};

static inline bool needed_bit(const struct pages_needed *n, size_t pack, uint32_t slot)
{
	return n->bits[pack][slot / 8] & 1u << slot % 8;
}

/* Some of it is still compressed as in the hot path. */
bool needed_is_hot(const struct pack *p);

/* maintain.c: read what holds these slots (a bit each) and compare it with its hashes: pages_pack_rewrite()'s errors. */
int pack_check_slots(struct pages_store *s, const struct pack *p, const uint8_t *bits, struct fm_error *err);

#endif
