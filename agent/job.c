/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.c - see job.h. */
#include "config.h"

#include "agent/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/claims.h"
#include "agent/compact.h"
#include "agent/cutter.h"
#include "agent/group.h"
#include "agent/snapshot.h"
#include "agent/tree.h"
#include "agent/tracker.h"

static const char *const state_names[] = {
	[JOB_CREATING] = "creating", [JOB_RESTORING] = "restoring", [JOB_HELD] = "held",
	[JOB_RUNNING] = "running",   [JOB_FAILED] = "failed",       [JOB_CRASHED] = "crashed",
};

const char *job_state_name(enum job_state state)
{
	return state_names[state];
}

struct job *job_find(struct agent *agent, uint32_t id)
{
	for (struct job *job = agent->jobs; job; job = job->next)
		if (job->spec.job == id)
			return job;
	return NULL;
}

const char *job_lead(const struct job *job)
{
	return job->spec.nodes[0];
}

bool job_is_lead(const struct job *job)
{
	return job->rank == 0;
}

const char *job_tag(const struct job *job)
{
	static char text[2][48]; /* two may stand in one line */
	static unsigned turn;
	char *tag = text[turn++ % 2];

	snprintf(tag, sizeof(text[0]), "job=%u member=%u", job->spec.job, job->rank);
	return tag;
}

struct job *job_create(struct agent *agent, struct spec *spec, struct fm_error *err)
{
	long rank = spec_rank(spec, agent->conf.node_name);
	struct job *job;

	if (rank < 0) {
		fm_fail(err, FM_USAGE, "this node, %s, is not one of job %u's nodes", agent->conf.node_name, spec->job);
		return NULL;
	}
	job = calloc(1, sizeof(*job));
	if (!job) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	job->agent = agent;
	job->spec = *spec;
	*spec = (struct spec){ 0 };
	job->rank = (unsigned)rank;
	job->created = (int64_t)time(NULL);
	snprintf(job->domain, sizeof(job->domain), "fm-%u-%u", job->spec.job, job->rank);
	job->next = agent->jobs;
	agent->jobs = job;
	return job;
}

static void job_free(struct job *job)
{
	if (job->periodic)
		event_free(job->periodic);
	if (job->identity)
		json_object_put(job->identity);
	json_object_put(job->obtained);
	spec_dispose(&job->spec);
	free(job->home);
	tracker_end(job);
	free(job->last_map);
	free(job);
}

static void fail_waiters(struct waiter **list, const struct fm_error *err)
{
	while (*list) {
		struct waiter *w = *list;

		*list = w->next;
		request_fail(w->req, err);
		free(w);
	}
}

void job_remove(struct job *job)
{
	struct fm_error err;

	compact_forget(job->agent, job->spec.job);
	claims_forget(job->agent, job->spec.job);
	for (struct job **at = &job->agent->jobs; *at; at = &(*at)->next)
		if (*at == job) {
			*at = job->next;
			break;
		}
	tree_forget_job(job);
	fm_fail(&err, FM_NOT_FOUND, "job %u has ended on this node", job->spec.job);
	fail_waiters(&job->put, &err);
	fail_waiters(&job->attach, &err);
	fail_waiters(&job->plan, &err);
	job_record_remove(job);
	job_free(job);
}

void jobs_free(struct agent *agent)
{
	while (agent->jobs) {
		struct job *job = agent->jobs;

		agent->jobs = job->next;
		job_free(job);
	}
}

/* Answer a PUT member: the prolog goes on either way, the state tells. */
static void answer_put(struct job *job, struct request *req)
{
	struct json_object *o;

	if (job->state != JOB_RUNNING) {
		request_fail(req, &job->error);
		return;
	}
	o = json_object_new_object();
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_string(o, "state", job_state_name(job->state));
	request_reply(req, 200, o);
}

static void answer_attach(struct job *job, struct request *req)
{
	struct json_object *o, *node = job_identity_node(job);
	char id[24];

	if (job->state != JOB_RUNNING || !node) {
		request_fail(req, &job->error);
		return;
	}
	o = json_object_new_object();
	fm_json_set_string(o, "address", fm_json_string_or(node, "ip", ""));
	fm_json_set_int(o, "port", fm_json_int_or(job->identity, "port", 0));
	fm_json_set_string(o, "token", fm_json_string_or(job->identity, "token", ""));
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_int(o, "incarnation", job->incarnation);
	if (job->restored_from.job) {
		fm_snapshot_id_format(&job->restored_from, id);
		fm_json_set_string(o, "restored_from", id);
	}
	request_reply(req, 200, o);
}

void job_wake(struct job *job)
{
	/* On the lead the job's script is next: it may run once all members do. */
	if (job->state < JOB_RUNNING || (job->state == JOB_RUNNING && job_is_lead(job) && !group_running(job)))
		return;
	while (job->put && !job->telling) {
		struct waiter *w = job->put;

		job->put = w->next;
		answer_put(job, w->req);
		free(w);
	}
	while (job->attach) {
		struct waiter *w = job->attach;

		job->attach = w->next;
		answer_attach(job, w->req);
		free(w);
	}
	while (job->plan && job->state != JOB_RUNNING) {
		struct waiter *w = job->plan;

		job->plan = w->next;
		request_reply(w->req, 200, fm_json_from_error(&job->error)); /* as in group_plan.c */
		free(w);
	}
}

void job_set_state(struct job *job, enum job_state state, const struct fm_error *error)
{
	struct fm_error err;

	job->state = state;
	if (error)
		job->error = *error;
	if (job_save(job, &err))
		fm_err("%s the record cannot be written: %s", job_tag(job), err.text);
	if (state == JOB_FAILED || state == JOB_CRASHED)
		fm_warning("%s %s: %s", job_tag(job), job_state_name(state), job->error.text);
	else
		fm_info("%s %s", job_tag(job), job_state_name(state));
	job_wake(job);
}

void job_set_error(struct job *job, const struct fm_error *error)
{
	struct fm_error err;

	job->error = *error;
	fm_warning("%s %s", job_tag(job), error->text);
	if (job_save(job, &err))
		fm_err("%s the record cannot be written: %s", job_tag(job), err.text);
}

void job_wait(struct waiter **list, struct request *req)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		request_error(req, FM_FAILED, "out of memory");
		return;
	}
	w->req = req;
	w->next = *list;
	*list = w;
}

struct json_object *job_identity_node(const struct job *job)
{
	struct json_object *nodes = json_object_object_get(job->identity, "nodes");

	return nodes ? json_object_array_get_idx(nodes, job->rank) : NULL;
}

static void add_outcome(struct json_object *o, const struct job *job)
{
	const struct outcome *last = &job->outcomes[0];
	struct json_object *s;
	char id[24];

	if (job->snapshot) {
		json_object_object_add(o, "snapshot", snapshot_progress(job->snapshot));
		return;
	}
	if (!last->id.n)
		return;
	s = json_object_new_object();
	fm_snapshot_id_format(&last->id, id);
	fm_json_set_string(s, "id", id);
	fm_json_set_string(s, "state", last->error.code ? "failed" : "whole");
	if (last->error.code)
		fm_json_set_string(s, "error", last->error.text);
	fm_json_set_int(s, "started", last->started);
	fm_json_set_int(s, "bytes", (int64_t)last->bytes);
	json_object_object_add(o, "snapshot", s);
}

struct json_object *job_to_json(const struct job *job)
{
	struct json_object *o = json_object_new_object(), *nodes = json_object_new_array(), *compacted;
	char id[24];

	fm_json_set_int(o, "job", job->spec.job);
	fm_json_set_string(o, "name", job->spec.name);
	fm_json_set_int(o, "uid", job->spec.uid);
	fm_json_set_string(o, "user", job->spec.user);
	for (unsigned i = 0; i < job->spec.node_count; i++)
		json_object_array_add(nodes, json_object_new_string(job->spec.nodes[i]));
	json_object_object_add(o, "nodes", nodes);
	fm_json_set_string(o, "lead", job_lead(job));
	fm_json_set_string(o, "image", job->spec.image);
	fm_json_set_int(o, "members", job->spec.node_count);
	fm_json_set_string(o, "node", job->spec.nodes[job->rank]);
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_string(o, "state", job_state_name(job->state));
	if (job->error.code)
		fm_json_set_string(o, "error", job->error.text);
	if (job->last_error.code)
		fm_json_set_string(o, "last_error", job->last_error.text);
	fm_json_set_int(o, "incarnation", job->incarnation);
	fm_json_set_int(o, "interval_s", job->spec.interval_s);
	fm_json_set_int(o, "keep", job->spec.keep);
	fm_json_set_int(o, "max_age_s", job->spec.max_age_s);
	if (job->restored_from.job) {
		fm_snapshot_id_format(&job->restored_from, id);
		fm_json_set_string(o, "restored_from", id);
		if (*job->restored_level) {
			fm_json_set_string(o, "restored_level", job->restored_level);
			fm_json_set_int(o, "fetched_files", job->fetched_files);
			fm_json_set_int(o, "fetched_bytes", (int64_t)job->fetched_bytes);
		}
	}
	if (job->obtained)
		json_object_object_add(o, "obtained", json_object_get(job->obtained));
	add_outcome(o, job);
	if (cutter_progress(job))
		json_object_object_add(o, "saving", json_object_get(cutter_progress(job)));
	if ((compacted = compact_describe(job->agent, job->spec.job)))
		json_object_object_add(o, "compacted", compacted);
	fm_json_set_bool(o, "checkpoint_disabled", job->checkpoint_disabled);
	fm_json_set_string(o, "domain", job->domain);
	fm_json_set_int(o, "created", job->created);
	return o;
}

bool job_allows(const struct job *job, struct request *req)
{
	if (req->uid == job->spec.uid || agent_is_admin(req->agent, req->uid))
		return true;
	request_error(req, FM_DENIED, "job %u is another user's", job->spec.job);
	return false;
}
