/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slurm_job.h - what the scontrol front must know of a job from slurmctld. */
#ifndef FM_SLURM_JOB_H
#define FM_SLURM_JOB_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

enum fm_job_phase { FM_JOB_PENDING, FM_JOB_RUNNING, FM_JOB_SUSPENDED, FM_JOB_FINISHED };

struct fm_slurm_job {
	uint32_t job;
	uid_t uid;
	enum fm_job_phase phase;
	char *nodes; /* hostlist, of a finished job the one it had; never NULL after a load */
};

/* Once per process. cluster: -M's argument, or NULL for the local one. */
int fm_slurm_init(const char *cluster, struct fm_error *err);

/* Errors are in Slurm's own words ("Invalid job id specified"). */
int fm_slurm_job_load(struct fm_slurm_job *j, uint32_t job, struct fm_error *err);
void fm_slurm_job_dispose(struct fm_slurm_job *j);

/* May the caller do this to the job: its owner, root or SlurmUser? */
int fm_slurm_job_check_owner(const struct fm_slurm_job *j, struct fm_error *err);

/* Slurm's words for one of its error numbers. */
int fm_slurm_fail(struct fm_error *err, enum fm_code code, int slurm_errno);

#endif
