/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The member's machine, state by state: what it does on each event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/cut/member.h"

#define D(x) MEMBER_DO_##x
#define E(x) MEMBER_EV_##x

/* The way to VOTED, as far as `state`. */
static struct member member_in(enum member_state state)
{
	static const struct {
		enum member_event event;
		enum cut_round round;
		enum member_state then;
		unsigned actions;
	} way[] = {
		{ E(ORDER), CUT_ARM, MEMBER_ARMING, D(START) },
		{ E(ARMED), 0, MEMBER_ARMED, D(YES) },
		{ E(ORDER), CUT_GATE, MEMBER_GATED, D(HOLD_OUT) },
		{ E(HELD), 0, MEMBER_GATED, D(YES) },
		{ E(ORDER), CUT_DRAIN, MEMBER_DRAINING, D(DRAIN) },
		{ E(DRAINED), 0, MEMBER_DRAINED, D(YES) },
		{ E(ORDER), CUT_CUT, MEMBER_CUTTING, D(HOLD_IN) | D(TELL_CUT) },
		{ E(CUT), 0, MEMBER_CUTTING, D(EXPORT) },
		{ E(EXPORTED), 0, MEMBER_CUT, D(YES) },
		{ E(ORDER), CUT_RELEASE, MEMBER_RELEASING, D(OPEN) },
		{ E(GATE_OPEN), 0, MEMBER_RELEASING, D(TELL_RELEASE) },
		{ E(RELEASED), 0, MEMBER_SAVING, D(STOP_LEASE) | D(STORE_FRAMES) | D(YES) },
		{ E(SAVED), 0, MEMBER_SAVING, 0 },
		{ E(WORKER_ENDED), 0, MEMBER_SAVING, 0 },
		{ E(FRAMES_STORED), 0, MEMBER_SAVED, 0 },
		{ E(ORDER), CUT_COMMIT, MEMBER_VOTED, D(YES) },
	};
	struct member m;

	member_init(&m);
	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]) && m.state != state; i++) {
		unsigned actions = member_step(&m, way[i].event, way[i].round);

		assert_int_equal(m.state, way[i].then);
		assert_int_equal(actions, way[i].actions);
		/* GATED is over with its yes */
		if (way[i].event == E(ORDER) && way[i].round == CUT_GATE && state == MEMBER_GATED)
			member_step(&m, E(HELD), 0);
	}
	assert_int_equal(m.state, state);
	return m;
}

static void test_way(void **state)
{
	(void)state;
	member_in(MEMBER_VOTED);
}

static const struct row {
	enum member_state state;
	enum member_event event;
	enum cut_round round;
	enum member_state next;
	unsigned actions;
} table[] = {
	/* the lead gives up, at any step */
	{ MEMBER_IDLE, E(ORDER), CUT_ABORT, MEMBER_ABORTED, D(STOP_LEASE) | D(DISCARD) | D(YES) },
	{ MEMBER_ARMING, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_ARMED, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_GATED, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_DRAINING, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_DRAINED, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_CUTTING, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_CUT, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_RELEASING, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_SAVING, E(ORDER), CUT_ABORT, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_SAVED, E(ORDER), CUT_ABORT, MEMBER_ABORTED, D(STOP_LEASE) | D(DISCARD) | D(YES) },
	{ MEMBER_VOTED, E(ORDER), CUT_ABORT, MEMBER_VOTED, D(YES) },
	/* the lease: only while something is shut or suspended */
	{ MEMBER_ARMED, E(LEASE), 0, MEMBER_ARMED, 0 },
	{ MEMBER_GATED, E(LEASE), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_DRAINING, E(LEASE), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_DRAINED, E(LEASE), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_CUTTING, E(LEASE), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_CUT, E(LEASE), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_RELEASING, E(LEASE), 0, MEMBER_UNDOING, D(TELL_ABORT) | D(NO) },
	{ MEMBER_SAVING, E(LEASE), 0, MEMBER_SAVING, 0 },
	{ MEMBER_VOTED, E(LEASE), 0, MEMBER_VOTED, 0 },
	/* the gate leaked */
	{ MEMBER_CUTTING, E(GATE_LOST), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_RELEASING, E(GATE_LOST), 0, MEMBER_RELEASING, 0 },
	/* a late marker says that it had */
	{ MEMBER_CUT, E(GATE_LOST), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_SAVING, E(GATE_LOST), 0, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_SAVED, E(GATE_LOST), 0, MEMBER_ABORTED, D(STOP_LEASE) | D(DISCARD) },
	{ MEMBER_VOTED, E(GATE_LOST), 0, MEMBER_VOTED, 0 },
	/* the saver died: the guest may stand still */
	{ MEMBER_ARMING, E(WORKER_DIED), 0, MEMBER_UNDOING, D(RESUME) | D(NO) },
	{ MEMBER_ARMED, E(WORKER_DIED), 0, MEMBER_UNDOING, D(RESUME) },
	{ MEMBER_CUT, E(WORKER_DIED), 0, MEMBER_UNDOING, D(OPEN) | D(RESUME) },
	{ MEMBER_RELEASING, E(WORKER_DIED), 0, MEMBER_UNDOING, D(RESUME) | D(NO) },
	{ MEMBER_SAVING, E(WORKER_DIED), 0, MEMBER_UNDOING, D(RESUME) },
	{ MEMBER_VOTED, E(WORKER_DIED), 0, MEMBER_VOTED, D(RESUME) },
	{ MEMBER_VOTED, E(GUEST_RUNS), 0, MEMBER_VOTED, 0 },
	{ MEMBER_VOTED, E(FAILED), 0, MEMBER_VOTED, 0 },
	/* it ended "in order", but never said saved */
	{ MEMBER_SAVING, E(WORKER_ENDED), 0, MEMBER_UNDOING, D(RESUME) },
	/* time */
	{ MEMBER_ARMING, E(TIME), 0, MEMBER_UNDOING, D(TELL_ABORT) | D(NO) },
	{ MEMBER_ARMED, E(TIME), 0, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_RELEASING, E(TIME), 0, MEMBER_RELEASING, D(TELL_RELEASE) },
	{ MEMBER_SAVING, E(TIME), 0, MEMBER_UNDOING, D(TELL_ABORT) },
	{ MEMBER_SAVED, E(TIME), 0, MEMBER_ABORTED, D(STOP_LEASE) | D(DISCARD) },
	{ MEMBER_VOTED, E(TIME), 0, MEMBER_VOTED, 0 },
	/* actions that could not be done */
	{ MEMBER_GATED, E(FAILED), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) },
	{ MEMBER_SAVING, E(FAILED), 0, MEMBER_UNDOING, D(TELL_ABORT) },
	/* orders out of turn */
	{ MEMBER_IDLE, E(ORDER), CUT_CUT, MEMBER_ABORTED, D(STOP_LEASE) | D(DISCARD) | D(NO) },
	{ MEMBER_ARMED, E(ORDER), CUT_RELEASE, MEMBER_UNDOING, D(TELL_ABORT) | D(NO) },
	{ MEMBER_GATED, E(ORDER), CUT_CUT, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_GATED, E(DRAINED), 0, MEMBER_GATED, 0 },
	{ MEMBER_DRAINED, E(DRAINED), 0, MEMBER_DRAINED, 0 },
	{ MEMBER_DRAINING, E(FAILED), 0, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_DRAINING, E(WORKER_DIED), 0, MEMBER_UNDOING, D(OPEN) | D(RESUME) | D(NO) },
	{ MEMBER_GATED, E(ORDER), CUT_GATE, MEMBER_UNDOING, D(OPEN) | D(TELL_ABORT) | D(NO) },
	{ MEMBER_VOTED, E(ORDER), CUT_ARM, MEMBER_VOTED, D(NO) },
	/* a commit that comes early is answered when all is durable */
	{ MEMBER_SAVING, E(ORDER), CUT_COMMIT, MEMBER_SAVING, 0 },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct row *row = &table[i];
		struct member m = member_in(row->state);
		unsigned actions = member_step(&m, row->event, row->round);

		if (m.state != row->next || actions != row->actions)
			fail_msg("row %zu: %s, event %d, round %d: %s, actions %#x, not %s, %#x", i,
				 member_state_name(row->state), row->event, row->round, member_state_name(m.state),
				 actions, member_state_name(row->next), row->actions);
	}
}

static void test_lost_gate_votes_no(void **state)
{
	struct member m = member_in(MEMBER_CUT);

	(void)state;
	member_step(&m, E(ORDER), CUT_RELEASE);
	assert_int_equal(member_step(&m, E(GATE_LOST), 0), 0);
	assert_int_equal(member_step(&m, E(GATE_OPEN), 0), D(TELL_RELEASE));
	/* the guest runs first, then the vote */
	assert_int_equal(member_step(&m, E(RELEASED), 0), D(TELL_ABORT) | D(NO));
	assert_int_equal(m.state, MEMBER_UNDOING);
	assert_int_equal(member_step(&m, E(WORKER_ENDED), 0), D(STOP_LEASE) | D(DISCARD));
	assert_int_equal(m.state, MEMBER_ABORTED);
	assert_int_equal(member_step(&m, E(ORDER), CUT_COMMIT), D(NO));
	assert_int_equal(member_step(&m, E(ORDER), CUT_ABORT), D(YES));
}

/* Frames that only a running guest can take do not keep it from running. */
static void test_release_does_not_wait_for_ever(void **state)
{
	struct member m = member_in(MEMBER_RELEASING);

	(void)state;
	assert_int_equal(member_step(&m, E(TIME), 0), D(TELL_RELEASE));
	assert_int_equal(member_step(&m, E(TIME), 0), 0);
	assert_int_equal(member_step(&m, E(RELEASED), 0), 0);
	assert_int_equal(m.state, MEMBER_RELEASING);
	assert_int_equal(member_step(&m, E(GATE_OPEN), 0), D(STOP_LEASE) | D(STORE_FRAMES) | D(YES));
	assert_int_equal(m.state, MEMBER_SAVING);
}

/* Aborted only when gate, worker and guest are all seen to; then the abort is answered. */
static void test_undoing_waits_for_all(void **state)
{
	struct member m = member_in(MEMBER_CUT);

	(void)state;
	assert_int_equal(member_step(&m, E(ORDER), CUT_ABORT), D(OPEN) | D(TELL_ABORT));
	assert_int_equal(member_step(&m, E(GATE_OPEN), 0), 0);
	assert_int_equal(m.state, MEMBER_UNDOING);
	assert_int_equal(member_step(&m, E(TIME), 0), D(KILL));
	assert_int_equal(member_step(&m, E(WORKER_DIED), 0), D(RESUME));
	assert_int_equal(m.state, MEMBER_UNDOING);
	assert_int_equal(member_step(&m, E(GUEST_RUNS), 0), D(STOP_LEASE) | D(DISCARD) | D(YES));
	assert_int_equal(m.state, MEMBER_ABORTED);
}

static void test_orders_while_undoing(void **state)
{
	struct member m = member_in(MEMBER_GATED);

	(void)state;
	member_step(&m, E(LEASE), 0);
	assert_int_equal(member_step(&m, E(ORDER), CUT_CUT), D(NO));
	assert_int_equal(member_step(&m, E(ORDER), CUT_ABORT), 0);
	member_step(&m, E(WORKER_ENDED), 0);
	assert_int_equal(member_step(&m, E(GATE_OPEN), 0), D(STOP_LEASE) | D(DISCARD) | D(YES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_way),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_lost_gate_votes_no),
		cmocka_unit_test(test_release_does_not_wait_for_ever),
		cmocka_unit_test(test_undoing_waits_for_all),
		cmocka_unit_test(test_orders_while_undoing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
