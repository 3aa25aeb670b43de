/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runner_spool_test.c - no byte of a stream is lost before its reader has it, none is kept for ever. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/runner/spool.h"

#define LIMIT (256u * 1024)

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 13);
}

static size_t fill(struct spool *spool, size_t size)
{
	size_t done = 0;

	while (done < size) {
		uint64_t end = spool_end(spool);
		size_t n;
		uint8_t *tail = spool_tail(spool, &n);

		if (!n)
			break;
		if (n > size - done)
			n = size - done;
		for (size_t i = 0; i < n; i++)
			tail[i] = byte_at(end + i);
		spool_commit(spool, n);
		done += n;
	}
	return done;
}

static void check(const struct spool *spool, uint64_t from, uint64_t to)
{
	while (from < to) {
		const void *data;
		size_t n = spool_peek(spool, from, &data);

		assert_int_not_equal(n, 0);
		for (size_t i = 0; i < n && from < to; i++, from++)
			assert_int_equal(((const uint8_t *)data)[i], byte_at(from));
	}
}

static void full_without_a_reader(void **state)
{
	struct spool *spool = spool_create(LIMIT);
	const void *data;

	assert_int_equal(fill(spool, LIMIT + 1000), LIMIT);
	assert_int_equal(fill(spool, 1), 0); /* the program waits */
	check(spool, 0, LIMIT);
	assert_int_equal(spool_peek(spool, LIMIT, &data), 0);
	spool_acknowledge(spool, 10);
	assert_int_equal(fill(spool, 100), 10); /* what was read makes room, no more */
	assert_int_equal(spool_start(spool), 10);
	check(spool, 10, LIMIT + 10);
	spool_destroy(spool);
}

static void kept_as_long_as_it_fits(void **state)
{
	struct spool *spool = spool_create(LIMIT);

	fill(spool, LIMIT / 2);
	spool_acknowledge(spool, LIMIT / 2);
	assert_int_equal(spool_start(spool), 0); /* a later reader may still want it */
	assert_int_equal(spool_rewind(spool, 0), 0);
	/* and now it is protected again */
	assert_int_equal(fill(spool, LIMIT), LIMIT / 2);
	assert_int_equal(fill(spool, 1), 0);
	check(spool, 0, LIMIT);
	spool_destroy(spool);
}

static void rewound_to_what_is_left(void **state)
{
	struct spool *spool = spool_create(LIMIT);

	for (int i = 0; i < 100; i++) {
		fill(spool, 50000);
		spool_acknowledge(spool, spool_end(spool));
	}
	assert_int_equal(spool_end(spool), 5000000);
	assert_true(spool_start(spool) > 0 && spool_end(spool) - spool_start(spool) <= LIMIT);
	assert_int_equal(spool_rewind(spool, 0), spool_start(spool));
	check(spool, spool_start(spool), spool_end(spool));
	/* a reader that is ahead (the stream will be written again up to there) */
	assert_int_equal(spool_rewind(spool, 6000000), 6000000);
	spool_acknowledge(spool, 7000000); /* never beyond the end */
	fill(spool, 100);
	check(spool, spool_start(spool), spool_end(spool));
	spool_destroy(spool);
}

/* Against a model: a window of the stream, with random writes, reads and new readers. */
static void like_its_model(void **state)
{
	struct spool *spool = spool_create(LIMIT);
	uint64_t acknowledged = 0;

	srand(4711);
	for (int i = 0; i < 20000; i++) {
		uint64_t end = spool_end(spool);
		size_t want = (size_t)(rand() % 70000), got;

		switch (rand() % 4) {
		case 0:
			acknowledged += (end - acknowledged) * (uint64_t)(rand() % 101) / 100;
			spool_acknowledge(spool, acknowledged);
			break;
		case 1:
			if (rand() % 50 == 0)
				acknowledged = spool_rewind(spool, (uint64_t)rand() % (end + 1));
			break;
		default:
			got = fill(spool, want);
			assert_true(spool_end(spool) == end + got);
			if (got < want) /* only when nothing that may go is left */
				assert_true(spool_end(spool) - acknowledged == LIMIT);
		}
		assert_true(spool_start(spool) <= acknowledged);
		assert_true(spool_end(spool) - spool_start(spool) <= LIMIT);
		if (i % 100 == 0)
			check(spool, spool_start(spool), spool_end(spool));
	}
	assert_true(spool_end(spool) > 100 * (uint64_t)LIMIT);
	spool_destroy(spool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_without_a_reader),
		cmocka_unit_test(kept_as_long_as_it_fits),
		cmocka_unit_test(rewound_to_what_is_left),
		cmocka_unit_test(like_its_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
