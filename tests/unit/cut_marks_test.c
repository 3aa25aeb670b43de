/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cut_marks_test.c - markers of a snapshot, counted and proven.
 *
 * Promises: a member has all when each peer's own came, once; what was made
 * for another member, another snapshot, by another key, or was changed in a
 * single bit, counts for nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cut/marks.h"

#define MEMBERS 5

static const uint8_t key[MARK_KEY] = "a key of thirty-two bytes, or so";

static void group(struct marks m[MEMBERS])
{
	for (unsigned rank = 0; rank < MEMBERS; rank++)
		assert_int_equal(marks_init(&m[rank], 7, 3, rank, MEMBERS, key), 0);
}

static void done(struct marks m[MEMBERS])
{
	for (unsigned rank = 0; rank < MEMBERS; rank++)
		marks_dispose(&m[rank]);
}

static void each_peer_counts_once(void **state)
{
	struct marks m[MEMBERS];
	uint8_t mark[MARK_SIZE];
	unsigned from;

	group(m);
	for (unsigned to = 0; to < MEMBERS; to++) {
		assert_int_equal(m[to].missing, MEMBERS - 1);
		for (unsigned i = 1; i < MEMBERS; i++) {
			unsigned rank = (to + i) % MEMBERS;

			assert_int_equal(marks_make(&m[rank], to, mark), 0);
			assert_int_equal(marks_take(&m[to], mark, sizeof(mark), &from), MARKS_NEW);
			assert_int_equal(from, rank);
			assert_int_equal(marks_take(&m[to], mark, sizeof(mark), &from), MARKS_AGAIN);
			assert_int_equal(m[to].missing, MEMBERS - 1 - i);
		}
	}
	done(m);
}

static void missing_is_named(void **state)
{
	struct marks m[MEMBERS];
	uint8_t mark[MARK_SIZE];
	unsigned from;

	group(m);
	assert_int_equal(marks_first_missing(&m[0]), 1);
	assert_int_equal(marks_first_missing(&m[1]), 0);
	marks_make(&m[1], 0, mark);
	marks_take(&m[0], mark, sizeof(mark), &from);
	assert_int_equal(marks_first_missing(&m[0]), 2);
	done(m);
}

static void nobody_elses_counts(void **state)
{
	static const uint8_t other_key[MARK_KEY] = "another";
	struct marks m[MEMBERS], other;
	uint8_t mark[MARK_SIZE];
	unsigned from;

	group(m);
	marks_make(&m[1], 2, mark); /* a bridge that floods */
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_make(&m[0], 0, mark); /* our own, come back */
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_init(&other, 7, 4, 1, MEMBERS, key); /* the next snapshot */
	marks_make(&other, 0, mark);
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_dispose(&other);
	marks_init(&other, 8, 3, 1, MEMBERS, key); /* another job */
	marks_make(&other, 0, mark);
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_dispose(&other);
	marks_init(&other, 7, 3, 1, MEMBERS, other_key);
	marks_make(&other, 0, mark);
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_dispose(&other);
	marks_init(&other, 7, 3, MEMBERS, MEMBERS + 1, key); /* no member of ours */
	marks_make(&other, 0, mark);
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
	marks_dispose(&other);
	assert_int_equal(m[0].missing, MEMBERS - 1);
	done(m);
}

static void every_changed_bit_is_seen(void **state)
{
	struct marks m[MEMBERS];
	uint8_t mark[MARK_SIZE];
	unsigned from;

	group(m);
	marks_make(&m[1], 0, mark);
	for (unsigned bit = 0; bit < 8 * sizeof(mark); bit++) {
		mark[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_FALSE);
		mark[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < sizeof(mark); size++)
		assert_int_equal(marks_take(&m[0], mark, size, &from), MARKS_FALSE);
	assert_int_equal(marks_take(&m[0], mark, sizeof(mark), &from), MARKS_NEW);
	done(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_peer_counts_once),
		cmocka_unit_test(missing_is_named),
		cmocka_unit_test(nobody_elses_counts),
		cmocka_unit_test(every_changed_bit_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
