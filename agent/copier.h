/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copier.h - whole snapshots to the levels behind StoreDir (fermata.conf, Level=), by workers.
 *
 *	whole ─▶ queued ─▶ copying (a worker; one at a time on a node, so that Bandwidth= is the node's) ─▶ done
 *	                      └─failed─▶ queued again, later and later (LevelRetry=)
 *
 * The lead's agent does it for its jobs, also after they have ended.  Nothing of it is kept but in the store: after a
 * start the store is looked through for snapshots of jobs whose first node this is, and that are not on all levels yet.
 * A failure harms neither job nor snapshot; it is logged, and in `fermata show`.
 */
#ifndef FM_COPIER_H
#define FM_COPIER_H

#include "agent/agent.h"

/* fermata.conf's lines as a request to a worker has them. Caller puts it. */
struct json_object *copier_levels(const struct fm_conf *conf);

/* There is something of this job to copy, or to remove from the levels. Nothing without levels. */
void copier_add(struct agent *agent, uint32_t job);
/* The agent has started. */
void copier_recover(struct agent *agent);
/* The agent ends: the worker does, too; what is left is the next one's. */
void copier_free(struct agent *agent);

#endif
