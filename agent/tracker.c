/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tracker.c - see tracker.h. */
#include "config.h"

#include "agent/tracker.h"

#include <stdlib.h>
#include <string.h>

#include "agent/worker_client.h"
#include "common/cleanup.h"
#include "common/log.h"

#define CLOSE_MS 5000 /* libxenguest switches logging off meanwhile */

struct tracker {
	struct worker *worker; /* NULL: a cutter has it */
	char *map;
	unsigned tracked; /* snapshots since the last whole one */
};

static void forget_pid(struct job *job)
{
	struct fm_error err;

	job->save_pid = 0;
	if (job_save(job, &err) < 0)
		fm_err("%s the record cannot be written: %s", job_tag(job), err.text);
}

static void tracker_free(struct job *job)
{
	struct tracker *t = fm_steal_ptr(&job->tracker);

	if (t)
		free(t->map);
	free(t);
}

static void on_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	const struct job *job = arg;

	(void)w, (void)o;
	fm_debug("%s tracking worker says %s", job_tag(job), event);
}

/* The guest runs whatever it died of: it was not asked for anything. */
static void on_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct job *job = arg;

	(void)w;
	fm_warning("%s tracking ended, the next snapshot is a whole one: %s", job_tag(job),
		   error ? error->text : "the worker has left");
	tracker_free(job);
	forget_pid(job);
}

void tracker_keep(struct job *job, struct worker *worker, const char *map, bool tracked)
{
	static const struct worker_events events = { on_event, on_ended };
	struct tracker *t = job->tracker ? job->tracker : calloc(1, sizeof(*t));

	if (t) {
		free(t->map);
		t->map = strdup(map);
	}
	if (!t || !t->map) {
		worker_close(worker, CLOSE_MS);
		job->tracker = t;
		tracker_free(job);
		return;
	}
	t->worker = worker;
	t->tracked = tracked ? t->tracked + 1 : 0;
	job->tracker = t;
	worker_hand_over(worker, job_tag(job), &events, job);
}

struct worker *tracker_take(struct job *job, char **base_r)
{
	struct tracker *t = job->tracker;
	unsigned most = job->agent->conf.tracking_full;

	*base_r = NULL;
	if (!t || !t->worker)
		return NULL;
	if (!most || t->tracked + 1 < most)
		*base_r = strdup(t->map);
	return fm_steal_ptr(&t->worker);
}

void tracker_end(struct job *job)
{
	if (!job->tracker)
		return;
	worker_close(job->tracker->worker, CLOSE_MS);
	if (job->tracker->worker)
		job->save_pid = 0;
	tracker_free(job);
}
