/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reduce.h - one node of the tree: many answers to a round become one.  Pure: no
 * I/O, no clock.
 *
 * A node has branches: the first is its own member, the others are the children that
 * it passes rounds on to.  Per round it says one thing to whoever is above:
 *
 *	all branches yes            ──▶ YES, the facts summed up
 *	the first no, lost branch   ──▶ NO at once, with the rank it is about
 *	time over                   ──▶ NO, the first silent branch's rank
 *
 * An abort cannot be refused: no is as good as yes, time over ends it with YES,
 * and a branch that is lost, that was silent in an earlier round, or that has
 * not answered when asked (reduce_late()) is to be bypassed: the caller gives
 * the abort to that child's children itself, which become branches of this node.
 * A branch that is lost or was silent counts as done then; one that is merely slow is
 * waited for.
 */
#ifndef FM_CUT_REDUCE_H
#define FM_CUT_REDUCE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/cut/lead.h"

#define CUT_ENTRY_MAX 4096u /* one member's entry in the manifest */

/* What is told with a yes, of all members below. Each field matters in one round, and is 0 in the others. */
struct cut_sum {
	uint64_t stopped_bytes;    /* arm: the largest guest that must be stopped to be copied */
	uint32_t drain_us;         /* drain: the longest */
	uint32_t drain_bound;      /* drain: how many members went on by the bound alone */
	int64_t first_ns, last_ns; /* cut: the earliest and the latest instant, CLOCK_REALTIME */
	char *entries;             /* commit: JSON objects with commas between, no NUL; owned */
	size_t entries_size;
};

/* part is left alone. -1: out of memory. */
int cut_sum_add(struct cut_sum *sum, const struct cut_sum *part);
void cut_sum_dispose(struct cut_sum *sum);

enum reduce_result { REDUCE_WAIT, REDUCE_YES, REDUCE_NO };

struct reduce_branch {
	unsigned rank;
	bool answered; /* in this round */
	bool lost;     /* cannot be reached any more */
	bool silent;   /* did not answer some round in time */
	bool late;     /* this abort */
	bool bypassed;
};

struct reduce {
	enum cut_round round;
	bool told; /* this round's answer has been given */
	struct reduce_branch *branches;
	unsigned count, room;
	unsigned left; /* not answered */
	unsigned blame_rank;
	struct cut_sum sum;
};

void reduce_init(struct reduce *r);
void reduce_dispose(struct reduce *r);
/* A branch, which has the running round still to answer. Its index, or -1 without memory. */
int reduce_add(struct reduce *r, unsigned rank);

/* A new round; what was not answered of the one before is forgotten. NO: a branch is lost already. */
enum reduce_result reduce_begin(struct reduce *r, enum cut_round round);
/* rank: whose no it is. sum: with a yes, may be NULL. Stale and second answers are no answers. */
enum reduce_result reduce_answer(struct reduce *r, unsigned branch, enum cut_round round, bool yes, unsigned rank,
				 const struct cut_sum *sum);
enum reduce_result reduce_lost(struct reduce *r, unsigned branch);
enum reduce_result reduce_time(struct reduce *r);
/* In an abort: whoever has not answered by now is to be bypassed. */
void reduce_late(struct reduce *r);
/* In an abort: the next branch to bypass, -1: none. Add its children, then ask reduce_result(). */
int reduce_bypass(struct reduce *r);
/* What is to be said by now, if it has not been said. */
enum reduce_result reduce_result(struct reduce *r);

#endif
