/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pfn_table.h - what a fold knows of each pfn (xenstream only).
 *
 * Leaves of PFN_LEAF pfns (2 MiB of a guest), found by a hash; a pfn costs 9 bytes where any of its leaf
 * was put in.  Memory is bounded by the caller's number of leaves.
 */
#ifndef FM_XENSTREAM_PFN_TABLE_H
#define FM_XENSTREAM_PFN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PFN_LEAF_BITS 9
#define PFN_LEAF ((size_t)1 << PFN_LEAF_BITS)

/* A pfn's state: the type that came last, and that which gave it memory (with its last content, or XALLOC while it has none), in
 * four bits each. PFN_NONE: none has come. */
#define PFN_NONE 5u /* a reserved type */
#define PFN_STATE_NEW (PFN_NONE << 4 | PFN_NONE)

struct pfn_leaf {
	uint64_t number; /* the first pfn, shifted */
	uint8_t state[PFN_LEAF];
	uint64_t ref[PFN_LEAF]; /* the caller's name for the content */
};

struct pfn_table {
	struct pfn_leaf **slots; /* open addressing; a power of two */
	size_t size, used, most;
	struct pfn_leaf *last; /* found */
};

static inline unsigned pfn_last_type(uint8_t state)
{
	return state >> 4;
}

static inline unsigned pfn_memory_type(uint8_t state)
{
	return state & 15;
}

/* most: leaves. In place, no allocation. */
void pfn_table_init(struct pfn_table *t, size_t most);
void pfn_table_dispose(struct pfn_table *t);

/* NULL: not there. */
struct pfn_leaf *pfn_table_find(struct pfn_table *t, uint64_t pfn);
/* Made when it is not there. NULL: no memory, or `most` are there (*full_r). */
struct pfn_leaf *pfn_table_need(struct pfn_table *t, uint64_t pfn, bool *full_r);

/* All leaves by number, ascending; the caller frees the array, not the leaves. NULL: out of memory. */
struct pfn_leaf **pfn_table_sorted(const struct pfn_table *t);

#endif
