/* SPDX-License-Identifier: GPL-2.0-or-later */
/* periodic.c - see periodic.h. A failure is recorded with the job and does not stop the next one. */
#include "config.h"

#include "agent/periodic.h"

#include "agent/snapshot.h"

void periodic_again(struct job *job)
{
	struct timeval tv = { (time_t)job->spec.interval_s, 0 };

	if (job->periodic && event_add(job->periodic, &tv))
		fm_err("%s no more periodic snapshots: no timer", job_tag(job));
}

static void on_begun(const struct fm_snapshot_id *id, const struct fm_error *error, void *arg)
{
	struct job *job = arg;

	(void)id;
	if (error && error->code != FM_BUSY)
		job->last_error = *error;
	if (error) {
		fm_warning("%s periodic snapshot: %s", job_tag(job), error->text);
		periodic_again(job);
	}
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct job *job = arg;

	(void)fd, (void)what;
	if (job->checkpoint_disabled) {
		fm_debug("%s periodic snapshot left out: disabled", job_tag(job));
		periodic_again(job);
		return;
	}
	snapshot_create(job, "periodic", on_begun, job);
}

void periodic_start(struct job *job)
{
	if (!job->spec.interval_s || job->periodic)
		return;
	job->periodic = evtimer_new(job->agent->base, on_time, job);
	if (!job->periodic) {
		fm_err("%s no periodic snapshots: no timer", job_tag(job));
		return;
	}
	periodic_again(job);
	fm_info("%s a snapshot every %lld s", job_tag(job), (long long)job->spec.interval_s);
}

void periodic_stop(struct job *job)
{
	if (job->periodic)
		event_free(job->periodic);
	job->periodic = NULL;
}
