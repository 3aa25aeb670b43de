/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * periodic.h - snapshots by the lead's clock: one interval after the group runs, and one after the end of each snapshot,
 * asked for or periodic, whole or not.  So a job runs at least an interval between two, however long they take.
 */
#ifndef FM_PERIODIC_H
#define FM_PERIODIC_H

#include "agent/job.h"

void periodic_start(struct job *job); /* nothing when the job has no interval */
void periodic_again(struct job *job); /* a snapshot has ended: count from here */
void periodic_stop(struct job *job);

#endif
