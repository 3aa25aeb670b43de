/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot_id.c - see snapshot_id.h. */
#include "config.h"

#include "common/snapshot_id.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Decimal, > 0, fits 32 bits; NULL when not. */
static const char *positive(const char *p, uint32_t *value_r)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return NULL;
	}
	*value_r = (uint32_t)value;
	return value ? p : NULL;
}

int fm_snapshot_id_parse(const char *text, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	struct fm_snapshot_id id = { 0 };
	const char *p = positive(text, &id.job);

	if (p && *p == '.')
		p = positive(p + 1, &id.n);
	if (!p || *p)
		return fm_fail(err, FM_USAGE, "\"%.64s\" is no snapshot: write a job (1234) or a snapshot of it (1234.3)",
			       text);
	*id_r = id;
	return 0;
}

void fm_snapshot_id_format(const struct fm_snapshot_id *id, char buf[24])
{
	if (id->n)
		snprintf(buf, 24, "%" PRIu32 ".%" PRIu32, id->job, id->n);
	else
		snprintf(buf, 24, "%" PRIu32, id->job);
}
