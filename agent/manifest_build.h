/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manifest_build.h - what the lead knows of a snapshot, as the manifest of HACKING "Disk". */
#ifndef FM_MANIFEST_BUILD_H
#define FM_MANIFEST_BUILD_H

#include "agent/job.h"

struct manifest_facts {
	const struct job *job;
	const struct fm_snapshot_id *id;
	const char *comment;          /* NULL: none */
	struct json_object **members; /* by rank, as the members gave them; all there */
	const int64_t *suspended_ns;  /* by rank, CLOCK_REALTIME */
	double create_ms;
};

struct json_object *manifest_build(const struct manifest_facts *facts); /* the caller puts it */

#endif
