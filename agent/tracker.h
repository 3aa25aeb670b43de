/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tracker.h - the save worker that stays between two snapshots of a member, while its guest's pages are watched
 * (Tracking=; HACKING "Tracking").
 *
 *	cutter ─its snapshot is saved, keep▶ tracker ─next arm, take▶ cutter of the next one
 *	                                        └─the guest goes, the worker ends, end▶ gone: the next one is a new worker's
 *
 * What it knows it knows of this agent's life: an agent that was restarted has no tracker, its workers end with it.
 */
#ifndef FM_TRACKER_H
#define FM_TRACKER_H

#include "agent/job.h"

struct tracker;
struct worker;

/* Now the tracker's. map: of the snapshot that it has just saved; tracked: that one was of what had changed. Callbacks of
 * the worker go here from now on. No memory: the worker is closed. */
void tracker_keep(struct job *job, struct worker *worker, const char *map, bool tracked);

/*
 * The worker, for the next snapshot, the caller's; NULL: there is none. *base_r: the map that this one may go on from, caller frees; NULL:
 * it is to be a whole one, since TrackingFull are due. Callbacks are to be set by the caller.
 */
struct worker *tracker_take(struct job *job, char **base_r);

/* NULL is fine, none too. */
void tracker_end(struct job *job);

#endif
