/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tree_link.c - see tree_private.h: a tree's rounds and answers as frames, and who may say what. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cut/shape.h"
#include "agent/tree_private.h"
#include "common/auth.h"
#include "common/cleanup.h"

void way_close(struct way *way)
{
	if (way->link)
		link_release(way->link);
	way->link = NULL;
}

/* ---- out --------------------------------------------------------------------------- */

static struct wire_frame frame_to(const struct tree *tree, enum wire_type type, struct way *way)
{
	return (struct wire_frame){
		.type = type, .round = tree->reduce.round, .job = tree->id.job, .n = tree->id.n,
		.from = tree->rank, .to = way->rank, .number = ++way->sent,
	};
}

/* The first frame to a child: a connection, and the key. */
static int way_open(struct tree *tree, struct way *way, struct wire_frame *frame, struct wire_order *order,
		    struct fm_error *err)
{
	char grant[WIRE_GRANT_MAX];

	if (!tree->job)
		return fm_fail(err, FM_FAILED, "the job has ended on %s", tree->agent->conf.node_name);
	if (way->sent)
		return fm_fail(err, FM_FAILED, "the connection to the agent of %s is broken",
			       tree->job->spec.nodes[way->rank]);
	*frame = frame_to(tree, WIRE_OPEN, way);
	wire_grant_format(grant, frame, tree->key);
	order->credential = fm_auth_seal(&tree->agent->conf, grant, err);
	explicit_bzero(grant, sizeof(grant));
	if (!order->credential)
		return -1;
	way->link = link_to(tree->agent->links, tree->job->spec.nodes[way->rank]);
	if (!way->link)
		return fm_fail(err, FM_FAILED, "out of memory");
	link_hold(way->link);
	link_allow(way->link, WIRE_ANSWER_MAX(shape_size(way->rank, tree->arity, tree->members)));
	return 0;
}

int tree_send_order(struct tree *tree, struct way *way, struct fm_error *err)
{
	struct wire_order order = { .within_ms = tree->within_ms - tree_hop_ms(tree->within_ms),
				    .lease_ms = tree->lease_ms, .arity = tree->arity, .members = tree->members };
	struct wire_frame frame;
	size_t size;
	uint8_t *data;

	if (way->link)
		frame = frame_to(tree, WIRE_ORDER, way);
	else if (way_open(tree, way, &frame, &order, err))
		return -1;
	data = wire_encode_order(&frame, &order, tree->key, &size);
	free(order.credential);
	if (!data)
		return fm_fail(err, FM_FAILED, "out of memory");
	link_send(way->link, data, size);
	return 0;
}

void tree_send_answer(struct tree *tree, const struct wire_answer *answer)
{
	for (unsigned i = 0; i <= tree->elder_count; i++) {
		struct way *way = i ? &tree->elders[i - 1] : &tree->up;
		struct wire_frame frame;
		size_t size;
		uint8_t *data;

		if (!way->link)
			continue;
		frame = frame_to(tree, WIRE_ANSWER, way);
		data = wire_encode_answer(&frame, answer, tree->key, &size);
		if (data)
			link_send(way->link, data, size);
	}
}

void tree_send_end(struct tree *tree, struct way *way)
{
	struct wire_frame frame = frame_to(tree, WIRE_END, way);
	size_t size;
	uint8_t *data = wire_encode_end(&frame, tree->key, &size);

	if (data)
		link_send(way->link, data, size);
}

/* ---- in: a way that opens ---------------------------------------------------------------- */

/* An answer where there is no tree to give it. */
static void answer_alone(struct link *link, const struct wire_frame *open, const uint8_t key[WIRE_KEY],
			 const struct fm_error *error)
{
	struct wire_frame frame = *open;
	struct wire_answer answer = { .yes = !error, .code = error ? error->code : FM_OK, .rank = open->to };
	size_t size;
	uint8_t *data;

	frame.type = WIRE_ANSWER;
	frame.from = open->to;
	frame.to = open->from;
	if (error)
		snprintf(answer.text, sizeof(answer.text), "%s", error->text);
	data = wire_encode_answer(&frame, &answer, key, &size);
	if (data)
		link_send(link, data, size);
}

/* Is it for a member here, from where its tree has it? */
static int fits(const struct agent *agent, const struct job *job, const struct wire_frame *frame,
		const struct wire_order *order, struct fm_error *err)
{
	if (!job)
		return fm_fail(err, FM_FAILED, "job %u has no VM on %s", frame->job, agent->conf.node_name);
	if (job->rank != frame->to || job->spec.node_count != order->members || !frame->to)
		return fm_fail(err, FM_FAILED, "member %u of job %u is not on %s", frame->to, frame->job,
			       agent->conf.node_name);
	if (frame->round == CUT_ABORT ? !shape_above(frame->from, frame->to, order->arity) :
					shape_parent(frame->to, order->arity) != frame->from)
		return fm_fail(err, FM_FAILED, "member %u is not above %u", frame->from, frame->to);
	if (frame->round != CUT_ARM && frame->round != CUT_ABORT)
		return fm_fail(err, FM_FAILED, "a snapshot that begins with %s", cut_round_name(frame->round));
	return 0;
}

/* The tree that an opening frame is for, made if need be. NULL: err is the answer; code FM_OK: yes. */
static struct tree *tree_for(struct agent *agent, const struct wire_frame *frame, const struct wire_order *order,
			     const uint8_t key[WIRE_KEY], struct fm_error *err)
{
	const struct fm_snapshot_id id = { .job = frame->job, .n = frame->n };
	struct tree *tree = tree_find(agent, frame->job);
	struct job *job = job_find(agent, frame->job);
	bool same = tree && tree->id.n == frame->n;

	if (tree && tree->answered) {
		fm_fail(err, FM_BUSY, "%s leads snapshot %u.%u itself", agent->conf.node_name, tree->id.job, tree->id.n);
		return NULL;
	}
	if (same && frame->round == CUT_ABORT)
		return tree;
	if (same || fits(agent, job, frame, order, err)) {
		if (same)
			fm_fail(err, FM_BUSY, "snapshot %u.%u is under way here already", id.job, id.n);
		if (frame->round == CUT_ABORT)
			err->code = FM_OK; /* nothing here needs undoing */
		return NULL;
	}
	if (tree)
		tree_free(tree); /* of a snapshot before; the member sees to itself */
	tree = tree_new(agent, job, &id, err);
	if (!tree)
		return NULL;
	tree->arity = order->arity;
	memcpy(tree->key, key, WIRE_KEY);
	tree_branch_out(tree);
	return tree;
}

/* The order, and the key from its credential; all of the frame is proven. */
static int unseal(struct agent *agent, const struct wire_frame *frame, const uint8_t *data, size_t size,
		  struct wire_order *order_r, uint8_t key_r[WIRE_KEY], struct fm_error *err)
{
	FM_AUTO_FREE char *text = NULL;

	if (wire_decode_order(order_r, frame, err))
		return -1;
	text = fm_auth_unseal(&agent->conf, order_r->credential, err);
	free(fm_steal_ptr(&order_r->credential));
	if (!text || wire_grant_parse(text, strlen(text), frame, key_r, err))
		return -1;
	if (!wire_proven(data, size, key_r) || frame->number != 1)
		return fm_fail(err, FM_DENIED, "a frame that is not what its credential is for");
	return 0;
}

/* A clock that is wrong, a munged that is down: the lead should hear of it. */
static void refuse_open(struct link *link, const struct wire_frame *open, const struct fm_error *error)
{
	struct wire_frame frame = *open;
	size_t size;
	uint8_t *data;

	frame.type = WIRE_REFUSAL;
	frame.from = open->to;
	frame.to = open->from;
	data = wire_encode_refusal(&frame, error->text, &size);
	link_last_word(link, data, size);
	link_refuse(link, error);
}

static void new_parent(struct tree *tree, struct link *link, unsigned rank, const uint8_t key[WIRE_KEY])
{
	bool same = memcmp(tree->key, key, WIRE_KEY) == 0;
	struct way *grown = NULL;

	if (same && tree->up.link)
		grown = realloc(tree->elders, (tree->elder_count + 1) * sizeof(*grown));
	if (grown) {
		tree->elders = grown;
		tree->elders[tree->elder_count++] = tree->up;
	} else {
		way_close(&tree->up);
	}
	tree->up = (struct way){ .link = link, .rank = rank, .heard = 1 };
	link_hold(link);
	if (same)
		return;
	/* A restarted lead: nobody below knows this key either. */
	memcpy(tree->key, key, WIRE_KEY);
	for (unsigned i = 1; i < tree->reduce.count; i++) {
		way_close(&tree->ways[i]);
		tree->ways[i].sent = tree->ways[i].heard = 0;
	}
}

static void take_open(struct agent *agent, struct link *link, const struct wire_frame *frame, const uint8_t *data,
		      size_t size)
{
	struct wire_order order = { 0 };
	struct fm_error err = { 0 };
	uint8_t key[WIRE_KEY];
	struct tree *tree;

	if (unseal(agent, frame, data, size, &order, key, &err)) {
		refuse_open(link, frame, &err);
		return;
	}
	link_proven(link);
	tree = tree_for(agent, frame, &order, key, &err);
	if (!tree) {
		answer_alone(link, frame, key, err.code ? &err : NULL);
	} else {
		new_parent(tree, link, frame->from, key);
		if (frame->round != CUT_ABORT || !tree_aborting(tree))
			tree_order(tree, frame->round, order.within_ms, order.lease_ms);
	}
	explicit_bzero(key, sizeof(key));
}

/* ---- in: everything else ------------------------------------------------------------------- */

static void take_order(struct tree *tree, struct link *link, const struct wire_frame *frame)
{
	struct wire_order order;
	struct fm_error err;

	if (frame->type == WIRE_END)
		tree_end(tree);
	else if (wire_decode_order(&order, frame, &err))
		link_refuse(link, &err);
	else
		tree_order(tree, frame->round, order.within_ms, order.lease_ms);
}

static void take_answer(struct tree *tree, unsigned branch, const struct wire_frame *frame)
{
	struct wire_answer answer;
	struct fm_error err;

	if (wire_decode_answer(&answer, frame, &err)) {
		link_refuse(tree->ways[branch].link, &err);
		return;
	}
	tree_child_said(tree, branch, frame->round, &answer);
	cut_sum_dispose(&answer.sum);
}

static void take_refusal(struct link *link, const struct wire_frame *frame)
{
	char text[WIRE_TEXT_MAX + 1];
	struct fm_error err;

	wire_refusal_text(frame, text);
	fm_fail(&err, FM_DENIED, "the agent of %s refuses: %s", link_name(link), text);
	link_refuse(link, &err);
}

/* Who speaks: the way it came on, or NULL. */
static struct way *speaker(struct tree *tree, const struct link *link, const struct wire_frame *frame)
{
	if (!tree || tree->id.n != frame->n || tree->rank != frame->to)
		return NULL;
	if (frame->type != WIRE_ANSWER && frame->type != WIRE_REFUSAL)
		return tree->up.link == link && tree->up.rank == frame->from ? &tree->up : NULL;
	for (unsigned i = 1; i < tree->reduce.count; i++)
		if (tree->ways[i].link == link && tree->ways[i].rank == frame->from)
			return &tree->ways[i];
	return NULL;
}

static void on_frame(struct agent *agent, struct link *link, const uint8_t *data, size_t size)
{
	struct wire_frame frame;
	struct fm_error err;
	struct tree *tree;
	struct way *way;

	if (wire_decode(&frame, data, size, &err)) {
		link_refuse(link, &err);
		return;
	}
	if (frame.type == WIRE_OPEN) {
		take_open(agent, link, &frame, data, size);
		return;
	}
	tree = tree_find(agent, frame.job);
	way = speaker(tree, link, &frame);
	if (!way) {
		/* From a proven peer it is late news of a snapshot that is over; nobody else may speak at all. */
		fm_debug("link %s: a frame about snapshot %u.%u, which is not its", link_name(link), frame.job, frame.n);
		fm_fail(&err, FM_DENIED, "a frame without a credential before it");
		if (!link_is_proven(link))
			link_refuse(link, &err);
	} else if (frame.type == WIRE_REFUSAL) {
		take_refusal(link, &frame);
	} else if (!wire_proven(data, size, tree->key)) {
		fm_fail(&err, FM_DENIED, "a frame about snapshot %u.%u that is not proven by its key", frame.job, frame.n);
		link_refuse(link, &err);
	} else if (frame.number != way->heard + 1) {
		fm_fail(&err, FM_DENIED, "frame %llu about snapshot %u.%u came after %llu: it is replayed or one is missing",
			(unsigned long long)frame.number, frame.job, frame.n, (unsigned long long)way->heard);
		link_refuse(link, &err);
	} else {
		way->heard++;
		if (frame.type == WIRE_ANSWER)
			take_answer(tree, (unsigned)(way - tree->ways), &frame);
		else
			take_order(tree, link, &frame);
	}
}

/* One who used it is told; false: nobody uses it. */
static bool tell_lost(struct agent *agent, struct link *link, const struct fm_error *error)
{
	for (struct tree *tree = agent->trees; tree; tree = tree->next) {
		for (unsigned i = 0; i < tree->elder_count; i++)
			if (tree->elders[i].link == link)
				way_close(&tree->elders[i]);
		if (tree->up.link == link) {
			tree_orphaned(tree, error);
			return true;
		}
		for (unsigned i = 1; i < tree->reduce.count; i++)
			if (tree->ways[i].link == link) {
				tree_child_lost(tree, i, error);
				return true;
			}
	}
	return false;
}

static void on_lost(struct agent *agent, struct link *link, const struct fm_error *error)
{
	while (tell_lost(agent, link, error)) /* each may change the list */
		;
}

const struct link_events tree_link_events = { on_frame, on_lost };
