/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sbatch.h - what the plug-in reads from the program it is loaded into.
 *
 * SPANK tells nothing of sbatch's own options.  sbatch exports its option
 * record `opt` and libslurmfull the calls on it by name (20.11 to 26.05 the
 * same); they are looked up at run time, so that a Slurm without them costs
 * the early checks and nothing else.
 */
#ifndef FM_SLURM_SBATCH_H
#define FM_SLURM_SBATCH_H

#include "common/error.h"

#define FM_SBATCH_VALUE_MAX 256

/* Is this process sbatch (and not salloc or srun)? */
int fm_is_sbatch(void);

struct fm_command_line {
	int has_script;                         /* a script or --wrap: stdin is not read */
	char restart_from[FM_SBATCH_VALUE_MAX]; /* --restart-from's value, "" when absent */
};

/* Read this sbatch's command line the way sbatch will; only in slurm_spank_init. */
int fm_command_line_read(struct fm_command_line *line, struct fm_error *err);

/*
 * Make the job ask for what restoring `what` takes; the three only in
 * slurm_spank_init_post_opt.  What the user did not say is chosen, what he
 * said and does not do is an error that names both.
 *
 * nodes: exactly as many as the snapshot has members.  memory: at least so
 * much a node, unless he counts it by processor or GPU.  processors: at least
 * so many a node, unless he said a least number himself.
 */
int fm_nodes_require(long members, const char *what, struct fm_error *err);
int fm_memory_require(long mib, const char *what, struct fm_error *err);
int fm_cpus_require(long cpus, const char *what, struct fm_error *err);

#endif
