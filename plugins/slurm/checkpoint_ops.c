/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint_ops.c - see checkpoint_ops.h. */
#include "config.h"

#include "plugins/slurm/checkpoint_ops.h"

#include <inttypes.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/json.h"
#include "plugins/slurm/real.h"
#include "plugins/slurm/slurm_job.h"
#include "plugins/slurm/snapshot_wait.h"

#define ANSWER_MS 20000

static void cleanup_job(struct fm_slurm_job *j)
{
	fm_slurm_job_dispose(j);
}
#define AUTO_JOB __attribute__((cleanup(cleanup_job)))

/* Every operation but restart: known, the caller's own, running.  In slurmctld's order and words. */
static int load_running(const struct fm_checkpoint_request *q, struct fm_slurm_job *j, struct fm_error *err)
{
	if (fm_slurm_job_load(j, q->job, err) || fm_slurm_job_check_owner(j, err))
		return -1;
	switch (j->phase) {
	case FM_JOB_PENDING: return fm_slurm_fail(err, FM_FAILED, ESLURM_JOB_PENDING);
	case FM_JOB_SUSPENDED: return fm_slurm_fail(err, FM_FAILED, ESLURM_JOB_SUSPENDED);
	case FM_JOB_FINISHED: return fm_slurm_fail(err, FM_FAILED, ESLURM_ALREADY_DONE);
	case FM_JOB_RUNNING: break;
	}
	return 0;
}

/* The agents' view; only the lead's has the snapshots. */
static struct json_object *ask_lead(const struct fm_checkpoint_request *q, const struct fm_slurm_job *j,
				    struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *member = NULL;
	struct json_object *reply = NULL;
	const char *lead;
	char path[48];

	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32, q->job);
	if (fm_http_call_job(&q->conf, q->job, j->nodes, "GET", path, NULL, ANSWER_MS, &member, err))
		return NULL;
	lead = fm_json_string_or(member, "lead", NULL);
	if (!lead || !strcmp(lead, fm_json_string_or(member, "node", lead)))
		return fm_steal_ptr(&member);
	if (fm_http_call(&q->conf, lead, "GET", path, NULL, ANSWER_MS, &reply, err))
		return NULL;
	return reply;
}

static struct json_object *snapshot_of(struct json_object *job)
{
	struct json_object *s = json_object_object_get(job, "snapshot");

	return s && json_object_is_type(s, json_type_object) ? s : NULL;
}

/* As slurm_make_time_str writes it by default. */
static void print_began(int64_t started)
{
	time_t t = (time_t)started;
	struct tm tm;
	char text[32] = "?";

	if (localtime_r(&t, &tm))
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	printf("Began at %s\n", text);
}

int fm_checkpoint_able(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	FM_AUTO_JSON struct json_object *job = NULL;
	struct json_object *s;

	if (load_running(q, &j, err))
		return -1;
	job = ask_lead(q, &j, err);
	if (!job && err->code != FM_NOT_FOUND)
		return -1;
	s = job ? snapshot_of(job) : NULL;
	if (s && !strcmp(fm_json_string_or(s, "state", ""), "running"))
		print_began(fm_json_int_or(s, "started", 0));
	else if (job && !strcmp(fm_json_string_or(job, "state", ""), "running") &&
		 !fm_json_bool_or(job, "checkpoint_disabled", false))
		printf("Yes\n");
	else
		printf("No\n");
	return 0;
}

/* create, and what vacate and requeue begin with; *done_r: the snapshot is whole */
static int take_snapshot(const struct fm_checkpoint_request *q, const struct fm_slurm_job *j, int *done_r,
			 struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	char id[24], text[1024];

	*done_r = 0;
	if (fm_snapshot_begin(&q->conf, q->job, j->nodes, id, err))
		return -1;
	if (q->max_wait_s == 0) {
		printf("snapshot %s begun\n", id);
		return 0;
	}
	if (fm_snapshot_wait(&q->conf, q->job, j->nodes, id, q->max_wait_s, &reply, err))
		return -1;
	fm_snapshot_describe(reply, id, text, sizeof text);
	printf("%s\n", text);
	fflush(stdout);
	*done_r = 1;
	return 0;
}

int fm_checkpoint_create(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	int done;

	if (load_running(q, &j, err))
		return -1;
	return take_snapshot(q, &j, &done, err);
}

/* One of Slurm's own commands; words end with NULL. */
static int command(const struct fm_checkpoint_request *q, const char *program, const char *const words[],
		   struct fm_error *err)
{
	const char *argv[8];
	int n = 0, r;

	argv[n++] = program;
	if (q->front->cluster) {
		argv[n++] = "-M";
		argv[n++] = q->front->cluster;
	}
	for (int i = 0; words[i] && n < 7; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	r = fm_real_run(argv, err);
	if (r > 0)
		return fm_fail(err, FM_FAILED, "%s %s %s ended with exit code %d", program, words[0],
			       words[1] ? words[1] : "", r);
	return r;
}

static int scontrol(const struct fm_checkpoint_request *q, const char *word, struct fm_error *err)
{
	char job[16];
	const char *const words[] = { word, job, NULL };

	snprintf(job, sizeof job, "%" PRIu32, q->job);
	return command(q, "scontrol", words, err);
}

int fm_checkpoint_vacate(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	struct fm_checkpoint_request whole = *q;
	char job[16];
	const char *const words[] = { job, NULL };
	int done;

	if (!whole.max_wait_s)
		whole.max_wait_s = -1; /* nothing may be killed before it is whole */
	if (load_running(q, &j, err) || take_snapshot(&whole, &j, &done, err))
		return -1;
	snprintf(job, sizeof job, "%" PRIu32, q->job);
	return command(q, "scancel", words, err);
}

int fm_checkpoint_requeue(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	struct fm_checkpoint_request whole = *q;
	int done;

	if (!whole.max_wait_s)
		whole.max_wait_s = -1;
	if (load_running(q, &j, err) || take_snapshot(&whole, &j, &done, err))
		return -1;
	return scontrol(q, "requeue", err);
}

/* The finished job's newest whole snapshot, or why there is none. */
static int check_snapshot(const struct fm_checkpoint_request *q, const char *nodes, struct fm_error *err)
{
	char path[48];

	snprintf(path, sizeof path, "/v1/snapshots/%" PRIu32, q->job);
	return fm_http_call_any(&q->conf, nodes, "GET", path, NULL, ANSWER_MS, NULL, err);
}

/* Held, told its nodes, released: it must not start anywhere else in between. */
static int requeue_to(const struct fm_checkpoint_request *q, const char *nodes, struct fm_error *err)
{
	char job[32], list[4096];
	const char *const update[] = { "update", job, list, NULL };

	snprintf(job, sizeof job, "JobId=%" PRIu32, q->job);
	snprintf(list, sizeof list, "ReqNodeList=%s", nodes);
	if (scontrol(q, "requeuehold", err) || command(q, "scontrol", update, err))
		return -1;
	return scontrol(q, "release", err);
}

int fm_checkpoint_restart(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	int r;

	if (fm_slurm_job_load(&j, q->job, err)) {
		if (err->code == FM_NOT_FOUND)
			return fm_fail(err, FM_NOT_FOUND,
				       "%s; under a new id: sbatch --restart-from=%" PRIu32,
				       slurm_strerror(ESLURM_INVALID_JOB_ID), q->job);
		return -1;
	}
	if (fm_slurm_job_check_owner(&j, err))
		return -1;
	if (j.phase != FM_JOB_FINISHED)
		return fm_slurm_fail(err, FM_BUSY, ESLURM_DUPLICATE_JOB_ID);
	if (check_snapshot(q, j.nodes, err))
		return -1;
	r = q->stick ? requeue_to(q, j.nodes, err) : scontrol(q, "requeue", err);
	if (r)
		return fm_fail(err, FM_FAILED, "Slurm does not requeue job %" PRIu32
			       "; under a new id: sbatch --restart-from=%" PRIu32, q->job, q->job);
	return 0;
}

static int switch_checkpoints(const struct fm_checkpoint_request *q, bool enabled, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	char path[48];

	if (load_running(q, &j, err))
		return -1;
	fm_json_set_bool(body, "enabled", enabled);
	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32 "/checkpoint", q->job);
	return fm_http_call_job(&q->conf, q->job, j.nodes, "POST", path, body, ANSWER_MS, NULL, err);
}

int fm_checkpoint_disable(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	return switch_checkpoints(q, false, err);
}

int fm_checkpoint_enable(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	return switch_checkpoints(q, true, err);
}

int fm_checkpoint_error(const struct fm_checkpoint_request *q, struct fm_error *err)
{
	AUTO_JOB struct fm_slurm_job j = { .nodes = NULL };
	FM_AUTO_JSON struct json_object *job = NULL;
	struct json_object *s;
	const char *text;

	if (load_running(q, &j, err) || !(job = ask_lead(q, &j, err)))
		return -1;
	s = snapshot_of(job);
	text = s ? fm_json_string_or(s, "error", NULL) : NULL;
	if (text)
		printf("error(%d): %s\n", FM_FAILED, text);
	else
		printf("error(0): %s\n", slurm_strerror(SLURM_SUCCESS));
	return 0;
}
