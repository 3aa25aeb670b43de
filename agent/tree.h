/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree.h - this agent's place in a snapshot's tree: a round comes from above, goes to
 * the own member (cutter.h) and to the children (link.h), and one answer goes up
 * (cut/reduce.h).
 *
 * The root is on the lead's agent, with the lead (snapshot.h) above it.  It
 * makes the snapshot's key; each child gets it in its first frame, in a MUNGE
 * credential for root, and passes it on so.  Every frame after that is proven by the
 * key alone, both ways.
 *
 * Deadlines: an order says within which time its answer is awaited; a node gives
 * its children TREE_HOP_MS less and itself half of that, so that the lowest node
 * above a silent one is the one that names it.
 *
 * The connection to the parent is the lead's life line: when it breaks, the
 * snapshot is aborted from here down.  Whom an abort cannot reach, or who has not
 * answered it within TREE_LATE_MS, is bypassed: its children get it from here.
 */
#ifndef FM_TREE_H
#define FM_TREE_H

#include "agent/cut/reduce.h"
#include "agent/job.h"
#include "agent/link.h"

#define TREE_HOP_MS 250
#define TREE_LATE_MS 1000

struct tree;

struct tree_answer {
	struct tree *tree;
	enum cut_round round;
	const struct fm_error *error; /* NULL: yes */
	unsigned rank;                /* whose the no is */
	const struct cut_sum *sum;
};

/* May be called from within tree_order(); may end the tree. */
typedef void (*tree_answered)(const struct tree_answer *answer, void *arg);

/* The root, for the lead. NULL with err. */
struct tree *tree_create(struct job *job, const struct fm_snapshot_id *id, tree_answered answered, void *arg,
			 struct fm_error *err);
/* A round, to all; one answer, unless another round takes its place. lease_ms: with CUT_GATE. within_ms: see above. */
void tree_order(struct tree *tree, enum cut_round round, int64_t within_ms, int64_t lease_ms);
/* What to ask for so that a member that needs `ms` can answer. */
int64_t tree_within_ms(const struct tree *tree, int64_t ms);
/* The snapshot is over: everybody below forgets it. NULL is fine. */
void tree_end(struct tree *tree);

/* The job's record goes away: its member is no more, the node stays for its children's sake. */
void tree_forget_job(struct job *job);
/* The agent ends. */
void trees_free(struct agent *agent);

extern const struct link_events tree_link_events;

#endif
