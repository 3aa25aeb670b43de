/* SPDX-License-Identifier: GPL-2.0-or-later */
/* throttle.c - see throttle.h. */
#include "config.h"

#include "agent/store/levels/throttle.h"

#include <pthread.h>
#include <stdlib.h>

#define NS INT64_C(1000000000)
#define RATE_MAX (UINT64_C(1) << 33) /* the remainder's nanoseconds fit 64 bits */

struct throttle {
	pthread_mutex_t lock;
	const struct level_clock *clock;
	uint64_t rate;
	int64_t burst_ns; /* what the bucket holds, as time */
	int64_t empty_ns; /* when the bucket is empty of what was taken */
};

static int64_t bytes_as_ns(uint64_t bytes, uint64_t rate)
{
	return (int64_t)(bytes / rate) * NS + (int64_t)(bytes % rate * (uint64_t)NS / rate);
}

struct throttle *throttle_create(uint64_t bytes_per_s, uint64_t burst, const struct level_clock *clock,
				 struct fm_error *err)
{
	struct throttle *t;

	if (!bytes_per_s || bytes_per_s > RATE_MAX) {
		fm_fail(err, FM_USAGE, "a bandwidth of %llu bytes/s is not within 1 to %llu",
			(unsigned long long)bytes_per_s, (unsigned long long)RATE_MAX);
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->clock = clock ? clock : &level_clock_real;
	t->rate = bytes_per_s;
	t->burst_ns = bytes_as_ns(burst, bytes_per_s);
	t->empty_ns = t->clock->now_ns(t->clock->arg) - t->burst_ns;
	return t;
}

void throttle_take(struct throttle *t, uint64_t bytes)
{
	int64_t now, wait;

	if (!t || !bytes)
		return;
	pthread_mutex_lock(&t->lock);
	now = t->clock->now_ns(t->clock->arg);
	if (t->empty_ns < now - t->burst_ns)
		t->empty_ns = now - t->burst_ns; /* full: more does not gather */
	t->empty_ns += bytes_as_ns(bytes, t->rate);
	wait = t->empty_ns - now;
	pthread_mutex_unlock(&t->lock);
	if (wait > 0)
		t->clock->sleep_ns(t->clock->arg, wait);
}

void throttle_destroy(struct throttle *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}
