/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spank_fermata.c - the SPANK plug-in's entry points; they only switch on the
 * context.
 *
 *	sbatch, salloc, srun   options, and the checks before the job is queued
 *	prolog, epilog         the member's VM is made and destroyed (helper)
 *	step, remote           the task is replaced by fermata-shim
 *
 * Invariants: a job that is not Fermata's is not touched; nothing here
 * returns an error on a compute node except from task_init, because Slurm
 * would drain the node; nothing here is linked with Slurm's libraries, whose
 * symbols are the host process's.
 */
#include "config.h"

#include <inttypes.h>
#include <slurm/slurm.h>
#include <slurm/spank.h>

#include "plugins/slurm/marker.h"
#include "plugins/slurm/node.h"
#include "plugins/slurm/options.h"
#include "plugins/slurm/site.h"
#include "plugins/slurm/submit.h"
#include "plugins/slurm/task.h"

#ifndef SLURM_INTERACTIVE_STEP
#error "Slurm 20.11 or newer is needed"
#endif

SPANK_PLUGIN(fermata, 1)

/* Set in the step's slurmstepd before it forks the tasks. */
static int step_is_ours;

static int complain(const struct fm_error *err)
{
	slurm_error("fermata: %s", err->text);
	return -1;
}

int slurm_spank_init(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_error err;

	switch (spank_context()) {
	case S_CTX_LOCAL:
	case S_CTX_REMOTE:
		return fm_options_register(sp);
	case S_CTX_ALLOCATOR:
		if (fm_options_register(sp))
			return -1;
		if (fm_site_init(&site, NULL, ac, av, &err) || fm_submit_saved_script(&site, &err))
			return complain(&err);
		return 0;
	default:
		return 0;
	}
}

/* An srun step does not carry the job's options: the prolog's marker tells. */
static void recognise_step(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_error err;
	uint32_t job = 0;

	fm_options_hide(sp);
	step_is_ours = fm_options.vm;
	if (!step_is_ours && !fm_node_site(&site, sp, ac, av, &err) &&
	    spank_get_item(sp, S_JOB_ID, &job) == ESPANK_SUCCESS)
		step_is_ours = fm_marker_exists(site.run, job);
}

int slurm_spank_init_post_opt(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_error err;

	switch (spank_context()) {
	case S_CTX_LOCAL:
	case S_CTX_ALLOCATOR:
		if (!fm_options.vm)
			return 0;
		if (fm_site_init(&site, NULL, ac, av, &err) || fm_submit_check(&site, &fm_options, &err))
			return complain(&err);
		return 0;
	case S_CTX_REMOTE:
		recognise_step(sp, ac, av);
		return 0;
	default:
		return 0;
	}
}

/* Always 0: the agent keeps the reason, the shim tells the user, no node is drained. */
int slurm_spank_job_prolog(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_options o;
	struct fm_error err;
	uint32_t job = 0;
	int r = fm_options_ask(sp, &o, &err);

	if (!r && !o.vm)
		return 0;
	if (spank_get_item(sp, S_JOB_ID, &job) != ESPANK_SUCCESS)
		return 0;
	if (!r)
		r = fm_node_site(&site, NULL, ac, av, &err);
	if (!r)
		r = fm_node_prolog(sp, &site, &o, job, &err);
	if (r)
		slurm_error("fermata: job=%" PRIu32 ": prolog: %s", job, err.text);
	return 0;
}

int slurm_spank_job_epilog(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_options o;
	struct fm_error err;
	uint32_t job = 0;

	if (spank_get_item(sp, S_JOB_ID, &job) != ESPANK_SUCCESS || fm_node_site(&site, NULL, ac, av, &err))
		return 0;
	/* also when the options are bad now: the marker says what the prolog did */
	if ((fm_options_ask(sp, &o, &err), !o.vm) && !fm_marker_exists(site.run, job))
		return 0;
	if (fm_node_epilog(&site, job, &err))
		slurm_error("fermata: job=%" PRIu32 ": epilog: %s", job, err.text);
	return 0;
}

int slurm_spank_task_init(spank_t sp, int ac, char *av[])
{
	struct fm_site site;
	struct fm_error err;

	if (!step_is_ours)
		return 0;
	if (fm_node_site(&site, sp, ac, av, &err) || fm_task_enter_guest(sp, &site, &err))
		return complain(&err);
	return 0;
}
