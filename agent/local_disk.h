/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_disk.h - the agent's part in LocalDir (agent/local): who does what, when. Nothing without LocalDir.
 *
 *	snapshot whole ─▶ lead: POST …/local to every member's agent, each says what it has ─▶ the record is written
 *	               ─▶ lead: POST …/protect to all ─▶ each queues: its parity, then its packs to StoreDir
 *
 * All that blocks is in helper processes: one that serves the disk to other nodes (its own port), and one at a time of a
 * queue of copies and tidyings. Every five minutes, soon after a failure, and at its start, the agent looks for what was left undone (a lead that
 * died, a copy that failed) and begins it again.
 */
#ifndef FM_LOCAL_DISK_H
#define FM_LOCAL_DISK_H

#include "agent/server.h"
#include "common/snapshot_id.h"

/* FM_INCOMPATIBLE: LocalDir belongs to another store. */
int local_disk_start(struct agent *agent, struct fm_error *err);
void local_disk_stop(struct agent *agent);

/* On the lead: a snapshot has become whole; its job's nodes, by rank. */
void local_disk_snapshot(struct agent *agent, const struct fm_snapshot_id *id, char *const *nodes, size_t count);
/* Something of the job was removed, or its member has ended: free what nothing needs, here; with `all`, on all nodes too. */
void local_disk_tidy(struct agent *agent, uint32_t job, bool all);
/* This member's copies: into the queue. */
void local_disk_copy(struct agent *agent, const struct fm_snapshot_id *id, unsigned rank);

/* POST /v1/snapshots/J.n/local {rank}; …/protect {rank}; …/disk {mend?:[pack…]} (local/check.h); POST /v1/jobs/J/tidy: from other agents. */
void route_local_list(struct request *req, const struct fm_snapshot_id *id);
void route_local_protect(struct request *req, const struct fm_snapshot_id *id);
void route_local_disk(struct request *req, const struct fm_snapshot_id *id);
void route_local_tidy(struct request *req, const struct fm_snapshot_id *id);

/* local_round.c */
struct local_round;
void local_rounds_free(struct agent *agent);

#endif
