/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One lead, a tree and its members, machines only, in a world where everything may
 * fail: connections break, orders and answers come late or never, workers fail or
 * die, gates leak, leases run out, the lead dies.  Thousands of random runs; each must end
 * with every guest running and every gate open, and a stored manifest only when
 * every member's stream is durable and every gate held from before the first
 * cut until after the last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cut/member.h"
#include "agent/cut/reduce.h"
#include "agent/cut/shape.h"

#define MEMBERS 6u /* 0 ─ 1 ─ 3, 4;  0 ─ 2 ─ 5 */
#define ARITY 2u
#define RUNS 200000u
#define STEPS 600u
#define BAG 256
#define NOBODY MEMBERS

enum letter_kind { ORDER, ANSWER, EVENT, LEAD_DONE };

struct letter {
	enum letter_kind kind;
	unsigned rank, from; /* to whom; by whom */
	enum cut_round round;
	int what;      /* member_event, lead_event, or yes/no */
	unsigned whose; /* a no */
};

/* What tree.c keeps. */
struct node {
	struct reduce r;
	unsigned up; /* NOBODY: the lead, or it is broken */
	bool in; /* an order has come */
};

struct domain {
	bool suspended, gate_shut, gate_broken, worker, worker_failing, stream, aborting;
	bool cut_while_open;
};

static struct world {
	struct lead lead;
	struct member m[MEMBERS];
	struct node n[MEMBERS];
	struct domain d[MEMBERS];
	bool cut_off[MEMBERS][MEMBERS]; /* the way from parent to child is broken */
	struct letter bag[BAG];
	unsigned bagged, trouble; /* chance of a fault in 256 */
	bool lead_dead, manifest, calm;
	unsigned faults;
} w;

static uint64_t seed;

static unsigned dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % sides);
}

static bool fault(void)
{
	if (dice(256) >= w.trouble)
		return false;
	w.faults++;
	return true;
}

static void post(struct letter letter)
{
	assert_true(w.bagged < BAG);
	w.bag[w.bagged++] = letter;
}

static void event(unsigned rank, enum member_event ev)
{
	post((struct letter){ .kind = EVENT, .rank = rank, .what = (int)ev });
}

static void node_order(unsigned rank, enum cut_round round);

static void lead_act(struct lead_actions *a)
{
	if (a->store) {
		w.manifest = !fault();
		for (unsigned i = 0; w.manifest && i < MEMBERS; i++) {
			assert_true(w.d[i].stream);
			assert_false(w.d[i].gate_broken);
			assert_false(w.d[i].cut_while_open);
		}
		post((struct letter){ .kind = LEAD_DONE,
				      .what = w.manifest ? LEAD_EV_STORED : LEAD_EV_STORE_FAILED });
	}
	if (a->discard)
		post((struct letter){ .kind = LEAD_DONE, .what = LEAD_EV_DISCARDED });
	if (a->send)
		node_order(0, a->round);
}

static void lead_event(enum lead_event ev, enum cut_round round, unsigned rank)
{
	struct lead_actions a;

	if (w.lead_dead)
		return;
	lead_step(&w.lead, ev, round, rank, &a);
	lead_act(&a);
}

/* ---- the tree, as tree.c has it ------------------------------------------------------ */

static void say(unsigned rank, enum reduce_result result)
{
	struct node *n = &w.n[rank];
	bool yes = result == REDUCE_YES;

	if (result == REDUCE_WAIT)
		return;
	if (!yes)
		assert_true(n->r.blame_rank < MEMBERS && shape_above(rank, n->r.blame_rank, ARITY));
	if (rank == 0)
		lead_event(yes ? LEAD_EV_YES : LEAD_EV_NO, n->r.round, n->r.blame_rank);
	else if (n->up != NOBODY)
		post((struct letter){ .kind = ANSWER, .rank = n->up, .from = rank, .round = n->r.round, .what = yes,
				      .whose = n->r.blame_rank });
}

static void branch_out(struct node *n, unsigned rank)
{
	unsigned first, count = shape_children(rank, ARITY, MEMBERS, &first);

	for (unsigned i = 0; i < count; i++)
		assert_true(reduce_add(&n->r, first + i) > 0);
}

static enum reduce_result order_branch(unsigned rank, unsigned branch)
{
	struct node *n = &w.n[rank];
	unsigned to = n->r.branches[branch].rank;

	if (n->r.branches[branch].lost)
		return REDUCE_WAIT;
	if (w.cut_off[rank][to])
		return reduce_lost(&n->r, branch);
	post((struct letter){ .kind = ORDER, .rank = to, .from = rank, .round = n->r.round });
	return REDUCE_WAIT;
}

static enum reduce_result bypass(unsigned rank)
{
	struct node *n = &w.n[rank];
	int branch;

	while ((branch = reduce_bypass(&n->r)) >= 0) {
		unsigned from = n->r.count;

		branch_out(n, n->r.branches[branch].rank);
		for (unsigned i = from; i < n->r.count; i++)
			order_branch(rank, i);
	}
	return reduce_result(&n->r);
}

static void member_event(unsigned rank, enum member_event ev, enum cut_round round);

static void node_order(unsigned rank, enum cut_round round)
{
	struct node *n = &w.n[rank];
	enum reduce_result result;

	n->in = true;
	result = reduce_begin(&n->r, round);
	for (unsigned i = 1, count = n->r.count; result == REDUCE_WAIT && i < count; i++)
		result = order_branch(rank, i);
	if (result == REDUCE_WAIT) {
		member_event(rank, MEMBER_EV_ORDER, round);
		if (n->r.round == CUT_ABORT && !n->r.told)
			result = bypass(rank);
	}
	say(rank, result);
}

static void own_answer(unsigned rank, enum cut_round round, bool yes)
{
	say(rank, reduce_answer(&w.n[rank].r, 0, round, yes, rank, NULL));
}

static void orphaned(unsigned rank)
{
	struct node *n = &w.n[rank];

	n->up = NOBODY;
	if (n->in && n->r.round != CUT_ABORT)
		node_order(rank, CUT_ABORT);
}

/* The connection between them is no more; both notice. */
static void break_way(unsigned parent, unsigned child)
{
	struct node *n = &w.n[parent];

	if (w.cut_off[parent][child])
		return;
	w.cut_off[parent][child] = true;
	for (unsigned i = 1; i < n->r.count; i++) {
		enum reduce_result result;

		if (n->r.branches[i].rank != child)
			continue;
		result = reduce_lost(&n->r, i);
		if (n->r.round == CUT_ABORT && !n->r.told)
			result = bypass(parent);
		say(parent, result);
		break;
	}
	if (w.n[child].up == parent)
		orphaned(child);
}

static void lead_dies(void)
{
	unsigned first, count = shape_children(0, ARITY, MEMBERS, &first);

	w.lead_dead = true;
	for (unsigned i = 0; i < count; i++)
		break_way(0, first + i);
	orphaned(0); /* another one, over the same member, sees to it */
}

static void node_time(unsigned rank)
{
	struct node *n = &w.n[rank];

	if (!n->in || n->r.told)
		return;
	if (n->r.round == CUT_ABORT && dice(2)) {
		reduce_late(&n->r);
		say(rank, bypass(rank));
	} else {
		say(rank, reduce_time(&n->r));
	}
}

/* ---- members -------------------------------------------------------------------------- */

/* One action on the world; false: it failed. */
static bool act(unsigned rank, enum member_action action)
{
	struct domain *d = &w.d[rank];

	switch (action) {
	case MEMBER_DO_START:
		if (fault())
			return false;
		d->worker = true;
		event(rank, MEMBER_EV_ARMED);
		break;
	case MEMBER_DO_HOLD_OUT:
		if (fault())
			return false;
		d->gate_shut = true;
		event(rank, MEMBER_EV_HELD);
		break;
	case MEMBER_DO_DRAIN: event(rank, fault() ? MEMBER_EV_FAILED : MEMBER_EV_DRAINED); break;
	case MEMBER_DO_HOLD_IN:
		if (fault())
			return false;
		break;
	case MEMBER_DO_TELL_CUT:
		if (!d->worker)
			break;
		for (unsigned i = 0; i < MEMBERS; i++)
			d->cut_while_open = d->cut_while_open || !w.d[i].gate_shut;
		d->suspended = true;
		event(rank, MEMBER_EV_CUT);
		break;
	case MEMBER_DO_EXPORT: event(rank, d->gate_broken ? MEMBER_EV_GATE_LOST : MEMBER_EV_EXPORTED); break;
	case MEMBER_DO_OPEN:
		if (d->gate_broken)
			event(rank, MEMBER_EV_GATE_LOST);
		event(rank, MEMBER_EV_GATE_OPEN);
		break;
	case MEMBER_DO_TELL_RELEASE:
		if (!d->worker)
			break;
		d->suspended = false;
		event(rank, MEMBER_EV_RELEASED);
		d->stream = !fault();
		if (d->stream)
			event(rank, MEMBER_EV_SAVED);
		event(rank, d->stream && !fault() ? MEMBER_EV_WORKER_ENDED : MEMBER_EV_WORKER_DIED);
		d->worker = false;
		break;
	case MEMBER_DO_TELL_ABORT:
		if (d->worker && !d->aborting) {
			d->aborting = true;
			if (fault())
				break; /* it hangs: killed when the time is over */
			d->suspended = d->worker = false;
			event(rank, MEMBER_EV_WORKER_ENDED);
		}
		break;
	case MEMBER_DO_KILL:
		if (d->worker)
			event(rank, MEMBER_EV_WORKER_DIED);
		d->worker = false;
		break;
	case MEMBER_DO_RESUME:
		d->suspended = false;
		event(rank, MEMBER_EV_GUEST_RUNS);
		break;
	case MEMBER_DO_STORE_FRAMES: event(rank, fault() ? MEMBER_EV_FAILED : MEMBER_EV_FRAMES_STORED); break;
	case MEMBER_DO_DISCARD: d->stream = false; break;
	case MEMBER_DO_YES:
		if (w.m[rank].state == MEMBER_VOTED && w.m[rank].order == CUT_COMMIT)
			assert_true(d->stream && !d->gate_broken);
		own_answer(rank, w.m[rank].order, true);
		break;
	case MEMBER_DO_NO: own_answer(rank, w.m[rank].order, false); break;
	case MEMBER_DO_STOP_LEASE: break;
	}
	return true;
}

static void member_event(unsigned rank, enum member_event ev, enum cut_round round)
{
	unsigned actions;

	if (ev == MEMBER_EV_GATE_OPEN)
		w.d[rank].gate_shut = false;
	actions = member_step(&w.m[rank], ev, round);
	for (unsigned bit = 1; actions >= bit; bit <<= 1) {
		if (!(actions & bit) || act(rank, (enum member_action)bit))
			continue;
		member_event(rank, bit == MEMBER_DO_START ? MEMBER_EV_WORKER_DIED : MEMBER_EV_FAILED, CUT_ARM);
		return;
	}
}

static bool in_turn(const struct letter *a, const struct letter *b)
{
	return a->kind == b->kind && a->rank == b->rank && a->kind != LEAD_DONE && a->from == b->from;
}

/* What one worker says, and what goes over one connection, keeps its order; all else may overtake. */
static unsigned pick(void)
{
	unsigned i = dice(w.bagged);

	for (unsigned k = 0; k < i; k++)
		if (in_turn(&w.bag[k], &w.bag[i]))
			return k;
	return i;
}

static void deliver_order(const struct letter *l)
{
	struct node *n = &w.n[l->rank];

	if (w.cut_off[l->from][l->rank])
		return;
	if (n->up != NOBODY && n->up != l->from && l->round != CUT_ABORT)
		return; /* a parent that has been bypassed */
	n->up = l->from;
	if (l->round != CUT_ABORT || n->r.round != CUT_ABORT || n->r.told)
		node_order(l->rank, l->round);
}

static void deliver_answer(const struct letter *l)
{
	struct node *n = &w.n[l->rank];

	if (w.cut_off[l->rank][l->from])
		return;
	for (unsigned i = 1; i < n->r.count; i++)
		if (n->r.branches[i].rank == l->from)
			say(l->rank, reduce_answer(&n->r, i, l->round, l->what, l->whose, NULL));
}

static void deliver(void)
{
	unsigned i = pick();
	struct letter l = w.bag[i];

	memmove(&w.bag[i], &w.bag[i + 1], (--w.bagged - i) * sizeof(w.bag[0]));
	if ((l.kind == ORDER || l.kind == ANSWER) && fault()) {
		if (l.kind == ORDER)
			break_way(l.from, l.rank);
		else
			break_way(l.rank, l.from);
		return;
	}
	switch (l.kind) {
	case ORDER: deliver_order(&l); break;
	case ANSWER: deliver_answer(&l); break;
	case EVENT:
		if (l.what == MEMBER_EV_ARMED && fault() && w.d[l.rank].worker) { /* it dies instead */
			w.d[l.rank].worker = false;
			member_event(l.rank, MEMBER_EV_WORKER_DIED, CUT_ARM);
		} else if (l.what != MEMBER_EV_CUT || !fault() || !w.d[l.rank].worker) {
			member_event(l.rank, (enum member_event)l.what, CUT_ARM);
		} else { /* suspended, and dies */
			w.d[l.rank].worker = false;
			member_event(l.rank, MEMBER_EV_WORKER_DIED, CUT_ARM);
		}
		break;
	case LEAD_DONE: lead_event((enum lead_event)l.what, CUT_ARM, 0); break;
	}
}

/* Time passes: something is late. */
static void pass_time(void)
{
	unsigned rank = dice(MEMBERS);
	struct member *m = &w.m[rank];

	assert_false(w.calm); /* then nothing is */
	switch (dice(5)) {
	case 0:
		lead_event(LEAD_EV_TIME, CUT_ARM, 0);
		break;
	case 3: /* a marker, when the queues have been taken */
		if (m->state >= MEMBER_CUT && m->state <= MEMBER_SAVED) {
			w.d[rank].gate_broken = true;
			member_event(rank, MEMBER_EV_GATE_LOST, CUT_ARM);
		}
		break;
	case 1:
		if (m->state >= MEMBER_GATED && m->state <= MEMBER_RELEASING) {
			w.d[rank].gate_broken = true;
			member_event(rank, MEMBER_EV_LEASE, CUT_ARM);
		}
		break;
	case 2: member_event(rank, MEMBER_EV_TIME, CUT_ARM); break;
	default: node_time(rank); break;
	}
}

static bool quiet(void)
{
	bool lead_over = w.lead_dead || w.lead.state == LEAD_WHOLE || w.lead.state == LEAD_FAILED;

	for (unsigned i = 0; i < MEMBERS; i++)
		if (w.m[i].state != MEMBER_IDLE && !member_over(&w.m[i]))
			return false;
	return lead_over && !w.bagged;
}

static void run(unsigned trouble, bool lead_may_die)
{
	memset(&w, 0, sizeof(w));
	w.calm = trouble == 0;
	w.trouble = trouble;
	lead_init(&w.lead);
	for (unsigned i = 0; i < MEMBERS; i++) {
		member_init(&w.m[i]);
		reduce_init(&w.n[i].r);
		w.n[i].up = NOBODY;
		assert_int_equal(reduce_add(&w.n[i].r, i), 0);
		branch_out(&w.n[i], i);
	}
	lead_event(LEAD_EV_BEGIN, CUT_ARM, 0);
	for (unsigned step = 0; !quiet(); step++) {
		if (step > STEPS)
			w.trouble = 0; /* and now it must come to an end */
		if (step > 100 * STEPS) {
			printf("lead %s, bag %u, members", lead_state_name(w.lead.state), w.bagged);
			for (unsigned i = 0; i < MEMBERS; i++)
				printf(" %s", member_state_name(w.m[i].state));
			printf("\n");
			fail_msg("it does not end");
		}
		if (lead_may_die && !w.lead_dead && dice(128) == 0)
			lead_dies();
		if (w.bagged && (w.calm || dice(8)))
			deliver();
		else if (!w.bagged || fault())
			pass_time();
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		assert_false(w.d[i].suspended);
		assert_false(w.d[i].gate_shut);
		assert_false(w.d[i].worker);
	}
	if (!w.lead_dead)
		assert_int_equal(w.manifest, w.lead.state == LEAD_WHOLE);
	for (unsigned i = 0; i < MEMBERS; i++)
		reduce_dispose(&w.n[i].r);
}

static void test_no_faults(void **state)
{
	(void)state;
	seed = 88172645463325252ull;
	for (unsigned i = 0; i < 1000; i++) {
		run(0, false);
		assert_int_equal(w.lead.state, LEAD_WHOLE);
		assert_true(w.manifest);
	}
}

static void test_faults(void **state)
{
	unsigned whole = 0, failed = 0;

	(void)state;
	for (unsigned i = 0; i < RUNS; i++) {
		seed = 0x9e3779b97f4a7c15ull * (i + 1);
		run(1 + i % 31, i % 5 == 0);
		if (!w.lead_dead)
			*(w.manifest ? &whole : &failed) += 1;
	}
	printf("%u whole, %u given up\n", whole, failed);
	assert_true(whole > RUNS / 50 && failed > RUNS / 10); /* both ends are really reached */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_faults),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
