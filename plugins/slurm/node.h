/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node.h - the plug-in's work on a compute node before and after the job, as
 * root, in `slurmstepd spank prolog|epilog`.  SPANK gives the job's id and
 * user there, the rest is in the environment.
 */
#ifndef FM_SLURM_NODE_H
#define FM_SLURM_NODE_H

#include <slurm/spank.h>
#include <stdint.h>

#include "common/error.h"
#include "plugins/slurm/options.h"
#include "plugins/slurm/site.h"

/* The arguments with %n resolved; sp NULL in prolog and epilog. */
int fm_node_site(struct fm_site *site, spank_t sp, int ac, char *av[], struct fm_error *err);

/* Blocks until this node's VM runs, or the reason why not is known to the agent. */
int fm_node_prolog(spank_t sp, const struct fm_site *site, const struct fm_options *o, uint32_t job,
		   struct fm_error *err);

int fm_node_epilog(const struct fm_site *site, uint32_t job, struct fm_error *err);

#endif
