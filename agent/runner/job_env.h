/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job_env.h - the environment of a task: what its client sent, and what MPI
 * needs to start ranks through the runner.
 */
#ifndef FM_RUNNER_JOB_ENV_H
#define FM_RUNNER_JOB_ENV_H

#include "agent/runner/params.h"

struct job_env_paths {
	const char *rsh;    /* fermata-rsh */
	const char *socket; /* the runner's, for the user's programs */
};

#define JOB_ENV_SOCKET "FERMATA_RUNNER_SOCKET"

/*
 * NULL-terminated; one block, caller frees; kept entries point into `sent`.  SLURM_* and everything else the
 * client sent is kept, except for what must be so for the job to be restorable
 * or to start at all.
 */
char **job_env_build(char *const *sent, const struct params *params, const struct job_env_paths *paths,
		     struct fm_error *err);

/* The value of NAME in env, or NULL. */
const char *job_env_get(char *const *env, const char *name);

#endif
