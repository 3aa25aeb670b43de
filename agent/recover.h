/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recover.h - an agent that was killed finds what it left.
 *
 * For each record: savers that outlived the agent are waited for (they undo
 * themselves), then killed; a guest left suspended or paused runs again behind
 * an open gate; a guest that is gone is reported; a member that was being
 * created or restored is destroyed and its group told.  A domain of ours
 * without a record is made to run and otherwise left alone.
 */
#ifndef FM_RECOVER_H
#define FM_RECOVER_H

#include "agent/job_drop.h"

/* Records have been loaded, old gates opened. done() once, when the agent may serve. */
typedef void (*recovered)(struct agent *agent, const struct fm_error *error);
int recover_start(struct agent *agent, recovered done, struct fm_error *err);

/* Compare records and domains while the agent runs. */
void recover_missing(struct agent *agent);

/* Destroy fm-<job>-… domains that have no record; done() also when there are none. */
void recover_destroy_strays(struct agent *agent, uint32_t job, job_dropped done, void *arg);

#endif
