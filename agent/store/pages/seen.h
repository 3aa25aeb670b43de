/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seen.h - which slot of the pack being written has a hash (page store only).
 *
 * Open addressing with linear probing (Knuth, TAOCP 6.4, algorithm L), at most two thirds full; a slot is 4 bytes: the
 * hash itself is the pack writer's. A page's SHA-256 is spread well enough to be its own hash value.
 */
#ifndef FM_STORE_PAGES_SEEN_H
#define FM_STORE_PAGES_SEEN_H

#include <stdint.h>

#include "agent/store/pages/pack_write.h"

struct seen {
	uint32_t *slot; /* slot + 1; 0: free */
	uint32_t room;  /* a power of two, or 0 */
	uint32_t count;
};

/* The slot in w, or -1. */
long seen_find(const struct seen *s, const struct pack_writer *w, const uint8_t hash[32]);
/* A slot of w that is not in it yet. */
int seen_add(struct seen *s, const struct pack_writer *w, uint32_t slot, struct fm_error *err);
/* Empty, and ready for another pack. */
void seen_dispose(struct seen *s);

#endif
