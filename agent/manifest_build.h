/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manifest_build.h - what the lead knows of a snapshot, as the manifest of HACKING "Disk". */
#ifndef FM_MANIFEST_BUILD_H
#define FM_MANIFEST_BUILD_H

#include "agent/cut/lead.h"
#include "agent/job.h"

struct manifest_facts {
	const struct job *job;
	const struct fm_snapshot_id *id;
	const char *comment;          /* NULL: none */
	const char *entries;          /* the members' entries as they gave them, commas between */
	size_t entries_size;
	int64_t first_ns, last_ns;    /* the earliest and the latest instant, CLOCK_REALTIME */
	const double *round_ms;       /* by enum cut_round */
	double create_ms;
	/* filled in */
	uint64_t bytes; /* written by all members */
};

/* The caller puts it. FM_FAILED: the entries are not one of each member. */
struct json_object *manifest_build(struct manifest_facts *facts, struct fm_error *err);

#endif
