/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tree_private.h - between tree.c (rounds, answers) and tree_link.c (frames). */
#ifndef FM_TREE_PRIVATE_H
#define FM_TREE_PRIVATE_H

#include "agent/cut/wire.h"
#include "agent/tree.h"

/* The way to one neighbour: NULL link when it is broken or was never there. */
struct way {
	struct link *link;
	unsigned rank;
	uint64_t sent, heard; /* numbers of frames */
};

struct tree {
	struct tree *next;
	struct agent *agent;
	struct job *job; /* NULL: has ended here */
	struct fm_snapshot_id id;
	unsigned rank, arity, members;
	uint8_t key[WIRE_KEY];
	/* Above: the lead, a parent, or nobody any more. */
	tree_answered answered;
	void *arg;
	struct way up;
	struct way *elders; /* bypassed parents, which may live and wait for the abort's answer, too */
	unsigned elder_count;
	/* Below: ways[i] belongs to reduce.branches[i]; ways[0], the own member, is not used. */
	struct reduce reduce;
	struct way *ways;
	struct event *timer;
	uint64_t until_ns; /* when this node has to answer */
	uint32_t within_ms, lease_ms;
	struct fm_error why; /* of the round's no */
	enum reduce_result result; /* found while busy */
	bool busy;
};

/* An abort is under way: who asks for one now gets its answer. */
static inline bool tree_aborting(const struct tree *tree)
{
	return tree->reduce.round == CUT_ABORT && !tree->reduce.told;
}

/* tree.c */
struct tree *tree_new(struct agent *agent, struct job *job, const struct fm_snapshot_id *id, struct fm_error *err);
/* Its branches, once its arity is known. */
void tree_branch_out(struct tree *tree);
void tree_free(struct tree *tree);
struct tree *tree_find(struct agent *agent, uint32_t job);
/* A child's answer, or its loss. */
void tree_child_said(struct tree *tree, unsigned branch, enum cut_round round, const struct wire_answer *answer);
void tree_child_lost(struct tree *tree, unsigned branch, const struct fm_error *error);
/* The way up is broken: abort from here down. */
void tree_orphaned(struct tree *tree, const struct fm_error *error);

/* What a child is given less than the node itself has. */
uint32_t tree_hop_ms(uint32_t within_ms);

/* tree_link.c */
/* The order that is under way, to a child; the first one opens the way. -1: there is no way. */
int tree_send_order(struct tree *tree, struct way *way, struct fm_error *err);
/* To the parent, and to those who were it. */
void tree_send_answer(struct tree *tree, const struct wire_answer *answer);
void tree_send_end(struct tree *tree, struct way *way);
void way_close(struct way *way);

#endif
