/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot.h - a group's snapshot, on the lead: does what cut/lead says, with
 * the members' agents, the store and the clock.  One at a time a job.
 */
#ifndef FM_SNAPSHOT_H
#define FM_SNAPSHOT_H

#include "agent/job.h"

struct snapshot;

/* error NULL: it has begun and has this id. Called once; may be from within. */
typedef void (*snapshot_begun)(const struct fm_snapshot_id *id, const struct fm_error *error, void *arg);

/*
 * FM_BUSY while there is one; but one that comes while the manifest is being written begins right after.
 * The end is told by job->outcomes and the log.
 */
void snapshot_create(struct job *job, const char *comment, snapshot_begun begun, void *arg);
/* The job ends or a guest has died: give up, unless it is being made whole already. */
void snapshot_stop(struct job *job, const struct fm_error *error);

/* The agent was killed during one: its members and its remains are seen to. */
void snapshot_recover(struct job *job);

/* {id, state, round, error?, started, bytes} of one under way. */
struct json_object *snapshot_progress(const struct snapshot *s);
/* How it ended, newest first; NULL: not known here. */
const struct outcome *snapshot_outcome(const struct job *job, const struct fm_snapshot_id *id);
bool snapshot_is(const struct snapshot *s, const struct fm_snapshot_id *id);

#endif
