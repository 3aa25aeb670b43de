/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fence.h - before a group is restored: nobody else may be it.
 *
 * The nodes where the group was, and all of Agents=, are asked: a member of an
 * earlier incarnation of the job is destroyed there, and a guest of another job
 * that has one of the group's addresses is a refusal.  A node whose agent
 * cannot be reached is taken for dead, and said so in the log: Slurm has taken
 * it from the job, and more than that cannot be known from here.
 */
#ifndef FM_FENCE_H
#define FM_FENCE_H

#include "agent/job.h"

struct fence;

/* Called once, later. error: FM_BUSY, whose guest is in the way. */
typedef void (*fence_done)(const struct fm_error *error, void *arg);

/* job is planned; nodes: names, an array that is not taken. */
struct fence *fence_start(struct job *job, struct json_object *nodes, fence_done done, void *arg);
void fence_cancel(struct fence *fence); /* NULL is fine */

/* The other side: POST /v1/jobs/J/fence {restart_count, addresses:[ip…]}. */
void fence_request(struct request *req, uint32_t job);

#endif
