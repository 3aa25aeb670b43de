/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - what a group is made from: decided once by the lead, then worked
 * out by every member for itself.  Both run as tasks (task.h): they read the
 * store, the images and the user database.
 */
#ifndef FM_PLAN_H
#define FM_PLAN_H

#include "agent/job.h"
#include "agent/task.h"

/*
 * arg: the lead's struct job. Stores its script, picks the snapshot, if any, and
 * gives {restore: "J.n"|null, incarnation, members, identity, script_error?,
 * fence?: nodes where somebody may still be this group (fence.h)}.
 * FM_NOT_FOUND, FM_CORRUPT: no such snapshot; FM_DENIED: another user's;
 * FM_INCOMPATIBLE: it does not fit the job's nodes.
 */
int plan_decide(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err);

/*
 * arg: a planned struct job. Gives {request: the worker's, home, image,
 * memory_mib, vcpus} and, restoring, the held frames as the blob.
 */
int plan_member(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err);

#endif
