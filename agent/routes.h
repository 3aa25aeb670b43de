/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * routes.h - which call does what, and who may make it.  The table in routes.c
 * is the list of HACKING "The agent's API"; handlers live with their noun.
 */
#ifndef FM_ROUTES_H
#define FM_ROUTES_H

#include "agent/server.h"
#include "common/snapshot_id.h"

void routes_dispatch(struct request *req);

/* A handler gets the id in its path: {job, 0} for /jobs/J, {job, n} for /snapshots/J.n. */
typedef void (*route_handler)(struct request *req, const struct fm_snapshot_id *id);

/* routes_status.c */
void route_status(struct request *req, const struct fm_snapshot_id *id);

/* routes_job.c */
void route_jobs(struct request *req, const struct fm_snapshot_id *id);
void route_job(struct request *req, const struct fm_snapshot_id *id);
void route_member_put(struct request *req, const struct fm_snapshot_id *id);
void route_member_delete(struct request *req, const struct fm_snapshot_id *id);
void route_attach(struct request *req, const struct fm_snapshot_id *id);
void route_restart(struct request *req, const struct fm_snapshot_id *id);
void route_plan(struct request *req, const struct fm_snapshot_id *id);
void route_ready(struct request *req, const struct fm_snapshot_id *id);
void route_release(struct request *req, const struct fm_snapshot_id *id);
void route_open(struct request *req, const struct fm_snapshot_id *id);
void route_fence(struct request *req, const struct fm_snapshot_id *id);
void route_abort(struct request *req, const struct fm_snapshot_id *id);

/* routes_snapshot.c */
void route_checkpoint(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_create(struct request *req, const struct fm_snapshot_id *id);
void route_snapshots(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_delete(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_verify(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_pin(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_unpin(struct request *req, const struct fm_snapshot_id *id);
void route_snapshot_script(struct request *req, const struct fm_snapshot_id *id);

#endif
