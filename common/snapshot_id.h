/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot_id.h - "1234.3" names snapshot 3 of job 1234; "1234" the newest whole one. */
#ifndef FM_SNAPSHOT_ID_H
#define FM_SNAPSHOT_ID_H

#include <stdint.h>

#include "error.h"

struct fm_snapshot_id {
	uint32_t job; /* > 0 */
	uint32_t n;   /* 0: the newest whole one */
};

int fm_snapshot_id_parse(const char *text, struct fm_snapshot_id *id_r, struct fm_error *err);
void fm_snapshot_id_format(const struct fm_snapshot_id *id, char buf[24]);

#endif
