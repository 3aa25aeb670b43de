/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task.c - see task.h. */
#include "config.h"

#include "plugins/slurm/task.h"

#include <errno.h>
#include <slurm/slurm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HAVE_PREPEND_ARGV (SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 11, 0))
#define PREFIX_MAX 8

struct prefix {
	const char *argv[PREFIX_MAX];
	int argc;
	char shim[FM_SITE_PATH_MAX + 16];
	char task[48];
};

/* fermata-shim --task batch --script ARGV0 -- | fermata-shim --task STEP.TASK -- */
static int prefix_init(struct prefix *p, spank_t sp, const struct fm_site *site, const char *argv0)
{
	uint32_t step = 0, task = 0;

	if (spank_get_item(sp, S_JOB_STEPID, &step) != ESPANK_SUCCESS)
		return -1;
	p->argc = 0;
	snprintf(p->shim, sizeof p->shim, "%s/fermata-shim", site->libexec);
	p->argv[p->argc++] = p->shim;
	p->argv[p->argc++] = "--task";
	p->argv[p->argc++] = p->task;
	if (step == SLURM_BATCH_SCRIPT) {
		snprintf(p->task, sizeof p->task, "batch");
		p->argv[p->argc++] = "--script";
		p->argv[p->argc++] = argv0;
	} else {
		if (spank_get_item(sp, S_TASK_GLOBAL_ID, &task) != ESPANK_SUCCESS)
			return -1;
		snprintf(p->task, sizeof p->task, "%u.%u", step, task);
	}
	p->argv[p->argc++] = "--";
	p->argv[p->argc] = NULL;
	return 0;
}

/* The extern and interactive steps are Slurm's and the login shell's, not the job's work. */
static int step_is_outside(spank_t sp)
{
	uint32_t step = 0;

	if (spank_get_item(sp, S_JOB_STEPID, &step) != ESPANK_SUCCESS)
		return 0;
	return step == SLURM_EXTERN_CONT || step == SLURM_INTERACTIVE_STEP;
}

#if HAVE_PREPEND_ARGV
static int replace_task(spank_t sp, const struct prefix *p, const struct fm_site *site, int argc, char **argv,
			struct fm_error *err)
{
	(void)argc;
	(void)argv;
	if (*site->conf)
		spank_setenv(sp, "FERMATA_CONF", site->conf, 1);
	if (spank_prepend_task_argv(sp, p->argc, (const char **)p->argv) != ESPANK_SUCCESS)
		return fm_fail(err, FM_FAILED, "spank_prepend_task_argv failed");
	return 0;
}
#else
/* The job's environment with FERMATA_CONF; freed by the exec. */
static char **environment(char **env, const char *conf)
{
	static char entry[FM_SITE_PATH_MAX + 16];
	size_t count = 0, n = 0;
	char **copy;

	while (env && env[count])
		count++;
	copy = calloc(count + 2, sizeof *copy);
	for (size_t i = 0; copy && i < count; i++)
		if (strncmp(env[i], "FERMATA_CONF=", 13))
			copy[n++] = env[i];
	if (copy && *conf) {
		snprintf(entry, sizeof entry, "FERMATA_CONF=%s", conf);
		copy[n++] = entry;
	}
	return copy;
}

static int replace_task(spank_t sp, const struct prefix *p, const struct fm_site *site, int argc, char **argv,
			struct fm_error *err)
{
	char **env = NULL, **own_env;
	char **all = calloc((size_t)(p->argc + argc) + 1, sizeof *all);

	if (spank_get_item(sp, S_JOB_ENV, &env) != ESPANK_SUCCESS)
		env = NULL;
	own_env = environment(env, site->conf);
	if (!all || !own_env) {
		free(all);
		free(own_env);
		return fm_fail(err, FM_FAILED, "out of memory");
	}
	memcpy(all, p->argv, (size_t)p->argc * sizeof *all);
	memcpy(all + p->argc, argv, (size_t)argc * sizeof *all);
	execve(p->shim, all, own_env);
	fm_fail(err, FM_FAILED, "cannot run %s: %s", p->shim, strerror(errno));
	free(all);
	free(own_env);
	return -1;
}
#endif

int fm_task_enter_guest(spank_t sp, const struct fm_site *site, struct fm_error *err)
{
	struct prefix prefix;
	char **argv = NULL;
	int argc = 0;

	if (step_is_outside(sp))
		return 0;
	if (spank_get_item(sp, S_JOB_ARGV, &argc, &argv) != ESPANK_SUCCESS || argc < 1 || !argv ||
	    prefix_init(&prefix, sp, site, argv[0]))
		return fm_fail(err, FM_FAILED, "Slurm does not tell what the task is");
	return replace_task(sp, &prefix, site, argc, argv, err);
}
