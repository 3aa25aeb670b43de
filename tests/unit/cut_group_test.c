/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One lead and several members, machines only, in a world where everything may
 * fail: messages and answers get lost or come late, workers fail or die, gates
 * leak, leases run out, the lead dies.  Thousands of random runs; each must end
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

#define MEMBERS 3u
#define RUNS 200000u
#define STEPS 400u
#define BAG 256

enum letter_kind { ORDER, ANSWER, EVENT, LEAD_DONE };

struct letter {
	enum letter_kind kind;
	unsigned rank;
	enum cut_round round;
	int what; /* member_event, lead_event, or yes/no */
};

struct domain {
	bool suspended, gate_shut, gate_broken, worker, worker_failing, stream, aborting;
	bool cut_while_open;
};

static struct world {
	struct lead lead;
	struct member m[MEMBERS];
	struct domain d[MEMBERS];
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

static void post(enum letter_kind kind, unsigned rank, enum cut_round round, int what)
{
	assert_true(w.bagged < BAG);
	w.bag[w.bagged++] = (struct letter){ kind, rank, round, what };
}

static void event(unsigned rank, enum member_event ev)
{
	post(EVENT, rank, CUT_ARM, ev);
}

static void lead_act(struct lead_actions *a)
{
	for (unsigned i = 0; a->send && i < MEMBERS; i++) {
		if (fault())
			post(ANSWER, i, a->round, 0); /* no connection */
		else
			post(ORDER, i, a->round, 0);
	}
	if (a->store) {
		w.manifest = !fault();
		for (unsigned i = 0; w.manifest && i < MEMBERS; i++) {
			assert_true(w.d[i].stream);
			assert_false(w.d[i].gate_broken);
			assert_false(w.d[i].cut_while_open);
		}
		post(LEAD_DONE, 0, 0, w.manifest ? LEAD_EV_STORED : LEAD_EV_STORE_FAILED);
	}
	if (a->discard)
		post(LEAD_DONE, 0, 0, LEAD_EV_DISCARDED);
}

static void lead_event(enum lead_event ev, enum cut_round round, unsigned rank)
{
	struct lead_actions a;

	if (w.lead_dead)
		return;
	lead_step(&w.lead, ev, round, rank, &a);
	lead_act(&a);
}

static void member_event(unsigned rank, enum member_event ev, enum cut_round round);

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
		event(rank, d->stream ? MEMBER_EV_WORKER_ENDED : MEMBER_EV_WORKER_DIED);
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
		post(ANSWER, rank, w.m[rank].order, 1);
		break;
	case MEMBER_DO_NO: post(ANSWER, rank, w.m[rank].order, 0); break;
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

/* A worker's own events keep their order; all else may overtake. */
static unsigned pick(void)
{
	unsigned i = dice(w.bagged);

	for (unsigned k = 0; k < i; k++)
		if (w.bag[k].kind == EVENT && w.bag[i].kind == EVENT && w.bag[k].rank == w.bag[i].rank)
			return k;
	for (unsigned k = 0; k < i; k++)
		if (w.bag[k].kind == ORDER && w.bag[i].kind == ORDER && w.bag[k].rank == w.bag[i].rank)
			return k; /* so does the connection to a member */
	return i;
}

static void deliver(void)
{
	unsigned i = pick();
	struct letter l = w.bag[i];

	memmove(&w.bag[i], &w.bag[i + 1], (--w.bagged - i) * sizeof(w.bag[0]));
	switch (l.kind) {
	case ORDER: member_event(l.rank, MEMBER_EV_ORDER, l.round); break;
	case ANSWER:
		if (!fault())
			lead_event(l.what ? LEAD_EV_YES : LEAD_EV_NO, l.round, l.rank);
		break;
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

/* Time passes: only when it can matter, or something is late. */
static void pass_time(void)
{
	unsigned rank = dice(MEMBERS);
	struct member *m = &w.m[rank];

	if (w.calm) { /* nobody is late */
		assert_int_equal(w.lead.state, LEAD_DRAINING);
		lead_event(LEAD_EV_TIME, CUT_ARM, 0);
		return;
	}
	switch (dice(4)) {
	case 0:
		lead_event(LEAD_EV_TIME, CUT_ARM, 0);
		break;
	case 1:
		if (m->state >= MEMBER_GATED && m->state <= MEMBER_RELEASING) {
			w.d[rank].gate_broken = true;
			member_event(rank, MEMBER_EV_LEASE, CUT_ARM);
		}
		break;
	case 2: member_event(rank, MEMBER_EV_TIME, CUT_ARM); break;
	default: break;
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
	assert_int_equal(lead_init(&w.lead, MEMBERS), 0);
	for (unsigned i = 0; i < MEMBERS; i++)
		member_init(&w.m[i]);
	lead_event(LEAD_EV_BEGIN, CUT_ARM, 0);
	for (unsigned step = 0; !quiet(); step++) {
		if (step > STEPS)
			w.trouble = 0; /* and now it must come to an end */
		if (step > 100 * STEPS) {
			printf("lead %s, members %s %s %s, bag %u\n", lead_state_name(w.lead.state),
			       member_state_name(w.m[0].state), member_state_name(w.m[1].state),
			       member_state_name(w.m[2].state), w.bagged);
			fail_msg("it does not end");
		}
		if (lead_may_die && !w.lead_dead && dice(64) == 0)
			w.lead_dead = true;
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
	lead_dispose(&w.lead);
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
