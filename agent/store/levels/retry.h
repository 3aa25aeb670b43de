/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retry.h - when to ask again after an error that may pass: exponential backoff
 * with jitter, bounded in number and in time.
 *
 * The n-th pause is between half of base·2^(n-1) and all of it ("equal jitter":
 * many members that were refused together do not come back together), at most cap.
 */
#ifndef FM_STORE_LEVEL_RETRY_H
#define FM_STORE_LEVEL_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/store/levels/clock.h"

struct retry_policy {
	unsigned tries;   /* all in all, the first included; at least 1 */
	int64_t base_ms;  /* the first pause */
	int64_t cap_ms;   /* the longest pause */
	int64_t total_ms; /* no pause that would end later than this after the first try's begin */
};

struct retry {
	const struct retry_policy *policy;
	const struct level_clock *clock;
	unsigned tried;
	int64_t begin_ns;
};

/* Of one request; both must outlive it. */
void retry_begin(struct retry *retry, const struct retry_policy *policy, const struct level_clock *clock);
/*
 * A try has failed. true: the pause has passed, try again; false: it was the
 * last.  at_least_ms: what the server asked for (Retry-After), obeyed up to cap.
 */
bool retry_again(struct retry *retry, int64_t at_least_ms);
/* Since retry_begin(). */
double retry_seconds(const struct retry *retry);

/* The n-th pause (n from 1 on) for a random number: pure. */
int64_t retry_pause_ms(const struct retry_policy *policy, unsigned n, uint32_t random);

#endif
