/* SPDX-License-Identifier: GPL-2.0-or-later */
/* retain_plan.c - see retain_plan.h. */
#include "config.h"

#include "agent/store/retain_plan.h"

#include <stdarg.h>
#include <stdio.h>

struct retain_rules retain_stricter(struct retain_rules a, struct retain_rules b)
{
	if (!a.keep || (b.keep && b.keep < a.keep))
		a.keep = b.keep;
	if (!a.max_age_s || (b.max_age_s && b.max_age_s < a.max_age_s))
		a.max_age_s = b.max_age_s;
	return a;
}

__attribute__((format(printf, 3, 4)))
static void say(struct retain_entry *e, bool remove, const char *fmt, ...)
{
	va_list ap;

	e->remove = remove;
	va_start(ap, fmt);
	vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
}

/* "36 h", "90 s": the largest unit that says it exactly. */
static const char *span(int64_t s, char text_r[32])
{
	if (s % 86400 == 0)
		snprintf(text_r, 32, "%lld d", (long long)(s / 86400));
	else if (s % 3600 == 0)
		snprintf(text_r, 32, "%lld h", (long long)(s / 3600));
	else if (s % 60 == 0)
		snprintf(text_r, 32, "%lld min", (long long)(s / 60));
	else
		snprintf(text_r, 32, "%lld s", (long long)s);
	return text_r;
}

/* One that counts; `newer` others that count, and `whole` whole ones of any kind, come after it. */
static void decide_whole(struct retain_entry *e, size_t newer, size_t whole, const struct retain_wishes *w)
{
	const struct retain_rules *r = &w->rules;
	bool old = r->max_age_s && w->now - e->created > r->max_age_s;
	char age[32];

	if (e->in_use)
		say(e, false, "it is being restored");
	else if (r->keep && newer >= r->keep)
		say(e, true, "%u newer %s kept", r->keep, r->keep == 1 ? "one is" : "ones are");
	else if (old && whole == 0 && !w->ended)
		say(e, false, "older than %s, but the job's newest", span(r->max_age_s, age));
	else if (old)
		say(e, true, "older than %s", span(r->max_age_s, age));
	else if (r->keep)
		say(e, false, r->keep == 1 ? "the newest" : "one of the newest %u", r->keep);
	else if (r->max_age_s)
		say(e, false, "no older than %s", span(r->max_age_s, age));
	else
		say(e, false, "no rule removes it");
}

static void decide_damaged(struct retain_entry *e, const struct retain_wishes *w)
{
	e->remove = w->damaged && !e->in_use;
	if (!*e->why)
		say(e, e->remove, "damaged");
}

void retain_decide(struct retain_entry *entries, size_t count, const struct retain_wishes *w)
{
	size_t counted = 0, whole = 0;

	for (size_t i = count; i-- > 0;) {
		struct retain_entry *e = &entries[i];

		e->remove = false;
		if (e->pinned) {
			if (!*e->why)
				say(e, false, "pinned");
		} else if (e->state == RETAIN_DAMAGED) {
			decide_damaged(e, w);
		} else if (e->state == RETAIN_WHOLE) {
			decide_whole(e, counted++, whole, w);
		}
		whole += e->state == RETAIN_WHOLE;
	}
}
