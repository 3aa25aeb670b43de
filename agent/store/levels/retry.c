/* SPDX-License-Identifier: GPL-2.0-or-later */
/* retry.c - see retry.h. */
#include "config.h"

#include "agent/store/levels/retry.h"

#include <sys/random.h>

#define MS INT64_C(1000000)

void retry_begin(struct retry *r, const struct retry_policy *policy, const struct level_clock *clock)
{
	*r = (struct retry){ .policy = policy, .clock = clock, .begin_ns = clock->now_ns(clock->arg) };
}

int64_t retry_pause_ms(const struct retry_policy *policy, unsigned n, uint32_t random)
{
	int64_t pause = policy->base_ms;

	for (unsigned i = 1; i < n && pause < policy->cap_ms; i++)
		pause *= 2;
	if (pause > policy->cap_ms)
		pause = policy->cap_ms;
	return pause - random % (pause / 2 + 1);
}

bool retry_again(struct retry *r, int64_t at_least_ms)
{
	uint32_t random = 0;
	int64_t pause, spent;

	if (++r->tried >= r->policy->tries)
		return false;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = 0; /* the longest pause */
	pause = retry_pause_ms(r->policy, r->tried, random);
	if (at_least_ms > r->policy->cap_ms)
		at_least_ms = r->policy->cap_ms;
	if (pause < at_least_ms)
		pause = at_least_ms;
	spent = (r->clock->now_ns(r->clock->arg) - r->begin_ns) / MS;
	if (spent + pause > r->policy->total_ms)
		return false;
	r->clock->sleep_ns(r->clock->arg, pause * MS);
	return true;
}

double retry_seconds(const struct retry *r)
{
	return (double)(r->clock->now_ns(r->clock->arg) - r->begin_ns) / 1e9;
}
