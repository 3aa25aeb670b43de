/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally_ledger_test.c - what tally's verdict rests on: every number that is missing,
 * comes twice or late is counted, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contrib/examples/tally/ledger.h"

static void expect(const uint32_t *numbers, size_t count, uint32_t sent, int64_t lost, uint32_t doubled, uint32_t reordered)
{
	struct ledger ledger = { 0 };

	for (size_t i = 0; i < count; i++)
		assert_int_equal(ledger_take(&ledger, numbers[i]), 0);
	assert_int_equal(ledger_lost(&ledger, sent), lost);
	assert_int_equal(ledger.doubled, doubled);
	assert_int_equal(ledger.reordered, reordered);
	ledger_dispose(&ledger);
}

#define EXPECT(sent, lost, doubled, reordered, ...)                                                                 \
	do {                                                                                                        \
		const uint32_t numbers[] = { __VA_ARGS__ };                                                         \
		expect(numbers, sizeof(numbers) / sizeof(numbers[0]), sent, lost, doubled, reordered);              \
	} while (0)

static void counts(void **state)
{
	(void)state;
	expect(NULL, 0, 0, 0, 0, 0);
	expect(NULL, 0, 3, 3, 0, 0);
	EXPECT(4, 0, 0, 0, 0, 1, 2, 3);
	EXPECT(4, 1, 0, 0, 0, 1, 3);          /* one in the middle */
	EXPECT(4, 1, 0, 0, 1, 2, 3);          /* the first */
	EXPECT(4, 2, 0, 0, 0, 1);             /* the last two */
	EXPECT(4, 0, 1, 0, 0, 1, 1, 2, 3);    /* at once */
	EXPECT(4, 0, 1, 0, 0, 1, 2, 3, 0);    /* much later; a copy is not late */
	EXPECT(4, 0, 0, 1, 0, 2, 1, 3);
	EXPECT(4, 0, 0, 2, 2, 0, 1, 3);
	EXPECT(4, 1, 2, 1, 0, 2, 1, 1, 2);    /* all of it, none hides another */
	EXPECT(2, -1, 0, 0, 0, 1, 2);         /* one that was never sent */
}

static void missing(void **state)
{
	struct ledger ledger = { 0 };
	uint32_t first;

	(void)state;
	assert_int_equal(ledger_missing(&ledger, 0, 0, &first), 0);
	assert_int_equal(ledger_missing(&ledger, 0, 3, &first), 3);
	for (uint32_t i = 0; i < 10; i++)
		if (i != 0 && i != 4 && i != 5)
			assert_int_equal(ledger_take(&ledger, i), 0);
	assert_int_equal(ledger_missing(&ledger, 0, 10000, &first), 1);
	assert_int_equal(first, 0);
	assert_int_equal(ledger_missing(&ledger, 1, 10000, &first), 2);
	assert_int_equal(first, 4);
	assert_int_equal(ledger_missing(&ledger, 6, 10000, &first), 9990);
	assert_int_equal(first, 10);
	assert_int_equal(ledger_missing(&ledger, 6, 10, &first), 0);
	ledger_dispose(&ledger);
}

static void many(void **state)
{
	struct ledger ledger = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(ledger_take(&ledger, i ^ 1), 0); /* pairs swapped */
	assert_int_equal(ledger.reordered, 50000);
	assert_int_equal(ledger_lost(&ledger, 100000), 0);
	assert_int_equal(ledger_take(&ledger, LEDGER_MAX), -1); /* and asks for no memory */
	assert_int_equal(ledger_take(&ledger, UINT32_MAX), -1);
	assert_true(ledger.room < LEDGER_MAX);
	ledger_dispose(&ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counts), cmocka_unit_test(missing), cmocka_unit_test(many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
