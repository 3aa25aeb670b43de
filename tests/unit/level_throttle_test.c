/* SPDX-License-Identifier: GPL-2.0-or-later */
/* level_throttle_test - what moves keeps to its bandwidth, and what is tried again to its pauses, by a clock of our own. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "agent/store/levels/retry.h"
#include "agent/store/levels/throttle.h"

#define SECOND INT64_C(1000000000)

/* Time passes only by sleeping. */
static int64_t now_ns, slept_ns;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return now_ns;
}

static void fake_sleep(void *arg, int64_t ns)
{
	(void)arg;
	now_ns += ns;
	slept_ns += ns;
}

static const struct level_clock clock_ = { .now_ns = fake_now, .sleep_ns = fake_sleep };

static int set_up(void **state)
{
	(void)state;
	now_ns = 1000 * SECOND;
	slept_ns = 0;
	return 0;
}

static struct throttle *create(uint64_t rate, uint64_t burst)
{
	struct fm_error err;
	struct throttle *t = throttle_create(rate, burst, &clock_, &err);

	assert_non_null(t);
	return t;
}

static void keeps_to_the_rate(void **state)
{
	static const uint64_t rates[] = { 1, 7, 999, 65536, 1000000, UINT64_C(10000000000) / 8, UINT64_C(1) << 33 };

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct throttle *t = create(rates[i], 0);
		int64_t begin = now_ns;
		uint64_t moved = 0;

		for (unsigned n = 0; n < 1000; n++) {
			uint64_t piece = rates[i] / (1 + n % 7) + n;

			throttle_take(t, piece);
			moved += piece;
		}
		/* In time: never sooner than the rate allows, later by rounding alone. */
		assert_true((double)(now_ns - begin) <= (double)moved * 1e9 / (double)rates[i] * 1.000001);
		assert_true((double)(now_ns - begin + 1000) >= (double)moved * 1e9 / (double)rates[i] * 0.999999);
		throttle_destroy(t);
	}
}

static void burst_after_a_pause(void **state)
{
	struct throttle *t = create(1000, 500);

	(void)state;
	throttle_take(t, 500);
	assert_int_equal(slept_ns, 0);
	throttle_take(t, 250);
	assert_int_equal(slept_ns, SECOND / 4);
	now_ns += 3600 * SECOND; /* an hour gathers no more than the bucket holds */
	slept_ns = 0;
	throttle_take(t, 500);
	assert_int_equal(slept_ns, 0);
	throttle_take(t, 1000);
	assert_int_equal(slept_ns, SECOND);
	throttle_destroy(t);
}

static void more_than_the_bucket(void **state)
{
	struct throttle *t = create(1000, 500);

	(void)state;
	throttle_take(t, 10500);
	assert_int_equal(slept_ns, 10 * SECOND);
	throttle_take(t, 0);
	assert_int_equal(slept_ns, 10 * SECOND);
	throttle_take(NULL, 1000000);
	assert_int_equal(slept_ns, 10 * SECOND);
	throttle_destroy(t);
}

static void refuses_no_rate(void **state)
{
	struct fm_error err;

	(void)state;
	assert_null(throttle_create(0, 1, &clock_, &err));
	assert_int_equal(err.code, FM_USAGE);
	assert_null(throttle_create((UINT64_C(1) << 33) + 1, 1, &clock_, &err));
	assert_int_equal(err.code, FM_USAGE);
}

/* ---- shared by threads: a clock that stands still, and adds up what all were told to wait ---- */
static int64_t longest_wait;
static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;

static void note_wait(void *arg, int64_t ns)
{
	(void)arg;
	pthread_mutex_lock(&wait_lock);
	if (ns > longest_wait)
		longest_wait = ns;
	pthread_mutex_unlock(&wait_lock);
}

static void *take_many(void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		throttle_take(arg, 10);
	return NULL;
}

static void shared_by_threads(void **state)
{
	static const struct level_clock still = { .now_ns = fake_now, .sleep_ns = note_wait };
	struct fm_error err;
	struct throttle *t = throttle_create(1000, 0, &still, &err);
	pthread_t threads[4];

	(void)state;
	assert_non_null(t);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, t), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(longest_wait, 40 * SECOND); /* the last of 40000 bytes */
	throttle_destroy(t);
}

/* ---- retry ---- */
static void pauses(void **state)
{
	static const struct retry_policy p = { .tries = 20, .base_ms = 500, .cap_ms = 20000, .total_ms = 1000000 };
	static const int64_t full[] = { 500, 1000, 2000, 4000, 8000, 16000, 20000, 20000 };

	(void)state;
	for (unsigned n = 1; n <= 8; n++) {
		assert_int_equal(retry_pause_ms(&p, n, 0), full[n - 1]);
		for (uint32_t r = 1; r; r *= 3) { /* a long way round 2^32 */
			int64_t pause = retry_pause_ms(&p, n, r);

			assert_true(pause >= full[n - 1] / 2 && pause <= full[n - 1]);
			if (r > UINT32_MAX / 3)
				break;
		}
		assert_int_equal(retry_pause_ms(&p, n, (uint32_t)full[n - 1] / 2), full[n - 1] - full[n - 1] / 2);
	}
	assert_int_equal(retry_pause_ms(&p, 4000000000u, 0), 20000);
}

static void bounded_in_number(void **state)
{
	static const struct retry_policy p = { .tries = 6, .base_ms = 500, .cap_ms = 20000, .total_ms = 1000000 };
	struct retry r;
	unsigned tries = 1;

	(void)state;
	retry_begin(&r, &p, &clock_);
	while (retry_again(&r, 0))
		tries++;
	assert_int_equal(tries, 6);
	assert_int_equal(r.tried, 6);
	assert_true(slept_ns >= (500 + 1000 + 2000 + 4000 + 8000) / 2 * SECOND / 1000);
	assert_true(slept_ns <= (500 + 1000 + 2000 + 4000 + 8000) * SECOND / 1000);
	assert_true(retry_seconds(&r) == (double)slept_ns / 1e9);
}

static void bounded_in_time(void **state)
{
	static const struct retry_policy p = { .tries = 1000000, .base_ms = 500, .cap_ms = 20000, .total_ms = 60000 };
	struct retry r;

	(void)state;
	retry_begin(&r, &p, &clock_);
	while (retry_again(&r, 0))
		;
	assert_true(slept_ns <= 60 * SECOND);
	assert_true(slept_ns >= 40 * SECOND);
	now_ns += 61 * SECOND; /* a try that took long itself */
	assert_false(retry_again(&r, 0));
}

static void obeys_the_server(void **state)
{
	static const struct retry_policy p = { .tries = 3, .base_ms = 10, .cap_ms = 20000, .total_ms = 60000 };
	struct retry r;

	(void)state;
	retry_begin(&r, &p, &clock_);
	assert_true(retry_again(&r, 7000));
	assert_int_equal(slept_ns, 7 * SECOND);
	assert_true(retry_again(&r, 3600000)); /* an hour: not for us */
	assert_int_equal(slept_ns, 27 * SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(keeps_to_the_rate, set_up),	cmocka_unit_test_setup(burst_after_a_pause, set_up),
		cmocka_unit_test_setup(more_than_the_bucket, set_up), cmocka_unit_test(refuses_no_rate),
		cmocka_unit_test_setup(shared_by_threads, set_up),	cmocka_unit_test(pauses),
		cmocka_unit_test_setup(bounded_in_number, set_up),	cmocka_unit_test_setup(bounded_in_time, set_up),
		cmocka_unit_test_setup(obeys_the_server, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
