/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retain_plan.h - which of a job's snapshots stay: pure, no I/O, no clock.
 *
 * In this order:
 *  - pinned ones, and those in use, stay; a pinned one is not counted;
 *  - damaged ones are not counted, and go only where that was asked for;
 *  - of the others the newest `keep` stay, where there is such a rule; then those that are no older than max_age_s;
 *  - the newest whole one stays at any age, unless its job is known to have ended: it is what a requeued job goes on from.
 */
#ifndef FM_STORE_RETAIN_PLAN_H
#define FM_STORE_RETAIN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0: no such rule. */
struct retain_rules {
	unsigned keep;     /* snapshots */
	int64_t max_age_s; /* since their creation */
};

/* Of each the stricter one. */
struct retain_rules retain_stricter(struct retain_rules a, struct retain_rules b);

enum retain_state {
	RETAIN_WHOLE,
	RETAIN_DAMAGED,
	RETAIN_UNKNOWN, /* cannot be looked at now, or only by a newer version: neither counted nor removed */
};

struct retain_entry {
	uint32_t n;
	enum retain_state state;
	bool pinned, in_use;
	int64_t created; /* seconds since 1970 */
	uint64_t bytes;  /* its own, without pages */
	/* decided: */
	bool remove;
	char why[768]; /* may be set before for damaged and unknown ones */
};

struct retain_wishes {
	struct retain_rules rules;
	bool ended;      /* the job has, the caller says */
	bool damaged;    /* remove them, too */
	int64_t now;     /* seconds since 1970 */
};

/* entries: by n, ascending. */
void retain_decide(struct retain_entry *entries, size_t count, const struct retain_wishes *w);

#endif
