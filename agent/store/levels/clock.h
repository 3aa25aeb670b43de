/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.h - time as transfers see it, so that a test can have its own. */
#ifndef FM_STORE_LEVEL_CLOCK_H
#define FM_STORE_LEVEL_CLOCK_H

#include <stdint.h>

struct level_clock {
	int64_t (*now_ns)(void *arg); /* monotonic */
	void (*sleep_ns)(void *arg, int64_t ns);
	void *arg;
};

extern const struct level_clock level_clock_real; /* CLOCK_MONOTONIC */

#endif
