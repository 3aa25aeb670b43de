/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.c - see clock.h. */
#include "config.h"

#include "agent/store/levels/clock.h"

#include <errno.h>
#include <time.h>

static int64_t real_now(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void real_sleep(void *arg, int64_t ns)
{
	struct timespec t = { ns / INT64_C(1000000000), ns % INT64_C(1000000000) };

	(void)arg;
	while (ns > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

const struct level_clock level_clock_real = { .now_ns = real_now, .sleep_ns = real_sleep };
