/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clocks.h - how long this program stood still, by each of the machine's clocks.
 *
 * A guest's MONOTONIC stands still while the guest does; BOOTTIME and REALTIME go
 * on. What a user notices is BOOTTIME's gap; that minus MONOTONIC's is the stop of
 * the whole guest, and MONOTONIC's alone is a program that was not let run.
 */
#ifndef TALLY_CLOCKS_H
#define TALLY_CLOCKS_H

#include <stdint.h>

enum clock_of { MONO, BOOT, REAL };
#define CLOCKS 3

struct clocks {
	int64_t now[CLOCKS];     /* ns, at the last tick */
	int64_t gap[CLOCKS];     /* ns, between the last two ticks */
	int64_t largest[CLOCKS]; /* ns, of all ticks so far; each clock by itself */
};

/* The first call only reads the clocks. */
void clocks_tick(struct clocks *clocks);

#endif
