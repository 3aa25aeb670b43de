/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prune.h - retention in the agent: after a snapshot, and on request. The work is store/retain.h's, in tasks.
 *
 * The stricter of the job's and the site's rules holds, unless a request brings its own.
 */
#ifndef FM_PRUNE_H
#define FM_PRUNE_H

#include "agent/server.h"
#include "common/snapshot_id.h"

struct job;

/* POST /v1/prune: {job?, keep?, max_age_s?, dry_run?, damaged?, ended?}; HACKING has the reply. */
void route_prune(struct request *req, const struct fm_snapshot_id *unused);

/* On the lead, when a snapshot has become whole. Nothing where there is no rule. Failures are logged. */
void prune_after_snapshot(struct job *job);

/* A snapshot was removed by name: what only it had goes, too, by and by. Failures are logged. */
void prune_pages(struct agent *agent, uint32_t job);
/* The agent ends: nothing more comes of them. */
void prunes_free(struct agent *agent);

#endif
