/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * marker.h - "this node's job J is Fermata's": an empty file <run>/J.
 *
 * An srun step does not see the options of the job's sbatch.  The prolog (the
 * helper) makes the file, the epilog removes it, the plug-in in a step looks.
 */
#ifndef FM_SLURM_MARKER_H
#define FM_SLURM_MARKER_H

#include <stdint.h>

#include "common/error.h"

int fm_marker_make(const char *run, uint32_t job, struct fm_error *err);
void fm_marker_remove(const char *run, uint32_t job);
int fm_marker_exists(const char *run, uint32_t job);

#endif
