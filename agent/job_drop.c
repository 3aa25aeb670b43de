/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_drop.c - see job_drop.h. */
#include "config.h"

#include "agent/job_drop.h"

#include <stdlib.h>

#include "agent/cutter.h"
#include "agent/group.h"
#include "agent/local_disk.h"
#include "agent/guest.h"
#include "agent/periodic.h"

struct drop {
	struct drop *next;
	job_dropped done;
	void *arg;
};

static void answer(struct agent *agent, struct drop *list, const struct fm_error *error)
{
	while (list) {
		struct drop *d = list;

		list = d->next;
		d->done(agent, error, d->arg);
		free(d);
	}
}

void job_drop_next(struct job *job)
{
	struct agent *agent = job->agent;
	struct drop *list = job->drops;
	uint32_t id = job->spec.job;
	struct fm_error error;

	if (!list || job->snapshot || job->guest)
		return;
	job->drops = NULL;
	if (job->destroy_error.code) {
		error = job->destroy_error;
		job->destroy_error.code = FM_OK;
		answer(agent, list, &error);
		return;
	}
	fm_info("%s ended", job_tag(job));
	group_destroy(job);
	job_remove(job);
	local_disk_tidy(agent, id, false);
	answer(agent, list, NULL);
}

static void on_destroyed(struct job *job, const struct fm_error *error, void *arg)
{
	(void)arg;
	if (error)
		job->destroy_error = *error;
	job_drop_next(job);
}

void job_drop(struct job *job, job_dropped done, void *arg)
{
	struct drop *d = calloc(1, sizeof(*d));
	bool first = job->drops == NULL;

	if (!d)
		abort(); /* the caller waits for done() */
	*d = (struct drop){ job->drops, done, arg };
	job->drops = d;
	if (!first)
		return;
	periodic_stop(job);
	guest_destroy(job, on_destroyed, NULL);
}
