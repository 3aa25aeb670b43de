/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * helper_run.h - run fermata-slurm.
 *
 * The plug-in lives in sbatch and in slurmstepd, where a crash drains a node
 * and every library is one more for all jobs to load.  So it does nothing
 * itself that needs the network, JSON or Slurm's RPCs: a helper program does,
 * started only for Fermata's jobs.
 */
#ifndef FM_SLURM_HELPER_RUN_H
#define FM_SLURM_HELPER_RUN_H

#include <stddef.h>

#include "common/error.h"
#include "plugins/slurm/site.h"

/*
 * Run `fermata-slurm [--conf=…] args…` (args ends with NULL) to its end.  What
 * it writes to stdout goes to out_fd, or is thrown away when that is -1.
 * Failure: its exit code as err->code, the last of its stderr as the text.
 */
int fm_helper_run(const struct fm_site *site, const char *const args[], int out_fd, struct fm_error *err);

#endif
