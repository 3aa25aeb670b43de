/* SPDX-License-Identifier: GPL-2.0-or-later */
/* routes_job.c - the calls on jobs and their members; see routes.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/fence.h"
#include "agent/group.h"
#include "agent/guest.h"
#include "agent/job.h"
#include "agent/job_drop.h"
#include "agent/peers.h"
#include "agent/recover.h"
#include "agent/routes.h"

#define ASK_LEAD_MS 5000

/* The job, or NULL with the request answered. */
static struct job *need_job(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = job_find(req->agent, id->job);

	if (!job)
		request_error(req, FM_NOT_FOUND, "job %u has no VM on %s", id->job, req->agent->conf.node_name);
	return job;
}

void route_jobs(struct request *req, const struct fm_snapshot_id *id)
{
	struct json_object *o = json_object_new_object(), *array = json_object_new_array();
	bool all = agent_is_admin(req->agent, req->uid);

	(void)id;
	for (struct job *job = req->agent->jobs; job; job = job->next)
		if (all || job->spec.uid == req->uid)
			json_object_array_add(array, job_to_json(job));
	json_object_object_add(o, "jobs", array);
	request_reply(req, 200, o);
}

/* ---- GET job: what only the lead knows is asked there -------------------------- */

static void on_lead_job(struct json_object *reply, const struct fm_error *error, void *arg)
{
	static const char *const keys[] = { "snapshot", "last_error", "checkpoint_disabled", "compacted" };
	struct request *req = arg;
	struct fm_snapshot_id id;
	struct json_object *o;
	struct fm_error err;
	struct job *job;
	const char *text = req->path + sizeof("/v1/jobs/") - 1;

	job = fm_snapshot_id_parse(text, &id, &err) ? NULL : job_find(req->agent, id.job);
	if (!job) {
		request_error(req, FM_NOT_FOUND, "job %s has ended", text);
		return;
	}
	o = job_to_json(job);
	for (size_t i = 0; !error && i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value = json_object_object_get(reply, keys[i]);

		if (value)
			json_object_object_add(o, keys[i], json_object_get(value));
	}
	request_reply(req, 200, o);
}

void route_job(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = need_job(req, id);
	char path[64];

	if (!job || !job_allows(job, req))
		return;
	if (job_is_lead(job) || job->state != JOB_RUNNING) {
		request_reply(req, 200, job_to_json(job));
		return;
	}
	snprintf(path, sizeof(path), "/v1/jobs/%u", id->job);
	peer_call(req->agent->peers, job_lead(job), "GET", path, NULL, ASK_LEAD_MS, on_lead_job, req);
}

/* ---- PUT member ------------------------------------------------------------------ */

struct put {
	struct request *req;
	struct spec spec;
};

/* A deferred one is not waited for: what it waits for comes after the caller. */
static void put_wait(struct job *job, struct request *req)
{
	struct json_object *o;

	if (!job->spec.deferred) {
		job_wait(&job->put, req);
		return;
	}
	o = json_object_new_object();
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_string(o, "state", job_state_name(job->state));
	request_reply(req, 200, o);
}

static void put_new(struct request *req, struct spec *spec)
{
	struct fm_error err;
	struct job *job = job_create(req->agent, spec, &err);

	if (!job) {
		request_fail(req, &err);
		return;
	}
	fm_info("%s %s of %s: %u node%s, incarnation %u", job_tag(job), job->spec.name, job->spec.user,
		job->spec.node_count, job->spec.node_count == 1 ? "" : "s", job->spec.restart_count);
	put_wait(job, req);
	guest_start(job);
	if (job_is_lead(job) && job->guest)
		group_start(job);
}

/* The incarnation before is gone. */
static void on_old_dropped(struct agent *agent, const struct fm_error *error, void *arg)
{
	struct put *put = arg;

	(void)agent;
	if (error)
		request_fail(put->req, error);
	else
		put_new(put->req, &put->spec);
	spec_dispose(&put->spec);
	free(put);
}

static void put_again(struct job *job, struct request *req, struct spec *spec)
{
	struct put *put;

	if (spec->restart_count < job->spec.restart_count) {
		request_error(req, FM_BUSY, "job %u is here in its incarnation %u; %u is over", job->spec.job,
			      job->spec.restart_count, spec->restart_count);
	} else if (spec->restart_count == job->spec.restart_count && !job->drops) {
		put_wait(job, req); /* a prolog that runs again gets the same answer */
		job_wake(job);
	} else if (!(put = calloc(1, sizeof(*put)))) {
		request_error(req, FM_FAILED, "out of memory");
	} else {
		*put = (struct put){ req, *spec };
		*spec = (struct spec){ 0 };
		job_drop(job, on_old_dropped, put);
	}
}

void route_member_put(struct request *req, const struct fm_snapshot_id *id)
{
	struct spec spec = { 0 };
	struct fm_error err;
	struct job *job = job_find(req->agent, id->job);

	if (spec_parse(&spec, req->body, &err) == 0 && spec.job != id->job)
		fm_fail(&err, FM_USAGE, "the spec is of job %u, the path says %u", spec.job, id->job);
	else if (spec.job)
		err.code = FM_OK;
	if (!spec.scheduler || spec.job != id->job)
		request_fail(req, &err);
	else if (job)
		put_again(job, req, &spec);
	else
		put_new(req, &spec);
	spec_dispose(&spec);
}

/* ---- DELETE member, attach ------------------------------------------------------------ */

static void on_dropped(struct agent *agent, const struct fm_error *error, void *arg)
{
	(void)agent;
	if (error)
		request_fail(arg, error);
	else
		request_reply(arg, 200, json_object_new_object());
}

void route_member_delete(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = job_find(req->agent, id->job);

	if (job)
		job_drop(job, on_dropped, req);
	else
		recover_destroy_strays(req->agent, id->job, on_dropped, req);
}

/* The token lets its holder act as the job's owner: nobody else gets it, no admin either. */
void route_attach(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = need_job(req, id);

	if (!job)
		return;
	if (req->uid != job->spec.uid && req->uid != 0) {
		request_error(req, FM_DENIED, "job %u is another user's", id->job);
		return;
	}
	job_wait(&job->attach, req);
	job_wake(job);
}

/* The owner alone, by its kernel's or MUNGE's word: whose the snapshot is, is looked at with the plan. */
void route_restart(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = need_job(req, id);
	const char *from = req->body ? fm_json_string_or(req->body, "from", "") : "";
	struct fm_snapshot_id snapshot = { 0 };
	struct fm_error err;

	if (!job)
		return;
	if (req->uid != job->spec.uid && req->uid != 0)
		request_error(req, FM_DENIED, "job %u is another user's", id->job);
	else if (!job_is_lead(job))
		request_error(req, FM_USAGE, "%s is not the first node of job %u: ask on %s", req->agent->conf.node_name,
			      id->job, job_lead(job));
	else if ((*from && fm_snapshot_id_parse(from, &snapshot, &err)) || group_choose(job, &snapshot, &err))
		request_fail(req, &err);
	else
		request_reply(req, 202, json_object_new_object());
}

/* ---- between agents ---------------------------------------------------------------------- */

void route_plan(struct request *req, const struct fm_snapshot_id *id)
{
	const char *count = request_query(req, "restart_count");

	group_plan_request(req, id->job, count ? (unsigned)strtoul(count, NULL, 10) : 0);
}

/* The job in the incarnation the letter is about; NULL with the request answered. */
static struct job *addressee(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = need_job(req, id);
	int64_t count = req->body ? fm_json_int_or(req->body, "restart_count", -1) : -1;

	if (job && count != (int64_t)job->spec.restart_count) {
		request_error(req, FM_USAGE, "job %u is in its incarnation %u, not %lld", id->job,
			      job->spec.restart_count, (long long)count);
		return NULL;
	}
	return job;
}

static bool letter_error(struct request *req, struct fm_error *err)
{
	if (!json_object_object_get(req->body, "error"))
		return false;
	fm_json_to_error(req->body, err);
	return true;
}

void route_ready(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = addressee(req, id);
	struct fm_error err;
	int64_t rank;
	bool bad;

	if (!job)
		return;
	if (fm_json_int(req->body, "rank", 0, job->spec.node_count - 1, &rank, &err)) {
		request_fail(req, &err);
		return;
	}
	bad = letter_error(req, &err);
	request_reply(req, 200, json_object_new_object());
	group_report(job, (unsigned)rank, bad ? &err : NULL);
}

static void on_guest_released(struct job *job, const struct fm_error *error, void *arg)
{
	(void)job;
	if (error)
		request_fail(arg, error);
	else
		request_reply(arg, 200, json_object_new_object());
}

void route_release(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = addressee(req, id);

	if (job)
		guest_release(job, on_guest_released, req);
}

void route_open(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = addressee(req, id);

	if (job)
		guest_open(job, on_guest_released, req);
}

void route_abort(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = addressee(req, id);
	struct fm_error err;

	if (!job)
		return;
	if (!letter_error(req, &err))
		fm_fail(&err, FM_FAILED, "the lead gave the group up");
	request_reply(req, 200, json_object_new_object());
	if (!fm_json_bool_or(req->body, "ended", false))
		guest_abort(job, &err);
	else if (job->state == JOB_RUNNING)
		job_set_error(job, &err);
}

void route_fence(struct request *req, const struct fm_snapshot_id *id)
{
	fence_request(req, id->job);
}
