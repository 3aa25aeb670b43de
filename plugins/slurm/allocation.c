/* SPDX-License-Identifier: GPL-2.0-or-later */
/* allocation.c - see allocation.h. */
#include "config.h"

#include "plugins/slurm/allocation.h"

#include <errno.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/slurm/compat.h"

/* The job's share of a node it was given without naming an amount. */
static unsigned share_of_node(const char *node, unsigned vcpus)
{
	node_info_msg_t *message = NULL;
	unsigned memory = 0;

	if (slurm_load_node_single(&message, (char *)node, SHOW_ALL) != SLURM_SUCCESS)
		return 0;
	if (message->record_count && message->node_array[0].cpus) {
		const node_info_t *n = &message->node_array[0];
		uint64_t cpus = vcpus < n->cpus ? vcpus : n->cpus;

		memory = (unsigned)(n->real_memory * cpus / n->cpus);
	}
	slurm_free_node_info_msg(message);
	return memory;
}

static void take(struct fm_allocation *a, const job_info_t *job, const char *node)
{
	uint64_t memory = job->pn_min_memory;

	a->vcpus = fm_compat_cpus(job, node);
	a->gid = (gid_t)job->group_id;
	a->restart_count = job->restart_cnt;
	if (memory & MEM_PER_CPU)
		memory = (memory & ~MEM_PER_CPU) * a->vcpus;
	if (memory == NO_VAL64)
		memory = 0;
	a->memory_mib = memory ? (unsigned)memory : share_of_node(node, a->vcpus);
}

int fm_allocation_load(struct fm_allocation *a, uint32_t job, const char *node, struct fm_error *err)
{
	job_info_msg_t *message = NULL;

	memset(a, 0, sizeof *a);
	if (fm_compat_load_job(&message, job, SHOW_ALL | SHOW_DETAIL) != SLURM_SUCCESS)
		return fm_fail(err, FM_FAILED, "job %u: slurmctld: %s", job, slurm_strerror(errno));
	if (!message->record_count) {
		slurm_free_job_info_msg(message);
		return fm_fail(err, FM_NOT_FOUND, "job %u: slurmctld does not know it", job);
	}
	a->name = strdup(message->job_array[0].name ? message->job_array[0].name : "");
	take(a, &message->job_array[0], node);
	slurm_free_job_info_msg(message);
	return a->name ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

void fm_allocation_dispose(struct fm_allocation *a)
{
	free(a->name);
	a->name = NULL;
}

char *fm_allocation_script(uint32_t job, struct fm_error *err)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	r = fm_compat_batch_script(out, job);
	if (fclose(out) || r != SLURM_SUCCESS || !size) {
		free(text);
		fm_fail(err, FM_NOT_FOUND, "job %u has no batch script: %s", job,
			r == SLURM_SUCCESS ? "it is empty" : slurm_strerror(r));
		return NULL;
	}
	return text;
}
