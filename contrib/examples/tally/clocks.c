/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clocks.c - see clocks.h. */
#include "clocks.h"

#include <stdbool.h>
#include <time.h>

#define TRIES 5
#define CLOSE_NS 500000

static const clockid_t ids[CLOCKS] = { [MONO] = CLOCK_MONOTONIC, [BOOT] = CLOCK_BOOTTIME, [REAL] = CLOCK_REALTIME };

static int64_t read_clock(enum clock_of which)
{
	struct timespec t;

	clock_gettime(ids[which], &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* All clocks at one moment: a machine that stops between two readings would seem to have clocks that part. */
static void read_all(int64_t now[CLOCKS])
{
	for (int tries = 0; tries < TRIES; tries++) {
		int64_t before = read_clock(BOOT), after;

		now[MONO] = read_clock(MONO);
		now[REAL] = read_clock(REAL);
		now[BOOT] = after = read_clock(BOOT);
		if (after - before < CLOSE_NS)
			return;
	}
}

void clocks_tick(struct clocks *clocks)
{
	bool first = !clocks->now[MONO];
	int64_t now[CLOCKS];

	read_all(now);
	for (int i = 0; i < CLOCKS; i++) {
		clocks->gap[i] = first ? 0 : now[i] - clocks->now[i];
		clocks->now[i] = now[i];
		if (clocks->gap[i] > clocks->largest[i])
			clocks->largest[i] = clocks->gap[i];
	}
}
