/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot_wait.h - ask for a job's snapshot and see it through. */
#ifndef FM_SLURM_SNAPSHOT_WAIT_H
#define FM_SLURM_SNAPSHOT_WAIT_H

#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"

/* Begin one; nodes: the job's. FM_BUSY when one is under way. */
int fm_snapshot_begin(const struct fm_conf *conf, uint32_t job, const char *nodes, char id_r[24],
		      struct fm_error *err);

/*
 * Wait until it is whole (*reply_r: the agent's description; caller puts it).
 * It failed: FM_FAILED with the reason.  max_wait_s seconds are over (-1: no
 * bound): FM_TIMEOUT, and it goes on by itself.  An agent that cannot be
 * reached for a while is waited for: the snapshot does not depend on us.
 */
int fm_snapshot_wait(const struct fm_conf *conf, uint32_t job, const char *nodes, const char *id,
		     int64_t max_wait_s, struct json_object **reply_r, struct fm_error *err);

/* "snapshot 1234.3 whole: /path, 2 members, 153 MiB, stopped 85 ms" */
void fm_snapshot_describe(struct json_object *reply, const char *id, char *text, size_t size);

#endif
