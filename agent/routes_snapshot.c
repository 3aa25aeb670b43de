/* SPDX-License-Identifier: GPL-2.0-or-later */
/* routes_snapshot.c - the calls on snapshots; see routes.h. What is on disk is read in tasks. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/forward.h"
#include "agent/job.h"
#include "agent/routes.h"
#include "agent/snapshot.h"
#include "agent/store_query.h"

#define LEAD_MS 10000
#define COMMENT_MAX 1024

/* ---- on a running job, by its lead ------------------------------------------------- */

/* The job on its lead; NULL: the request has been answered, or passed on to the lead. */
static struct job *on_lead(struct request *req, const struct fm_snapshot_id *id, const char *what, unsigned status)
{
	struct job *job = job_find(req->agent, id->job);
	char path[64];

	if (!job) {
		request_error(req, FM_NOT_FOUND, "job %u has no VM on %s", id->job, req->agent->conf.node_name);
		return NULL;
	}
	if (!job_allows(job, req))
		return NULL;
	if (job_is_lead(job))
		return job;
	snprintf(path, sizeof(path), "/v1/jobs/%u/%s", id->job, what);
	forward(req, job_lead(job), "POST", path, req->body, LEAD_MS, status);
	return NULL;
}

void route_checkpoint(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = on_lead(req, id, "checkpoint", 200);
	struct fm_error err;
	bool enabled;

	if (!job)
		return;
	if (!req->body || fm_json_bool(req->body, "enabled", &enabled, &err)) {
		request_error(req, FM_USAGE, "\"enabled\", true or false, is needed");
		return;
	}
	job->checkpoint_disabled = !enabled;
	if (job_save(job, &err))
		request_fail(req, &err);
	else
		request_reply(req, 200, json_object_new_object());
}

static void on_begun(const struct fm_snapshot_id *id, const struct fm_error *error, void *arg)
{
	struct json_object *o;
	char text[24];

	if (error) {
		request_fail(arg, error);
		return;
	}
	o = json_object_new_object();
	fm_snapshot_id_format(id, text);
	fm_json_set_string(o, "snapshot", text);
	request_reply(arg, 202, o);
}

void route_snapshot_create(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = on_lead(req, id, "snapshots", 202);
	const char *comment;

	if (!job)
		return;
	comment = req->body ? fm_json_string_or(req->body, "comment", "") : "";
	if (strlen(comment) > COMMENT_MAX)
		request_error(req, FM_USAGE, "the comment is longer than %d bytes", COMMENT_MAX);
	else
		snapshot_create(job, comment, on_begun, req);
}

/* ---- on disk ---------------------------------------------------------------------------- */

void route_snapshots(struct request *req, const struct fm_snapshot_id *unused)
{
	const char *text = request_query(req, "job");
	struct fm_snapshot_id id = { 0 };
	struct fm_error err;

	(void)unused;
	if (text && *text && fm_snapshot_id_parse(text, &id, &err))
		request_fail(req, &err);
	else
		store_query(req, request_query(req, "levels") ? QUERY_LIST_LEVELS : QUERY_LIST, &id);
}

/* Only in the lead's memory: one under way, or one that failed. */
static bool answer_from_memory(struct job *job, struct request *req, const struct fm_snapshot_id *id)
{
	const struct outcome *outcome = snapshot_outcome(job, id);
	struct json_object *o;
	char text[24];

	bool undone = !job->snapshot && id->n && job->cutting.n == id->n; /* after the agent's death */

	if (!snapshot_is(job->snapshot, id) && !undone && !(outcome && outcome->error.code))
		return false;
	if (!job_allows(job, req))
		return true;
	if (snapshot_is(job->snapshot, id)) {
		o = snapshot_progress(job->snapshot);
	} else if (undone) {
		o = json_object_new_object();
		fm_json_set_string(o, "state", "running");
		fm_json_set_string(o, "round", "discard");
	} else {
		o = json_object_new_object();
		fm_json_set_string(o, "state", "failed");
		fm_json_set_string(o, "error", outcome->error.text);
		fm_json_set_int(o, "code", outcome->error.code);
		fm_json_set_int(o, "started", outcome->started);
	}
	fm_snapshot_id_format(id, text);
	fm_json_set_string(o, "snapshot", text);
	json_object_object_add(o, "job", job_to_json(job));
	request_reply(req, 200, o);
	return true;
}

void route_snapshot(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = job_find(req->agent, id->job);

	if (!job || !job_is_lead(job) || !answer_from_memory(job, req, id))
		store_query(req, QUERY_SHOW, id);
}

static bool named(struct request *req, const struct fm_snapshot_id *id)
{
	if (!id->n)
		request_error(req, FM_USAGE, "which snapshot of job %u? Name it, %u.N", id->job, id->job);
	return id->n != 0;
}

void route_snapshot_delete(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = job_find(req->agent, id->job);

	if (!named(req, id))
		return;
	if (job && snapshot_is(job->snapshot, id)) {
		request_error(req, FM_BUSY, "snapshot %u.%u is being made", id->job, id->n);
		return;
	}
	for (job = req->agent->jobs; job; job = job->next)
		if (job->state < JOB_RUNNING && job->restored_from.job == id->job && job->restored_from.n == id->n) {
			request_error(req, FM_BUSY, "job %u is being restored from %u.%u", job->spec.job, id->job, id->n);
			return;
		}
	store_query(req, QUERY_REMOVE, id);
}

void route_snapshot_pin(struct request *req, const struct fm_snapshot_id *id)
{
	if (named(req, id))
		store_query(req, QUERY_PIN, id);
}

void route_snapshot_unpin(struct request *req, const struct fm_snapshot_id *id)
{
	if (named(req, id))
		store_query(req, QUERY_UNPIN, id);
}

void route_snapshot_verify(struct request *req, const struct fm_snapshot_id *id)
{
	store_query(req, req->body && fm_json_bool_or(req->body, "repair", false) ? QUERY_REPAIR : QUERY_VERIFY, id);
}

void route_snapshot_script(struct request *req, const struct fm_snapshot_id *id)
{
	store_query(req, QUERY_SCRIPT, id);
}
