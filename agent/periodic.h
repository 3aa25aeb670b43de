/* SPDX-License-Identifier: GPL-2.0-or-later */
/* periodic.h - snapshots by the lead's clock: the first one interval after the group runs. */
#ifndef FM_PERIODIC_H
#define FM_PERIODIC_H

#include "agent/job.h"

void periodic_start(struct job *job); /* nothing when the job has no interval */
void periodic_stop(struct job *job);

#endif
