/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clocks.c - see clocks.h. */
#include "clocks.h"

#include <stdbool.h>
#include <time.h>

static const clockid_t ids[CLOCKS] = { [MONO] = CLOCK_MONOTONIC, [BOOT] = CLOCK_BOOTTIME, [REAL] = CLOCK_REALTIME };

void clocks_tick(struct clocks *clocks)
{
	bool first = !clocks->now[MONO];

	for (int i = 0; i < CLOCKS; i++) {
		struct timespec t;
		int64_t now;

		clock_gettime(ids[i], &t);
		now = t.tv_sec * 1000000000LL + t.tv_nsec;
		clocks->gap[i] = first ? 0 : now - clocks->now[i];
		clocks->now[i] = now;
		if (clocks->gap[i] > clocks->largest[i])
			clocks->largest[i] = clocks->gap[i];
	}
}
