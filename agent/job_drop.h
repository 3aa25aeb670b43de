/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_drop.h - the epilog: a member's VM, gate and record go; its snapshots stay. */
#ifndef FM_JOB_DROP_H
#define FM_JOB_DROP_H

#include "agent/job.h"

/* Once the record is removed; job is gone by then. error: the VM may still be there, the record is too. */
typedef void (*job_dropped)(struct agent *agent, const struct fm_error *error, void *arg);

/* Any number may ask. */
void job_drop(struct job *job, job_dropped done, void *arg);
/* Something that kept the record has ended: go on, if it was to be dropped. */
void job_drop_next(struct job *job);

#endif
