/* SPDX-License-Identifier: GPL-2.0-or-later */
/* submit.h - the plug-in's work in sbatch, salloc and srun, before the job is queued. */
#ifndef FM_SLURM_SUBMIT_H
#define FM_SLURM_SUBMIT_H

#include "common/error.h"
#include "plugins/slurm/options.h"
#include "plugins/slurm/site.h"

/*
 * slurm_spank_init in sbatch: `sbatch --restart-from=J` without a script gets
 * the one saved with the snapshot as its standard input.  Does nothing when a
 * script was given, as an argument, by --wrap, or on stdin.
 */
int fm_submit_saved_script(const struct fm_site *site, struct fm_error *err);

/* Are the image and the snapshot there, whole, the user's own; are the nodes enough? */
int fm_submit_check(const struct fm_site *site, const struct fm_options *o, struct fm_error *err);

#endif
