/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compat.h - libslurm's calls that differ between Slurm 20.11 and 26.05, one
 * name each for fermata-slurm and the scontrol front.  tests/slurm/headers
 * compiles everything against the headers of the releases it is given.
 */
#ifndef FM_SLURM_COMPAT_H
#define FM_SLURM_COMPAT_H

#include <slurm/slurm.h>

#define FM_SLURM_AT_LEAST(major, minor, micro)                                                      \
	(SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(major, minor, micro))

/* From 23.02 on libslurm crashes in its first call without it. */
static inline void fm_compat_init(void)
{
#if FM_SLURM_AT_LEAST(20, 11, 1)
	slurm_init(NULL);
#endif
}

static inline int fm_compat_load_job(job_info_msg_t **message_r, uint32_t job, uint16_t flags)
{
#if FM_SLURM_AT_LEAST(26, 5, 0)
	slurm_step_id_t id = SLURM_STEP_ID_INITIALIZER;

	id.job_id = job;
	return slurm_load_job(message_r, id, flags);
#else
	return slurm_load_job(message_r, job, flags);
#endif
}

static inline int fm_compat_batch_script(FILE *out, uint32_t job)
{
#if FM_SLURM_AT_LEAST(26, 5, 0)
	slurm_step_id_t id = SLURM_STEP_ID_INITIALIZER;

	id.job_id = job;
	return slurm_job_batch_script(out, id);
#else
	return slurm_job_batch_script(out, job);
#endif
}

static inline void fm_compat_free_conf(slurm_conf_t *conf)
{
#if FM_SLURM_AT_LEAST(26, 5, 0)
	slurm_free_conf(conf);
#else
	slurm_free_ctl_conf(conf);
#endif
}

/* The job's processors on that node; 24.11 tells only how many it has in all. */
static inline unsigned fm_compat_cpus(const job_info_t *job, const char *node)
{
#if FM_SLURM_AT_LEAST(24, 11, 0)
	(void)node;
#else
	int cpus = job->job_resrcs ? slurm_job_cpus_allocated_on_node(job->job_resrcs, node) : 0;

	if (cpus > 0)
		return (unsigned)cpus;
#endif
	return job->num_nodes && job->num_cpus > job->num_nodes ? job->num_cpus / job->num_nodes : 1;
}

#endif
