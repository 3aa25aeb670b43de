/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node.c - see node.h. */
#include "config.h"

#include "plugins/slurm/node.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugins/slurm/helper_run.h"

#define ARGS_MAX 16

/* A helper's argument vector that owns its words. */
struct args {
	char *word[ARGS_MAX + 1];
	int count;
	int failed;
};

__attribute__((format(printf, 2, 3)))
static void args_add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (a->count == ARGS_MAX || vasprintf(&a->word[a->count], fmt, ap) < 0)
		a->failed = 1;
	else
		a->count++;
	va_end(ap);
	a->word[a->count] = NULL;
}

static int args_run(struct args *a, const struct fm_site *site, struct fm_error *err)
{
	int r = a->failed ? fm_fail(err, FM_FAILED, "out of memory")
			  : fm_helper_run(site, (const char *const *)a->word, -1, err);

	for (int i = 0; i < a->count; i++)
		free(a->word[i]);
	return r;
}

static const char *env_or(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value ? value : otherwise;
}

int fm_node_site(struct fm_site *site, spank_t sp, int ac, char *av[], struct fm_error *err)
{
	const char *node = getenv("SLURMD_NODENAME");
	char buf[256];

	if (!node && sp && spank_getenv(sp, "SLURMD_NODENAME", buf, sizeof buf) == ESPANK_SUCCESS)
		node = buf;
	return fm_site_init(site, node, ac, av, err);
}

int fm_node_prolog(spank_t sp, const struct fm_site *site, const struct fm_options *o, uint32_t job,
		   struct fm_error *err)
{
	struct args a = { .count = 0 };
	uid_t uid;

	if (spank_get_item(sp, S_JOB_UID, &uid) != ESPANK_SUCCESS)
		return fm_fail(err, FM_FAILED, "Slurm does not tell the job's user");
	args_add(&a, "prolog");
	args_add(&a, "--job=%" PRIu32, job);
	args_add(&a, "--uid=%u", (unsigned)uid);
	args_add(&a, "--run=%s", site->run);
	/* SLURM_JOB_NODELIST is there from 23.02 on */
	args_add(&a, "--nodes=%s", env_or("SLURM_JOB_NODELIST", env_or("SLURM_NODELIST", "")));
	args_add(&a, "--node=%s", env_or("SLURMD_NODENAME", ""));
	args_add(&a, "--restart-count=%s", env_or("SLURM_JOB_RESTART_COUNT", "0"));
	args_add(&a, "--image=%s", o->image);
	args_add(&a, "--restart-from=%s", o->restart_from);
	args_add(&a, "--interval=%" PRId64, o->interval_s);
	args_add(&a, "--keep=%" PRId64, o->keep);
	args_add(&a, "--max-age=%" PRId64, o->max_age_s);
	return args_run(&a, site, err);
}

int fm_node_epilog(const struct fm_site *site, uint32_t job, struct fm_error *err)
{
	struct args a = { .count = 0 };

	args_add(&a, "epilog");
	args_add(&a, "--job=%" PRIu32, job);
	args_add(&a, "--run=%s", site->run);
	return args_run(&a, site, err);
}
