/* SPDX-License-Identifier: GPL-2.0-or-later */
/* duration.c - see duration.h. */
#include "config.h"

#include "common/duration.h"

#include <ctype.h>
#include <string.h>

#define DURATION_MAX_S (INT64_C(366) * 24 * 3600 * 100) /* a century: no overflow below */

/* Unsigned decimal at *p; -1 when there is none or it is absurd. */
static int64_t number(const char **p)
{
	int64_t value = 0;

	if (!isdigit((unsigned char)**p))
		return -1;
	for (; isdigit((unsigned char)**p); (*p)++) {
		value = value * 10 + (**p - '0');
		if (value > DURATION_MAX_S)
			return -1;
	}
	return value;
}

/* Up to three numbers joined by ':'; how many, or -1. */
static int colon_list(const char *p, int64_t part[3])
{
	int n = 0;

	for (;;) {
		if (n == 3 || (part[n++] = number(&p)) < 0)
			return -1;
		if (!*p)
			return n;
		if (*p++ != ':')
			return -1;
	}
}

static int64_t slurm_seconds(const char *text)
{
	int64_t part[3] = { 0 }, days = 0;
	const char *p = text;
	int n;

	if (strchr(text, '-')) {
		days = number(&p);
		if (days < 0 || *p++ != '-' || (n = colon_list(p, part)) < 0)
			return -1;
		return days * 86400 + part[0] * 3600 + part[1] * 60 + part[2];
	}
	n = colon_list(p, part);
	switch (n) {
	case 1: return part[0] * 60;
	case 2: return part[0] * 60 + part[1];
	case 3: return part[0] * 3600 + part[1] * 60 + part[2];
	}
	return -1;
}

int fm_duration_slurm(const char *text, int64_t *seconds_r, struct fm_error *err)
{
	int64_t seconds = slurm_seconds(text);

	if (seconds < 0 || seconds > DURATION_MAX_S)
		return fm_fail(err, FM_USAGE,
			       "\"%s\" is no time: write minutes, m:s, h:m:s, d-h, d-h:m or d-h:m:s", text);
	*seconds_r = seconds;
	return 0;
}

int fm_duration_conf(const char *text, int64_t *ms_r, struct fm_error *err)
{
	static const struct { const char *suffix; int64_t ms; } units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	const char *p = text;
	int64_t value = number(&p);

	for (unsigned i = 0; value >= 0 && i < sizeof units / sizeof *units; i++)
		if (!strcmp(p, units[i].suffix)) {
			*ms_r = value * units[i].ms;
			return 0;
		}
	return fm_fail(err, FM_USAGE, "\"%s\" is no length of time: write 20ms, 2s, 5m, 1h or 1d", text);
}
