/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node of the tree: many answers to a round become one, the right member is
 * named, an abort reaches whom it can.  And the tree's arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cut/reduce.h"
#include "agent/cut/shape.h"

/* Rank 2 with children 5 and 6. */
static struct reduce node_in(enum cut_round round)
{
	struct reduce r;

	reduce_init(&r);
	assert_int_equal(reduce_add(&r, 2), 0);
	assert_int_equal(reduce_add(&r, 5), 1);
	assert_int_equal(reduce_add(&r, 6), 2);
	assert_int_equal(reduce_begin(&r, round), REDUCE_WAIT);
	return r;
}

enum what { YES, NO, LOST, TIME };

/* What happens, in order, and what is said after the last of it; nothing is said before. */
static const struct row {
	enum cut_round round;
	struct {
		enum what what;
		unsigned branch;
	} steps[4];
	unsigned count;
	enum reduce_result result;
	unsigned rank;
} table[] = {
	{ CUT_GATE, { { YES, 0 }, { YES, 1 } }, 2, REDUCE_WAIT, 0 },
	{ CUT_GATE, { { YES, 2 }, { YES, 0 }, { YES, 1 } }, 3, REDUCE_YES, 0 },
	{ CUT_GATE, { { YES, 1 }, { YES, 1 }, { YES, 1 } }, 3, REDUCE_WAIT, 0 },
	{ CUT_GATE, { { YES, 1 }, { YES, 7 }, { YES, 0 } }, 3, REDUCE_WAIT, 0 },
	{ CUT_GATE, { { NO, 1 } }, 1, REDUCE_NO, 105 },
	{ CUT_CUT, { { YES, 0 }, { NO, 0 } }, 2, REDUCE_WAIT, 0 },
	{ CUT_CUT, { { YES, 0 }, { YES, 1 }, { NO, 2 } }, 3, REDUCE_NO, 106 },
	{ CUT_CUT, { { LOST, 1 } }, 1, REDUCE_NO, 5 },
	{ CUT_CUT, { { YES, 1 }, { LOST, 1 } }, 2, REDUCE_WAIT, 0 },
	{ CUT_CUT, { { YES, 1 }, { LOST, 1 }, { YES, 2 }, { YES, 0 } }, 4, REDUCE_YES, 0 },
	{ CUT_DRAIN, { { TIME, 0 } }, 1, REDUCE_NO, 2 },
	{ CUT_DRAIN, { { YES, 0 }, { YES, 1 }, { TIME, 0 } }, 3, REDUCE_NO, 6 },
	{ CUT_DRAIN, { { YES, 0 }, { YES, 2 }, { TIME, 0 } }, 3, REDUCE_NO, 5 },
	{ CUT_ABORT, { { YES, 0 }, { NO, 1 }, { YES, 2 } }, 3, REDUCE_YES, 0 },
	{ CUT_ABORT, { { YES, 0 }, { LOST, 1 }, { YES, 2 } }, 3, REDUCE_WAIT, 0 },
	{ CUT_ABORT, { { YES, 0 }, { TIME, 0 } }, 2, REDUCE_YES, 0 },
};

static enum reduce_result happen(struct reduce *r, enum what what, unsigned branch)
{
	switch (what) {
	case YES: return reduce_answer(r, branch, r->round, true, 0, NULL);
	case NO: return reduce_answer(r, branch, r->round, false, 100 + (branch < r->count ? r->branches[branch].rank : 0), NULL);
	case LOST: return reduce_lost(r, branch);
	case TIME: return reduce_time(r);
	}
	return REDUCE_WAIT;
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct row *row = &table[i];
		struct reduce r = node_in(row->round);
		enum reduce_result result = REDUCE_WAIT;

		for (unsigned k = 0; k < row->count; k++) {
			assert_int_equal(result, REDUCE_WAIT);
			result = happen(&r, row->steps[k].what, row->steps[k].branch);
		}
		if (result != row->result || (result == REDUCE_NO && r.blame_rank != row->rank))
			fail_msg("row %zu: %d of %u", i, result, r.blame_rank);
		reduce_dispose(&r);
	}
}

static void test_one_answer_a_round(void **state)
{
	struct reduce r = node_in(CUT_ARM);

	(void)state;
	assert_int_equal(reduce_answer(&r, 1, CUT_ARM, false, 5, NULL), REDUCE_NO);
	assert_int_equal(reduce_answer(&r, 2, CUT_ARM, false, 6, NULL), REDUCE_WAIT);
	assert_int_equal(reduce_lost(&r, 2), REDUCE_WAIT);
	assert_int_equal(reduce_time(&r), REDUCE_WAIT);
	assert_int_equal(r.blame_rank, 5);
	/* a lost branch says no to whatever comes, but an abort */
	assert_int_equal(reduce_begin(&r, CUT_GATE), REDUCE_NO);
	assert_int_equal(r.blame_rank, 6);
	assert_int_equal(reduce_begin(&r, CUT_ABORT), REDUCE_WAIT);
	/* stale: of another round */
	assert_int_equal(reduce_answer(&r, 0, CUT_GATE, true, 0, NULL), REDUCE_WAIT);
	assert_int_equal(r.left, 3);
	reduce_dispose(&r);
}

/* 6 is lost, 5 slow: 6's children get the abort from here, 5 is waited for although its children get it, too. */
static void test_bypass(void **state)
{
	struct reduce r = node_in(CUT_CUT);

	(void)state;
	assert_int_equal(reduce_lost(&r, 2), REDUCE_NO);
	assert_int_equal(reduce_begin(&r, CUT_ABORT), REDUCE_WAIT);
	assert_int_equal(reduce_bypass(&r), 2);
	assert_int_equal(reduce_add(&r, 13), 3);
	assert_int_equal(reduce_add(&r, 14), 4);
	assert_int_equal(reduce_bypass(&r), -1);
	assert_int_equal(reduce_answer(&r, 0, CUT_ABORT, true, 0, NULL), REDUCE_WAIT);
	assert_int_equal(reduce_answer(&r, 3, CUT_ABORT, true, 0, NULL), REDUCE_WAIT);
	reduce_late(&r);
	assert_int_equal(reduce_bypass(&r), 1);
	assert_int_equal(reduce_add(&r, 11), 5);
	assert_int_equal(reduce_bypass(&r), 4); /* a leaf: nothing to add */
	assert_int_equal(reduce_bypass(&r), -1);
	assert_int_equal(reduce_answer(&r, 5, CUT_ABORT, true, 0, NULL), REDUCE_WAIT);
	assert_int_equal(reduce_lost(&r, 4), REDUCE_WAIT);
	assert_int_equal(reduce_bypass(&r), -1);
	assert_int_equal(reduce_result(&r), REDUCE_WAIT);
	assert_int_equal(reduce_answer(&r, 1, CUT_ABORT, true, 0, NULL), REDUCE_YES);
	reduce_dispose(&r);
}

/* Who was silent before is not waited for in the abort; the own member is never bypassed. */
static void test_silent_is_bypassed_at_once(void **state)
{
	struct reduce r = node_in(CUT_CUT);

	(void)state;
	assert_int_equal(reduce_answer(&r, 2, CUT_CUT, true, 0, NULL), REDUCE_WAIT);
	assert_int_equal(reduce_time(&r), REDUCE_NO);
	assert_int_equal(r.blame_rank, 2);
	assert_int_equal(reduce_begin(&r, CUT_ABORT), REDUCE_WAIT);
	assert_int_equal(reduce_bypass(&r), 1);
	assert_int_equal(reduce_bypass(&r), -1);
	assert_int_equal(r.left, 1);
	assert_int_equal(reduce_answer(&r, 2, CUT_ABORT, true, 0, NULL), REDUCE_YES);
	reduce_dispose(&r);
}

static void test_sum(void **state)
{
	const struct cut_sum a = { .stopped_bytes = 5, .drain_us = 9, .drain_bound = 1, .first_ns = 100, .last_ns = 120,
				   .entries = (char *)"{1}", .entries_size = 3 };
	const struct cut_sum b = { .stopped_bytes = 7, .drain_us = 3, .drain_bound = 1, .first_ns = 90, .last_ns = 95,
				   .entries = (char *)"{2},{3}", .entries_size = 7 };
	struct reduce r = node_in(CUT_COMMIT);

	(void)state;
	assert_int_equal(reduce_answer(&r, 1, CUT_COMMIT, true, 0, &a), REDUCE_WAIT);
	assert_int_equal(reduce_answer(&r, 2, CUT_COMMIT, true, 0, &b), REDUCE_WAIT);
	assert_int_equal(reduce_answer(&r, 0, CUT_COMMIT, true, 0, NULL), REDUCE_YES);
	assert_int_equal(r.sum.stopped_bytes, 7);
	assert_int_equal(r.sum.drain_us, 9);
	assert_int_equal(r.sum.drain_bound, 2);
	assert_int_equal(r.sum.first_ns, 90);
	assert_int_equal(r.sum.last_ns, 120);
	assert_int_equal(r.sum.entries_size, 11);
	assert_memory_equal(r.sum.entries, "{1},{2},{3}", 11);
	assert_int_equal(reduce_begin(&r, CUT_ABORT), REDUCE_WAIT);
	assert_int_equal(r.sum.entries_size, 0);
	reduce_dispose(&r);
}

/* Every member but the root is the child of exactly one, its parent. */
static void test_shape(void **state)
{
	(void)state;
	for (unsigned arity = 1; arity <= 5; arity++)
		for (unsigned members = 1; members <= 60; members++) {
			unsigned seen[60] = { 0 }, first, total = 1;

			for (unsigned rank = 0; rank < members; rank++) {
				unsigned count = shape_children(rank, arity, members, &first), size = 1;

				assert_true(count <= arity);
				for (unsigned i = 0; i < count; i++) {
					seen[first + i]++;
					assert_int_equal(shape_parent(first + i, arity), rank);
					assert_true(shape_above(rank, first + i, arity));
					assert_true(shape_above(0, first + i, arity));
					assert_true(shape_height(rank, arity, members) > shape_height(first + i, arity, members));
					size += shape_size(first + i, arity, members);
				}
				assert_int_equal(size, shape_size(rank, arity, members));
				assert_int_equal(count == 0, shape_height(rank, arity, members) == 0);
			}
			for (unsigned rank = 1; rank < members; rank++)
				total += seen[rank] == 1;
			assert_int_equal(total, members);
		}
	assert_int_equal(shape_height(0, 32, 1000), 2);
	assert_int_equal(shape_size(0, 32, 1000), 1000);
	assert_int_equal(shape_height(0, 4096, 4000000000u), 3);
	assert_false(shape_above(2, 3, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_one_answer_a_round),
		cmocka_unit_test(test_bypass),
		cmocka_unit_test(test_silent_is_bypassed_at_once),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
