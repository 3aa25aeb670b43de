/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shape.h - the tree a cut's rounds go down: arithmetic on ranks, no state.
 *
 * Rank 0 is the root; the children of r are r·k+1 … r·k+k, as far as there are
 * members.  k, the arity, is at least 1.
 */
#ifndef FM_CUT_SHAPE_H
#define FM_CUT_SHAPE_H

#include <stdbool.h>

/* rank > 0 */
static inline unsigned shape_parent(unsigned rank, unsigned arity)
{
	return (rank - 1) / arity;
}

/* The children are first … first+count-1. */
static inline unsigned shape_children(unsigned rank, unsigned arity, unsigned members, unsigned *first_r)
{
	unsigned long long first = (unsigned long long)rank * arity + 1;

	*first_r = first < members ? (unsigned)first : members;
	return first >= members ? 0 : members - first < arity ? members - (unsigned)first : arity;
}

/* Levels below rank; a leaf has none. */
static inline unsigned shape_height(unsigned rank, unsigned arity, unsigned members)
{
	unsigned first, height = 0;

	while (shape_children(rank, arity, members, &first)) {
		rank = first; /* the leftmost branch is the deepest */
		height++;
	}
	return height;
}

/* Members in the branch of rank, itself included. */
static inline unsigned shape_size(unsigned rank, unsigned arity, unsigned members)
{
	unsigned long long first = rank, last = rank, size = 0;

	while (first < members) {
		size += (last < members ? last + 1 : members) - first;
		first = first * arity + 1;
		last = last * arity + arity;
	}
	return (unsigned)size;
}

static inline bool shape_above(unsigned above, unsigned rank, unsigned arity)
{
	while (rank > above)
		rank = shape_parent(rank, arity);
	return rank == above;
}

#endif
