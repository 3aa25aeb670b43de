/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slurm_job.c - see slurm_job.h. */
#include "config.h"

#include "plugins/slurm/slurm_job.h"

#include <errno.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <slurm/slurmdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/slurm/compat.h"

int fm_slurm_fail(struct fm_error *err, enum fm_code code, int number)
{
	return fm_fail(err, code, "%s", slurm_strerror(number));
}

int fm_slurm_init(const char *cluster, struct fm_error *err)
{
	fm_compat_init();
	if (!cluster)
		return 0;
	/* the types of lists changed their names between versions */
	__auto_type clusters = slurmdb_get_info_cluster((char *)cluster);

	if (!clusters)
		return fm_fail(err, FM_NOT_FOUND, "cluster \"%s\" is not known to Slurm", cluster);
	working_cluster_rec = slurm_list_next(slurm_list_iterator_create(clusters));
	if (!working_cluster_rec)
		return fm_fail(err, FM_NOT_FOUND, "cluster \"%s\" is not known to Slurm", cluster);
	return 0;
}

static enum fm_job_phase phase_of(uint32_t state)
{
	switch (state & JOB_STATE_BASE) {
	case JOB_PENDING: return FM_JOB_PENDING;
	case JOB_RUNNING: return FM_JOB_RUNNING;
	case JOB_SUSPENDED: return FM_JOB_SUSPENDED;
	default: return FM_JOB_FINISHED;
	}
}

int fm_slurm_job_load(struct fm_slurm_job *j, uint32_t job, struct fm_error *err)
{
	job_info_msg_t *message = NULL;
	const job_info_t *found = NULL;

	memset(j, 0, sizeof *j);
	if (fm_compat_load_job(&message, job, SHOW_ALL) != SLURM_SUCCESS)
		return fm_slurm_fail(err, errno == ESLURM_INVALID_JOB_ID ? FM_NOT_FOUND : FM_FAILED, errno);
	/* of an array, all tasks are told */
	for (uint32_t i = 0; i < message->record_count && !found; i++)
		if (message->job_array[i].job_id == job)
			found = &message->job_array[i];
	if (found) {
		j->job = job;
		j->uid = (uid_t)found->user_id;
		j->phase = phase_of(found->job_state);
		j->nodes = strdup(found->nodes ? found->nodes : "");
	}
	slurm_free_job_info_msg(message);
	if (!found)
		return fm_slurm_fail(err, FM_NOT_FOUND, ESLURM_INVALID_JOB_ID);
	return j->nodes ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

void fm_slurm_job_dispose(struct fm_slurm_job *j)
{
	free(j->nodes);
	j->nodes = NULL;
}

int fm_slurm_job_check_owner(const struct fm_slurm_job *j, struct fm_error *err)
{
	slurm_conf_t *conf = NULL;
	int allowed = getuid() == 0 || getuid() == j->uid;

	if (!allowed && slurm_load_ctl_conf(0, &conf) == SLURM_SUCCESS) {
		allowed = conf->slurm_user_id == getuid();
		fm_compat_free_conf(conf);
	}
	return allowed ? 0 : fm_slurm_fail(err, FM_DENIED, ESLURM_ACCESS_DENIED);
}
