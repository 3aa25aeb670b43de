/* SPDX-License-Identifier: GPL-2.0-or-later */
/* allocation.h - what Slurm gave a job on one node; asks slurmctld through libslurm. */
#ifndef FM_SLURM_ALLOCATION_H
#define FM_SLURM_ALLOCATION_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct fm_allocation {
	char *name;          /* the job's, never NULL after a load */
	gid_t gid;
	unsigned memory_mib; /* on that node; 0 = Slurm does not know */
	unsigned vcpus;
	unsigned restart_count;
};

/*
 * Memory: what was asked for (--mem, --mem-per-cpu); when nothing was, the
 * node's memory in proportion to the job's share of its processors.
 */
int fm_allocation_load(struct fm_allocation *a, uint32_t job, const char *node, struct fm_error *err);
void fm_allocation_dispose(struct fm_allocation *a);

/* The batch script; FM_NOT_FOUND when the job has none (salloc, srun). Caller frees. */
char *fm_allocation_script(uint32_t job, struct fm_error *err);

#endif
