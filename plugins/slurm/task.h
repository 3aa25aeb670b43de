/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task.h - a task of a Fermata job runs in the VM: fermata-shim goes in its place. */
#ifndef FM_SLURM_TASK_H
#define FM_SLURM_TASK_H

#include <slurm/spank.h>

#include "common/error.h"
#include "plugins/slurm/site.h"

/* slurm_spank_task_init.  Does not return where it execs (Slurm before 23.11). */
int fm_task_enter_guest(spank_t sp, const struct fm_site *site, struct fm_error *err);

#endif
