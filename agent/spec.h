/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spec.h - what the scheduler's plug-in says of a job (HACKING "Job spec"),
 * checked: every length and number is bounded, every name is printable.
 */
#ifndef FM_SPEC_H
#define FM_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

#define SPEC_NODES_MAX 4096
#define SPEC_GIDS_MAX 1024
#define SPEC_SCRIPT_MAX (4u << 20)

struct spec {
	uint32_t job;
	uid_t uid;
	gid_t gid;
	gid_t *gids;
	size_t gid_count;
	char *scheduler, *name, *user, *image;
	char **nodes;
	unsigned node_count;
	unsigned memory_mib; /* 0: the configuration's */
	unsigned vcpus;
	unsigned restart_count;
	bool restart;                       /* --restart-from was given: */
	struct fm_snapshot_id restart_from; /* n 0: the newest whole one */
	bool deferred;                      /* what to restart from the owner says later: POST restart */
	int64_t interval_s;                 /* 0: no periodic snapshots */
	unsigned keep;                      /* 0: all */
	int64_t max_age_s;                  /* of snapshots; 0: any */
	char *script;                       /* rank 0's; NULL elsewhere and once stored */
};

/* Dispose in any case. The script is not written by spec_to_json(). */
int spec_parse(struct spec *spec, struct json_object *o, struct fm_error *err);
struct json_object *spec_to_json(const struct spec *spec);
void spec_dispose(struct spec *spec);
long spec_rank(const struct spec *spec, const char *node); /* -1: not of this job */

#endif
