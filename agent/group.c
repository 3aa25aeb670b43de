/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group.c - see group.h. */
#include "config.h"

#include "agent/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fence.h"
#include "agent/guest.h"
#include "agent/message.h"
#include "agent/peers.h"
#include "agent/periodic.h"
#include "agent/plan.h"
#include "agent/snapshot.h"
#include "common/cleanup.h"

#define TELL_MS 60000 /* how long an abort or the end of a guest is repeated to a peer that is not there */

enum group_state { GROUP_PLANNING, GROUP_WAITING, GROUP_RELEASING, GROUP_OPENING, GROUP_RUNNING, GROUP_ABORTED };

struct group {
	struct job *job;
	enum group_state state;
	struct task *task;
	struct fence *fence;
	struct event *deadline;
	bool choosing; /* deferred: nobody has said yet what to restart from */
	bool *done; /* by rank: with the step that `state` waits for */
	unsigned done_count;
	struct order *orders; /* under way */
};

/* One member's release, or opening. */
struct order {
	struct order *next;
	struct group *group;
	struct call *call;
	unsigned rank;
};

static char *path_of(const struct job *job, const char *what, char buf[64])
{
	snprintf(buf, 64, "/v1/jobs/%u/%s", job->spec.job, what);
	return buf;
}

static struct json_object *letter(const struct job *job, const struct fm_error *error, bool ended)
{
	struct json_object *o = error ? fm_json_from_error(error) : json_object_new_object();

	fm_json_set_int(o, "restart_count", job->spec.restart_count);
	fm_json_set_int(o, "rank", job->rank);
	if (ended)
		fm_json_set_bool(o, "ended", true);
	return o;
}

/* ---- member to lead -------------------------------------------------------- */

struct tell {
	uint32_t job;
	unsigned restart_count;
	bool ready;
};

static void on_told(struct agent *agent, const struct fm_error *error, void *arg)
{
	struct tell *tell = arg;
	struct job *job = job_find(agent, tell->job);
	struct fm_error err;

	if (job && !tell->ready) {
		job->telling = false;
		job_wake(job);
	}
	if (error && tell->ready && job && job->spec.restart_count == tell->restart_count) {
		err = *error;
		fm_context(&err, "member %u (%s) cannot tell the lead", job->rank, agent->conf.node_name);
		guest_abort(job, &err);
	}
	free(tell);
}

void group_tell(struct job *job, const struct fm_error *error)
{
	const struct agent *agent = job->agent;
	struct tell *tell;
	char path[64];

	if (job_is_lead(job)) {
		group_report(job, 0, error);
		return;
	}
	tell = calloc(1, sizeof(*tell));
	if (!tell)
		abort(); /* the group waits for this */
	*tell = (struct tell){ job->spec.job, job->spec.restart_count, error == NULL };
	message_send(job->agent, job_lead(job), path_of(job, "ready", path), letter(job, error, false),
		     error ? TELL_MS : agent->conf.create_timeout_ms, on_told, tell);
}

/* ---- lead to members ---------------------------------------------------------- */

static void tell_all(struct job *job, const struct fm_error *error, bool ended, unsigned except)
{
	char path[64];

	for (unsigned i = 1; i < job->spec.node_count; i++)
		if (i != except)
			message_send(job->agent, job->spec.nodes[i], path_of(job, "abort", path),
				     letter(job, error, ended), TELL_MS, NULL, NULL);
}

static void drop_orders(struct group *group)
{
	while (group->orders) {
		struct order *o = group->orders;

		group->orders = o->next;
		peer_cancel(o->call);
		free(o);
	}
}

static void group_abort(struct group *group, const struct fm_error *error)
{
	struct job *job = group->job;
	struct fm_error why = *error;

	if (group->state == GROUP_ABORTED)
		return;
	group->state = GROUP_ABORTED;
	event_del(group->deadline);
	task_cancel(fm_steal_ptr(&group->task));
	fence_cancel(fm_steal_ptr(&group->fence));
	drop_orders(group);
	fm_warning("%s the group is given up: %s", job_tag(job), why.text);
	tell_all(job, &why, false, 0);
	guest_abort(job, &why);
	job_wake(job);
}

static void group_is_running(struct group *group)
{
	group->state = GROUP_RUNNING;
	event_del(group->deadline);
	fm_info("%s the group of %u runs", job_tag(group->job), group->job->spec.node_count);
	periodic_start(group->job);
	job_wake(group->job);
}

static void order_all(struct group *group, enum group_state state);

/* A member is done with the step; true when all are. */
static bool one_done(struct group *group, unsigned rank)
{
	if (group->done[rank])
		return false;
	group->done[rank] = true;
	return ++group->done_count == group->job->spec.node_count;
}

static void order_done(struct group *group, unsigned rank)
{
	if (!one_done(group, rank))
		return;
	if (group->state == GROUP_RELEASING && group->job->restored_from.job)
		order_all(group, GROUP_OPENING);
	else if (group->state == GROUP_RELEASING || group->state == GROUP_OPENING)
		group_is_running(group);
}

static void on_own_done(struct job *job, const struct fm_error *error, void *arg)
{
	(void)arg;
	if (!job->group)
		return;
	if (error)
		group_abort(job->group, error);
	else
		order_done(job->group, 0);
}

static void on_done(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct order *o = arg;
	struct group *group = o->group;
	unsigned rank = o->rank;
	struct fm_error err;

	(void)reply;
	for (struct order **at = &group->orders; *at; at = &(*at)->next)
		if (*at == o) {
			*at = o->next;
			break;
		}
	free(o);
	if (!error) {
		order_done(group, rank);
		return;
	}
	err = *error;
	if (!strstr(err.text, "member "))
		fm_context(&err, "member %u (%s)", rank, group->job->spec.nodes[rank]);
	group_abort(group, &err);
}

/* To all at once; order_done() when each has done it. */
static void order_all(struct group *group, enum group_state state)
{
	struct job *job = group->job;
	FM_AUTO_JSON struct json_object *body = letter(job, NULL, false);
	const char *what = state == GROUP_RELEASING ? "release" : "open";
	char path[64];

	group->state = state;
	group->done_count = 0;
	memset(group->done, 0, job->spec.node_count * sizeof(*group->done));
	for (unsigned i = 1; i < job->spec.node_count; i++) {
		struct order *o = calloc(1, sizeof(*o));

		if (!o)
			abort();
		*o = (struct order){ .next = group->orders, .group = group, .rank = i };
		group->orders = o;
		o->call = peer_call(job->agent->peers, job->spec.nodes[i], "POST", path_of(job, what, path), body,
				    job->agent->conf.create_timeout_ms, on_done, o);
	}
	if (state == GROUP_RELEASING)
		guest_release(job, on_own_done, NULL);
	else
		guest_open(job, on_own_done, NULL);
}

/* ---- on the lead ----------------------------------------------------------------- */

void group_report(struct job *job, unsigned rank, const struct fm_error *error)
{
	struct group *group = job->group;

	if (!group || rank >= job->spec.node_count || group->state == GROUP_ABORTED)
		return;
	if (error && group->state == GROUP_RUNNING && rank == 0) {
		tell_all(job, error, true, rank); /* its shim hears of it, and the job ends */
	} else if (error) {
		/* A job that lost one of its machines would wait for it for ever. */
		snapshot_stop(job, error);
		group_abort(group, error);
	} else if (group->state <= GROUP_WAITING && one_done(group, rank)) {
		order_all(group, GROUP_RELEASING);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct group *group = arg;
	const struct job *job = group->job;
	const char *step = "ready";
	struct fm_error err;
	unsigned late = 0;

	(void)fd, (void)what;
	if (group->choosing) {
		fm_fail(&err, FM_TIMEOUT, "nobody has said within CreateTimeout (%lld s) what job %u is to restart from",
			(long long)job->agent->conf.create_timeout_ms / 1000, job->spec.job);
		group_abort(group, &err);
		return;
	}
	while (late + 1 < job->spec.node_count && group->done[late])
		late++;
	if (group->state == GROUP_OPENING || (group->state == GROUP_RELEASING && !job->restored_from.job))
		step = "running";
	else if (group->state == GROUP_RELEASING)
		step = "linked to the network";
	fm_fail(&err, FM_TIMEOUT, "member %u (%s) was not %s within CreateTimeout (%lld s)", late,
		job->spec.nodes[late], step, (long long)job->agent->conf.create_timeout_ms / 1000);
	group_abort(group, &err);
}

/* Nobody else is this group: it may be made. */
static void on_fenced(const struct fm_error *error, void *arg)
{
	struct group *group = arg;
	struct job *job = group->job;

	group->fence = NULL;
	if (error) {
		group_abort(group, error);
		return;
	}
	group->state = GROUP_WAITING;
	if (job->restored_from.job)
		fm_info("%s restores %u.%u, incarnation %u", job_tag(job), job->restored_from.job,
			job->restored_from.n, job->incarnation);
	guest_planned(job);
	group_answer_plans(job);
}

static void on_decided(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
		       void *arg)
{
	struct group *group = arg;
	struct job *job = group->job;
	const char *script_error;
	struct json_object *fence;
	struct fm_error err;

	(void)blob;
	group->task = NULL;
	if (error || guest_take_plan(job, result, &err)) {
		group_abort(group, error ? error : &err);
		return;
	}
	script_error = fm_json_string_or(result, "script_error", NULL);
	if (script_error)
		fm_warning("%s the script is not kept: %s", job_tag(job), script_error);
	free(fm_steal_ptr(&job->spec.script));
	fence = json_object_object_get(result, "fence");
	if (fence)
		group->fence = fence_start(job, fence, on_fenced, group);
	else
		on_fenced(NULL, group);
}

static struct group *group_new(struct job *job)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group || !(group->done = calloc(job->spec.node_count, sizeof(*group->done))) ||
	    !(group->deadline = evtimer_new(job->agent->base, on_deadline, group)))
		abort(); /* a handful of bytes */
	group->job = job;
	job->group = group;
	return group;
}

static void group_decide(struct group *group)
{
	struct job *job = group->job;
	int64_t ms = job->agent->conf.create_timeout_ms;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct fm_error err;

	event_add(group->deadline, &tv);
	if (group->choosing)
		return;
	group->task = task_start(job->agent, plan_decide, job, on_decided, group, &err);
	if (!group->task)
		group_abort(group, &err);
}

void group_start(struct job *job)
{
	struct group *group = group_new(job);

	group->choosing = job->spec.deferred;
	group_decide(group);
	group_adopt_early(job);
}

int group_choose(struct job *job, const struct fm_snapshot_id *from, struct fm_error *err)
{
	struct group *group = job->group;

	if (!job->spec.deferred)
		return fm_fail(err, FM_USAGE, "job %u was not begun to be restarted", job->spec.job);
	if (job->state == JOB_FAILED || job->state == JOB_CRASHED)
		return fm_fail(err, job->error.code, "%s", job->error.text);
	if (!group || !group->choosing)
		return fm_fail(err, FM_BUSY, "it was said before what job %u is to restart from", job->spec.job);
	group->choosing = false;
	job->spec.restart = from->job != 0;
	job->spec.restart_from = *from;
	group_decide(group);
	return 0;
}

void group_resume(struct job *job)
{
	group_is_running(group_new(job));
}

void group_resume_aborted(struct job *job, const struct fm_error *error)
{
	group_abort(group_new(job), error);
}

void group_destroy(struct job *job)
{
	struct group *group = job->group;

	if (!group)
		return;
	job->group = NULL;
	task_cancel(group->task);
	fence_cancel(group->fence);
	drop_orders(group);
	event_free(group->deadline);
	free(group->done);
	free(group);
}

bool group_decided(const struct job *job)
{
	return job->group && job->group->state > GROUP_PLANNING;
}

bool group_was_ready(const struct job *job)
{
	return job->group && (job->group->state == GROUP_RELEASING || job->group->state == GROUP_OPENING ||
			      job->group->state == GROUP_RUNNING);
}

bool group_running(const struct job *job)
{
	return job->group && job->group->state == GROUP_RUNNING;
}
