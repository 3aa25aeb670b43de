/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tree.c - see tree.h. What rounds and answers do here; as frames they are tree_link.c's. */
#include "config.h"

#include "agent/tree_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/cut/shape.h"
#include "agent/cutter.h"
#include "common/cleanup.h"

#define ORPHAN_MS 40000 /* for undoing what is below */

static void conclude(struct tree *tree, enum reduce_result result);

static const char *tag(const struct tree *tree)
{
	static char text[80];

	snprintf(text, sizeof(text), "job=%u member=%u snapshot=%u.%u", tree->id.job, tree->rank, tree->id.job, tree->id.n);
	return text;
}

/* ---- deadlines ----------------------------------------------------------------------- */

uint32_t tree_hop_ms(uint32_t within_ms)
{
	return within_ms / 4 < TREE_HOP_MS ? within_ms / 4 : TREE_HOP_MS;
}

int64_t tree_within_ms(const struct tree *tree, int64_t ms)
{
	return ms + TREE_HOP_MS * (int64_t)(shape_height(0, tree->arity, tree->members) + 1);
}

static void set_timer(struct tree *tree)
{
	uint64_t now = agent_now_ns(), left = tree->until_ns > now ? tree->until_ns - now : 0;
	struct timeval tv;

	if (tree->reduce.round == CUT_ABORT && left > TREE_LATE_MS * 1000000ull)
		left = TREE_LATE_MS * 1000000ull;
	tv = (struct timeval){ (time_t)(left / 1000000000u), (suseconds_t)(left % 1000000000u / 1000) };
	event_add(tree->timer, &tv);
}

/* ---- the branches -------------------------------------------------------------------- */

static int add_branch(struct tree *tree, unsigned rank)
{
	int i = reduce_add(&tree->reduce, rank);
	struct way *grown = i < 0 ? NULL : realloc(tree->ways, tree->reduce.room * sizeof(*grown));

	if (!grown)
		abort(); /* a half-known tree would be a half-aborted snapshot */
	tree->ways = grown;
	tree->ways[i] = (struct way){ .rank = rank };
	return i;
}

static void add_children(struct tree *tree, unsigned of)
{
	unsigned first, count = shape_children(of, tree->arity, tree->members, &first);

	for (unsigned i = 0; i < count; i++)
		add_branch(tree, first + i);
}

/* Ask one child; a way that is not there is a lost branch. */
static void order_branch(struct tree *tree, unsigned branch)
{
	struct fm_error err;
	enum reduce_result result;

	if (tree->reduce.branches[branch].lost || tree_send_order(tree, &tree->ways[branch], &err) == 0)
		return;
	result = reduce_lost(&tree->reduce, branch);
	if (result == REDUCE_NO) {
		tree->why = err;
		tree->result = result;
	}
}

/* Whom the abort cannot reach: his children get it from here. */
static enum reduce_result bypass(struct tree *tree)
{
	int branch;

	while ((branch = reduce_bypass(&tree->reduce)) >= 0) {
		unsigned from = tree->reduce.count;

		add_children(tree, tree->ways[branch].rank);
		if (tree->reduce.count > from)
			fm_warning("%s member %u is bypassed for the abort", tag(tree), tree->ways[branch].rank);
		for (unsigned i = from; i < tree->reduce.count; i++)
			order_branch(tree, i);
	}
	return reduce_result(&tree->reduce);
}

/* ---- the own member ------------------------------------------------------------------- */

static void on_own(enum cut_round round, const struct cut_sum *sum, const struct fm_error *error, void *arg)
{
	struct tree *tree = arg;
	enum reduce_result result = reduce_answer(&tree->reduce, 0, round, !error, tree->rank, sum);

	if (result == REDUCE_NO && error)
		tree->why = *error;
	if (result == REDUCE_WAIT)
		return;
	if (tree->busy)
		tree->result = result;
	else
		conclude(tree, result);
}

static void order_own(struct tree *tree, enum cut_round round)
{
	struct fm_error err;

	if (tree->job) {
		cutter_order(tree->job, &tree->id, round, tree->lease_ms, tree->key, on_own, tree);
		return;
	}
	fm_fail(&err, FM_FAILED, "the member has ended");
	on_own(round, NULL, round == CUT_ABORT ? NULL : &err, tree);
}

/* ---- a round --------------------------------------------------------------------------- */

void tree_order(struct tree *tree, enum cut_round round, int64_t within_ms, int64_t lease_ms)
{
	uint32_t own_ms;

	tree->within_ms = within_ms < 1 ? 1 : within_ms > INT32_MAX ? INT32_MAX : (uint32_t)within_ms;
	tree->lease_ms = lease_ms < 0 || lease_ms > INT32_MAX ? 0 : (uint32_t)lease_ms;
	own_ms = tree->within_ms - tree_hop_ms(tree->within_ms) / 2;
	tree->until_ns = agent_now_ns() + own_ms * 1000000ull;
	tree->why.code = FM_OK;
	tree->busy = true;
	tree->result = reduce_begin(&tree->reduce, round);
	if (tree->result == REDUCE_NO)
		fm_fail(&tree->why, FM_NOT_FOUND, "the connection to its agent is broken");
	set_timer(tree);
	for (unsigned i = 1, count = tree->reduce.count; tree->result == REDUCE_WAIT && i < count; i++)
		order_branch(tree, i);
	if (tree->result == REDUCE_WAIT)
		order_own(tree, round);
	if (round == CUT_ABORT && tree->result == REDUCE_WAIT)
		tree->result = bypass(tree);
	tree->busy = false;
	conclude(tree, tree->result);
}

/* Say it to whoever is above; the tree may be gone afterwards. */
static void conclude(struct tree *tree, enum reduce_result result)
{
	bool yes = result == REDUCE_YES;
	struct wire_answer answer = { .yes = yes, .rank = tree->reduce.blame_rank, .sum = tree->reduce.sum };

	if (result == REDUCE_WAIT)
		return;
	event_del(tree->timer);
	if (!yes && !tree->why.code)
		fm_fail(&tree->why, FM_FAILED, "it gave no reason");
	if (tree->answered) {
		struct fm_error why = tree->why;
		const struct tree_answer said = { .tree = tree, .round = tree->reduce.round,
						  .error = yes ? NULL : &why, .rank = tree->reduce.blame_rank, .sum = &tree->reduce.sum };

		tree->answered(&said, tree->arg);
	} else {
		answer.code = yes ? FM_OK : tree->why.code;
		if (!yes)
			snprintf(answer.text, sizeof(answer.text), "%s", tree->why.text);
		tree_send_answer(tree, &answer);
		if (!tree->up.link && tree->reduce.round == CUT_ABORT)
			tree_end(tree);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tree *tree = arg;
	enum reduce_result result;

	(void)fd, (void)what;
	if (tree->reduce.round == CUT_ABORT && agent_now_ns() < tree->until_ns) {
		reduce_late(&tree->reduce);
		set_timer(tree);
		conclude(tree, bypass(tree));
		return;
	}
	result = reduce_time(&tree->reduce);
	if (result == REDUCE_NO)
		fm_fail(&tree->why, FM_TIMEOUT, "no answer within %u ms", tree->within_ms);
	conclude(tree, result);
}

/* ---- from below ------------------------------------------------------------------------- */

void tree_child_said(struct tree *tree, unsigned branch, enum cut_round round, const struct wire_answer *answer)
{
	enum reduce_result result;

	result = reduce_answer(&tree->reduce, branch, round, answer->yes, answer->rank, &answer->sum);
	if (result == REDUCE_NO)
		fm_fail(&tree->why, answer->code, "%s", answer->text);
	conclude(tree, result);
}

void tree_child_lost(struct tree *tree, unsigned branch, const struct fm_error *error)
{
	enum reduce_result result = reduce_lost(&tree->reduce, branch);

	way_close(&tree->ways[branch]);
	if (result == REDUCE_NO)
		tree->why = *error;
	if (tree->reduce.round == CUT_ABORT && !tree->reduce.told)
		result = bypass(tree);
	conclude(tree, result);
}

void tree_orphaned(struct tree *tree, const struct fm_error *error)
{
	struct fm_error err = *error;

	way_close(&tree->up);
	if (tree->reduce.round == CUT_ABORT) {
		if (tree->reduce.told)
			tree_end(tree);
		return;
	}
	fm_context(&err, "the way to the lead is broken");
	if (tree->job)
		cutter_blame_for(tree->job, &tree->id, &err);
	tree_order(tree, CUT_ABORT, ORPHAN_MS, 0);
}

/* ---- a tree's life ----------------------------------------------------------------------- */

struct tree *tree_find(struct agent *agent, uint32_t job)
{
	for (struct tree *tree = agent->trees; tree; tree = tree->next)
		if (tree->id.job == job)
			return tree;
	return NULL;
}

struct tree *tree_new(struct agent *agent, struct job *job, const struct fm_snapshot_id *id, struct fm_error *err)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree || !(tree->timer = evtimer_new(agent->base, on_timer, tree))) {
		free(tree);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	tree->agent = agent;
	tree->job = job;
	tree->id = *id;
	tree->rank = job->rank;
	tree->members = job->spec.node_count;
	tree->arity = agent->conf.tree_arity;
	reduce_init(&tree->reduce);
	tree->next = agent->trees;
	agent->trees = tree;
	return tree;
}

void tree_free(struct tree *tree)
{
	for (struct tree **at = &tree->agent->trees; *at; at = &(*at)->next)
		if (*at == tree) {
			*at = tree->next;
			break;
		}
	if (tree->job)
		cutter_forget(tree->job, &tree->id);
	way_close(&tree->up);
	for (unsigned i = 0; i < tree->elder_count; i++)
		way_close(&tree->elders[i]);
	for (unsigned i = 1; i < tree->reduce.count; i++)
		way_close(&tree->ways[i]);
	free(tree->elders);
	reduce_dispose(&tree->reduce);
	event_free(tree->timer);
	explicit_bzero(tree->key, sizeof(tree->key));
	free(tree->ways);
	free(tree);
}

void tree_branch_out(struct tree *tree)
{
	add_branch(tree, tree->rank);
	add_children(tree, tree->rank);
}

struct tree *tree_create(struct job *job, const struct fm_snapshot_id *id, tree_answered answered, void *arg,
			 struct fm_error *err)
{
	struct tree *old = tree_find(job->agent, id->job), *tree;

	if (old)
		tree_free(old);
	tree = tree_new(job->agent, job, id, err);
	if (!tree)
		return NULL;
	if (getrandom(tree->key, sizeof(tree->key), 0) != (ssize_t)sizeof(tree->key)) {
		fm_fail(err, FM_FAILED, "no random numbers: %s", strerror(errno));
		tree_free(tree);
		return NULL;
	}
	tree->answered = answered;
	tree->arg = arg;
	tree_branch_out(tree);
	return tree;
}

void tree_end(struct tree *tree)
{
	if (!tree)
		return;
	for (unsigned i = 1; i < tree->reduce.count; i++)
		if (tree->ways[i].link)
			tree_send_end(tree, &tree->ways[i]);
	tree_free(tree);
}

void tree_forget_job(struct job *job)
{
	for (struct tree *tree = job->agent->trees; tree; tree = tree->next)
		if (tree->job == job)
			tree->job = NULL;
}

void trees_free(struct agent *agent)
{
	while (agent->trees)
		tree_free(agent->trees);
}
