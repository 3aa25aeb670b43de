/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lead's machine, held to its promises: the manifest is stored only after
 * every yes of every round, and any other end sends abort to all first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/cut/lead.h"

static void yes(struct lead *lead, enum cut_round round, struct lead_actions *a)
{
	lead_step(lead, LEAD_EV_YES, round, 0, a);
}

/* As far as `state`, with everybody saying yes. */
static struct lead lead_in(enum lead_state state)
{
	struct lead_actions a;
	struct lead lead;

	lead_init(&lead);
	lead_step(&lead, LEAD_EV_BEGIN, CUT_ARM, 0, &a);
	assert_true(a.send && a.round == CUT_ARM);
	while (lead.state != state) {
		switch (lead.state) {
		case LEAD_ARMING: yes(&lead, CUT_ARM, &a); break;
		case LEAD_GATING: yes(&lead, CUT_GATE, &a); break;
		case LEAD_DRAINING: yes(&lead, CUT_DRAIN, &a); break;
		case LEAD_CUTTING: yes(&lead, CUT_CUT, &a); break;
		case LEAD_RELEASING: yes(&lead, CUT_RELEASE, &a); break;
		case LEAD_SAVING: yes(&lead, CUT_COMMIT, &a); break;
		case LEAD_STORING:
			lead_step(&lead, state == LEAD_WHOLE ? LEAD_EV_STORED : LEAD_EV_STORE_FAILED, CUT_ARM, 0, &a);
			break;
		case LEAD_ABORTING: yes(&lead, CUT_ABORT, &a); break;
		case LEAD_DISCARDING: lead_step(&lead, LEAD_EV_DISCARDED, CUT_ARM, 0, &a); break;
		default: fail();
		}
	}
	return lead;
}

/* state, event, round of an answer → next state, action */
static const struct row {
	enum lead_state state;
	enum lead_event event;
	enum cut_round round;
	enum lead_state next;
	int send; /* -1: nothing is sent */
	bool store, discard, finished;
} table[] = {
	{ LEAD_ARMING, LEAD_EV_YES, CUT_GATE, LEAD_ARMING, -1, 0, 0, 0 },
	{ LEAD_ARMING, LEAD_EV_NO, CUT_ARM, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_ARMING, LEAD_EV_NO, CUT_CUT, LEAD_ARMING, -1, 0, 0, 0 },
	{ LEAD_ARMING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_ARMING, LEAD_EV_STOP, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_ARMING, LEAD_EV_STORED, 0, LEAD_ARMING, -1, 0, 0, 0 },
	{ LEAD_GATING, LEAD_EV_NO, CUT_GATE, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_GATING, LEAD_EV_NO, CUT_ARM, LEAD_GATING, -1, 0, 0, 0 },
	{ LEAD_GATING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_GATING, LEAD_EV_STOP, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_DRAINING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_DRAINING, LEAD_EV_NO, CUT_DRAIN, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_DRAINING, LEAD_EV_YES, CUT_GATE, LEAD_DRAINING, -1, 0, 0, 0 },
	{ LEAD_DRAINING, LEAD_EV_NO, CUT_GATE, LEAD_DRAINING, -1, 0, 0, 0 },
	{ LEAD_DRAINING, LEAD_EV_STOP, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_CUTTING, LEAD_EV_NO, CUT_CUT, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_CUTTING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_CUTTING, LEAD_EV_STOP, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_RELEASING, LEAD_EV_NO, CUT_RELEASE, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_RELEASING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_SAVING, LEAD_EV_NO, CUT_COMMIT, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_SAVING, LEAD_EV_TIME, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_SAVING, LEAD_EV_STOP, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_STORING, LEAD_EV_STOP, 0, LEAD_STORING, -1, 0, 0, 0 },
	{ LEAD_STORING, LEAD_EV_TIME, 0, LEAD_STORING, -1, 0, 0, 0 },
	{ LEAD_STORING, LEAD_EV_NO, CUT_COMMIT, LEAD_STORING, -1, 0, 0, 0 },
	{ LEAD_STORING, LEAD_EV_STORED, 0, LEAD_WHOLE, -1, 0, 0, 1 },
	{ LEAD_STORING, LEAD_EV_STORE_FAILED, 0, LEAD_ABORTING, CUT_ABORT, 0, 0, 0 },
	{ LEAD_ABORTING, LEAD_EV_NO, CUT_ABORT, LEAD_DISCARDING, -1, 0, 1, 0 },
	{ LEAD_ABORTING, LEAD_EV_YES, CUT_CUT, LEAD_ABORTING, -1, 0, 0, 0 },
	{ LEAD_ABORTING, LEAD_EV_STOP, 0, LEAD_ABORTING, -1, 0, 0, 0 },
	{ LEAD_ABORTING, LEAD_EV_TIME, 0, LEAD_DISCARDING, -1, 0, 1, 0 },
	{ LEAD_DISCARDING, LEAD_EV_TIME, 0, LEAD_DISCARDING, -1, 0, 0, 0 },
	{ LEAD_DISCARDING, LEAD_EV_DISCARDED, 0, LEAD_FAILED, -1, 0, 0, 1 },
	{ LEAD_WHOLE, LEAD_EV_STOP, 0, LEAD_WHOLE, -1, 0, 0, 0 },
	{ LEAD_FAILED, LEAD_EV_STORED, 0, LEAD_FAILED, -1, 0, 0, 0 },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct row *row = &table[i];
		struct lead lead = lead_in(row->state);
		struct lead_actions a;

		lead_step(&lead, row->event, row->round, 1, &a);
		if (lead.state != row->next || a.send != (row->send >= 0) || a.store != row->store ||
		    a.discard != row->discard || a.finished != row->finished ||
		    (a.send && (int)a.round != row->send))
			fail_msg("row %zu: %s, event %d: %s", i, lead_state_name(row->state), row->event,
				 lead_state_name(lead.state));
	}
}

static void test_yes_moves_on(void **state)
{
	static const struct {
		enum lead_state state;
		enum cut_round round;
		enum lead_state next;
		int send;
	} rows[] = {
		{ LEAD_ARMING, CUT_ARM, LEAD_GATING, CUT_GATE },
		{ LEAD_GATING, CUT_GATE, LEAD_DRAINING, CUT_DRAIN },
		{ LEAD_DRAINING, CUT_DRAIN, LEAD_CUTTING, CUT_CUT },
		{ LEAD_CUTTING, CUT_CUT, LEAD_RELEASING, CUT_RELEASE },
		{ LEAD_RELEASING, CUT_RELEASE, LEAD_SAVING, CUT_COMMIT },
		{ LEAD_SAVING, CUT_COMMIT, LEAD_STORING, -1 },
		{ LEAD_ABORTING, CUT_ABORT, LEAD_DISCARDING, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lead lead = lead_in(rows[i].state);
		struct lead_actions a;

		lead_step(&lead, LEAD_EV_YES, rows[i].round, 0, &a);
		assert_int_equal(lead.state, rows[i].next);
		assert_int_equal(a.send, rows[i].send >= 0);
		if (a.send)
			assert_int_equal(a.round, rows[i].send);
		assert_int_equal(a.store, rows[i].next == LEAD_STORING);
		assert_int_equal(a.discard, rows[i].next == LEAD_DISCARDING);
	}
}

static void test_blame(void **state)
{
	struct lead lead = lead_in(LEAD_CUTTING);
	struct lead_actions a;

	(void)state;
	lead_step(&lead, LEAD_EV_TIME, 0, 0, &a); /* not even the tree has spoken */
	assert_int_equal(lead.blame, BLAME_SILENT);
	assert_int_equal(lead.blame_rank, 0);
	assert_int_equal(lead.blame_state, LEAD_CUTTING);
	lead_step(&lead, LEAD_EV_NO, CUT_ABORT, 2, &a); /* what follows does not change it */
	assert_int_equal(lead.blame_rank, 0);

	lead = lead_in(LEAD_ARMING);
	lead_step(&lead, LEAD_EV_NO, CUT_ARM, 2, &a);
	assert_int_equal(lead.blame, BLAME_MEMBER);
	assert_int_equal(lead.blame_rank, 2);
}

static void test_names(void **state)
{
	enum cut_round round;

	(void)state;
	for (int i = 0; i < CUT_ROUNDS; i++) {
		assert_int_equal(cut_round_parse(cut_round_name((enum cut_round)i), &round), 0);
		assert_int_equal(round, i);
	}
	assert_int_equal(cut_round_parse("dance", &round), -1);
	assert_int_equal(cut_round_parse("", &round), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_yes_moves_on),
		cmocka_unit_test(test_blame),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
