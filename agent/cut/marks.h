/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marks.h - whose markers a member has, in one snapshot, and what a marker says.  Pure.
 *
 *	0   4  job        4  4  n: the snapshot
 *	8   4  from      12  4  to: ranks
 *	16  16 the first half of the HMAC-SHA256, by the snapshot's key, over "fermata marker\n" and the bytes before it
 *
 * All numbers are big-endian.  Both ranks are in it, since a bridge may show a marker to others than it is for.
 */
#ifndef FM_CUT_MARKS_H
#define FM_CUT_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_SIZE 32
#define MARK_KEY 32

struct marks {
	uint32_t job, n;
	unsigned rank, members;
	uint8_t key[MARK_KEY];
	bool *seen;       /* by rank; our own is */
	unsigned missing; /* how many are not */
};

/* Of a group of so many, nobody's. -1: out of memory. */
int marks_init(struct marks *m, uint32_t job, uint32_t n, unsigned rank, unsigned members, const uint8_t key[MARK_KEY]);
void marks_dispose(struct marks *m);

/* Ours to a peer. */
int marks_make(const struct marks *m, unsigned to, uint8_t mark_r[MARK_SIZE]);

enum marks_result {
	MARKS_NEW,   /* from_r's, the first */
	MARKS_AGAIN, /* from_r's, another time */
	MARKS_FALSE, /* not one of this snapshot's to us, or nobody's who has the key */
};
enum marks_result marks_take(struct marks *m, const void *mark, size_t size, unsigned *from_r);

/* The lowest rank whose marker is missing; only where there is one. */
unsigned marks_first_missing(const struct marks *m);

#endif
