/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sets.h - which nodes of a job keep parity of which: pure, the same on every node.
 *
 * The nodes are divided into sets of at least k + m members, as many sets as that gives, of sizes that differ by one at
 * most. A set's g members stand in a ring. It has g codes; code c has its m parity shards on the members at places c …
 * c+m-1 of the ring, and its k data shards are of those at c+m … c+m+k-1 (all mod g). So what a member has to protect is
 * cut in k pieces (sets_piece()); piece p of it is data shard p of a code; it keeps parity m times, and works for one
 * code, that which begins at its place. Every member has the same to do, whatever g; any m nodes of a set may be lost.
 * k = 1, m = 1: each has the copy of the next in the ring.
 *
 * Racks: dealt to the sets in turn, rack by rack, so each set has of a rack as few as can be: all members of all
 * codes are in different racks exactly when no rack has more nodes than there are sets, and where the load is to be even
 * nothing else could do better: a rack with R nodes takes part R * (k + m) times in n codes, so R <= n / (k + m).
 * A node without a known rack counts as in a rack of its own.
 *
 * Fewer than k + m nodes: smaller codes, one set. One node: copies on nodes outside of the job, if any are named.
 */
#ifndef FM_STORE_PARITY_SETS_H
#define FM_STORE_PARITY_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define SETS_NODES_MAX 65536u
#define SETS_NOTES_MAX 3u

struct sets_node {
	const char *name; /* each once */
	const char *rack; /* NULL or "": not known */
};

struct sets_request {
	const struct sets_node *node; /* the job's, in any order: the result is the same */
	size_t nodes;
	const struct sets_node *spare; /* outside of it; only for a job of one node */
	size_t spares;
	unsigned k, m; /* what is wanted; 1 … PARITY_K_MAX, 1 … PARITY_M_MAX */
};

struct sets_set {
	unsigned k, m;       /* of its codes: less than wanted where nodes are few */
	unsigned members;    /* g, at least k + m */
	unsigned codes;      /* g; 1 where the copies are on spares, who have nothing to protect */
	unsigned rack_most;  /* the most members of one code that are in one rack; a rack may be lost while <= m */
	size_t first;        /* its members: sets.member[first …], in the ring's order */
};

struct sets {
	struct sets_set *set;
	size_t sets;     /* 0: nothing is protected; a note says why */
	size_t *member;  /* numbers of request.node; request.nodes + i: spare i */
	char note[SETS_NOTES_MAX][256]; /* what the owner should know; "" ends them */
};

/* FM_USAGE: no nodes, a name twice, k or m out of bounds. */
int sets_choose(const struct sets_request *request, struct sets *sets_r, struct fm_error *err);
void sets_dispose(struct sets *sets);

/* The place in the set's ring of shard s (data first) of code c. */
unsigned sets_place(const struct sets_set *set, unsigned c, unsigned s);
/* The code of which piece p (0 … k-1) of the member at this place is data shard p; UINT_MAX where it has none. */
unsigned sets_code(const struct sets_set *set, unsigned place, unsigned p);

/* Piece p of k of what a member has to protect, `length` bytes: multiples of 4096 but for the end; may be empty. */
void sets_piece(uint64_t length, unsigned k, unsigned p, uint64_t *offset_r, uint64_t *length_r);

#endif
