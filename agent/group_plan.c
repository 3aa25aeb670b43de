/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * group_plan.c - on the lead: members ask for the group's plan (group.h).  One
 * asked for before the lead's own prolog ran waits for that, CreateTimeout at most.
 * So does one asked of a group that is complete already: the member begins anew,
 * and would get the old group's secret.
 */
#include "config.h"

#include <stdlib.h>

#include "agent/group.h"

void group_answer_plans(struct job *job)
{
	while (job->plan && job->planned && group_decided(job)) {
		struct waiter *w = job->plan;
		struct json_object *o = json_object_new_object();
		char id[24];

		job->plan = w->next;
		if (job->restored_from.job) {
			fm_snapshot_id_format(&job->restored_from, id);
			fm_json_set_string(o, "restore", id);
		} else {
			json_object_object_add(o, "restore", NULL);
		}
		fm_json_set_string(o, "token", fm_json_string_or(job->identity, "token", ""));
		fm_json_set_int(o, "incarnation", job->incarnation);
		fm_json_set_int(o, "members", job->spec.node_count);
		json_object_object_add(o, "identity", json_object_get(job->identity));
		request_reply(w->req, 200, o);
		free(w);
	}
}

struct early {
	struct early *next;
	struct agent *agent;
	struct event *timeout;
	struct request *req;
	uint32_t job;
	unsigned restart_count;
};

static struct early *early_ones;

static void early_take(struct early *e)
{
	for (struct early **at = &early_ones; *at; at = &(*at)->next)
		if (*at == e) {
			*at = e->next;
			break;
		}
	event_free(e->timeout);
	free(e);
}

static void on_early_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct early *e = arg;
	struct request *req = e->req;

	(void)fd, (void)what;
	request_error(req, FM_TIMEOUT, "job %u's prolog has not run on %s, its first node", e->job,
		      e->agent->conf.node_name);
	early_take(e);
}

static void plan_wait(struct job *job, struct request *req)
{
	if (job->state == JOB_FAILED || job->state == JOB_CRASHED) {
		request_reply(req, 200, fm_json_from_error(&job->error)); /* an answer: to be asked again is for who has none */
		return;
	}
	job_wait(&job->plan, req);
	group_answer_plans(job);
}

void group_plan_request(struct request *req, uint32_t id, unsigned restart_count)
{
	struct job *job = job_find(req->agent, id);
	int64_t ms = req->agent->conf.create_timeout_ms;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct early *e;

	if (job && job->spec.restart_count >= restart_count && !job_is_lead(job)) {
		request_error(req, FM_USAGE, "%s is not the first node of job %u", req->agent->conf.node_name, id);
		return;
	}
	if (job && job->spec.restart_count >= restart_count && !group_was_ready(job)) {
		plan_wait(job, req);
		return;
	}
	/* of a group that is complete a member has been put again: the lead's own will be, too */
	fm_debug("job=%u a member asks for its plan before this node's has been put", id);
	e = calloc(1, sizeof(*e));
	if (!e || !(e->timeout = evtimer_new(req->agent->base, on_early_timeout, e))) {
		free(e);
		request_error(req, FM_FAILED, "out of memory");
		return;
	}
	e->agent = req->agent;
	e->req = req;
	e->job = id;
	e->restart_count = restart_count;
	e->next = early_ones;
	early_ones = e;
	event_add(e->timeout, &tv);
}

void group_adopt_early(struct job *job)
{
	struct early *e = early_ones;

	while (e) {
		struct early *next = e->next;
		struct request *req = e->req;

		if (e->job == job->spec.job && e->restart_count <= job->spec.restart_count) {
			early_take(e);
			plan_wait(job, req);
		}
		e = next;
	}
}
