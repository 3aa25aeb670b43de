/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.c - see guest.h. The steps; what runs them is in guest_steps.c. */
#include "config.h"

#include "agent/guest_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cut_inject.h"
#include "agent/cutter.h"
#include "agent/group.h"
#include "agent/peers.h"
#include "agent/snapshot.h"

#define PLAN_RETRY_MS 500
#define SLACK_MS 5000 /* the lead's deadline first: it knows which member is late */
#define UNDO_MS 60000

static struct guest *guest_new(struct job *job)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->job = job;
	g->probe_fd = -1;
	g->deadline = evtimer_new(job->agent->base, guest_on_deadline, g);
	g->timer = evtimer_new(job->agent->base, guest_on_timer, g);
	if (!g->deadline || !g->timer) {
		guest_free(g);
		return NULL;
	}
	return g;
}

/* Everything but the worker, which must undo what it did. */
static void stop_waiting(struct guest *g)
{
	peer_cancel(fm_steal_ptr(&g->call));
	task_cancel(fm_steal_ptr(&g->task));
	guest_stop_probe(g);
	event_del(g->timer);
	event_del(g->deadline);
}

void guest_free(struct guest *g)
{
	if (!g)
		return;
	if (g->timer && g->deadline)
		stop_waiting(g);
	worker_close(g->worker, UNDO_MS);
	if (g->timer)
		event_free(g->timer);
	if (g->deadline)
		event_free(g->deadline);
	if (g->request)
		json_object_put(g->request);
	free(g->held);
	free(g);
}

void guest_set_timer(struct event *timer, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(timer, &tv);
}

/* ---- the end -------------------------------------------------------------- */

static void call_done(struct job *job, guest_done done, void *arg, const struct fm_error *error)
{
	if (done)
		done(job, error, arg);
}

/* The domain is gone, or could not be made to go. */
static void torn_down(struct guest *g, const struct fm_error *error)
{
	struct job *job = g->job;
	guest_done done = g->destroyed;
	void *arg = g->destroyed_arg;

	if (error)
		fm_err("%s domain %s: %s", job_tag(job), job->domain, error->text);
	job->guest = NULL;
	guest_free(g);
	call_done(job, done, arg, error);
}

static void on_destroy_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	(void)w, (void)event, (void)o, (void)arg;
}

static void on_destroy_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct guest *g = arg;

	(void)w;
	g->worker = NULL;
	torn_down(g, error);
}

static void destroy_domain(struct guest *g)
{
	static const struct worker_events events = { on_destroy_event, on_destroy_ended };
	struct json_object *request = json_object_new_object();
	struct fm_error err;

	fm_json_set_string(request, "op", "destroy");
	fm_json_set_string(request, "name", g->job->domain);
	fm_json_set_string(request, "rundir", g->job->agent->conf.run_dir);
	g->worker = worker_start(g->job->agent, job_tag(g->job), request, UNDO_MS, &events, g, &err);
	if (!g->worker)
		torn_down(g, &err);
}

/* Once: from here on only the domain's end is awaited. */
static void tear_down(struct guest *g)
{
	struct job *job = g->job;

	if (g->stage == GUEST_UNDOING)
		return;
	g->stage = GUEST_UNDOING;
	job->unwatched = true;
	stop_waiting(g);
	gate_destroy(fm_steal_ptr(&job->gate));
	if (g->worker) { /* it undoes itself first: on_build_ended() goes on */
		worker_command(g->worker, "abort");
		worker_deadline(g->worker, UNDO_MS);
	} else {
		destroy_domain(g);
	}
}

/* The release, if one waits, is answered; the record says why. */
static void settle(struct guest *g, const struct fm_error *error)
{
	guest_done done = g->released;

	g->released = NULL;
	call_done(g->job, done, g->released_arg, error);
}

void guest_fail(struct guest *g, const struct fm_error *why)
{
	static const char *const steps[] = {
		[GUEST_PLANNING] = "asking the lead for the plan", [GUEST_PREPARING] = "preparing",
		[GUEST_BUILDING] = "building the VM", [GUEST_STARTING] = "starting the VM",
		[GUEST_LINKING] = "waiting for the VM's network", [GUEST_LINKED] = "waiting for the others' networks",
		[GUEST_REINJECTING] = "giving back the held frames", [GUEST_THAWING] = "letting the job go on",
		[GUEST_PROBING] = "waiting for the runner in the VM", [GUEST_READY] = "waiting for the group",
	};
	struct job *job = g->job;
	struct fm_error error = *why;

	if (g->stage == GUEST_UNDOING)
		return;
	if (!g->told)
		fm_context(&error, "member %u (%s): %s", job->rank, job->agent->conf.node_name, steps[g->stage]);
	tear_down(g);
	job->telling = !job_is_lead(job);
	job_set_state(job, JOB_FAILED, &error);
	settle(g, &error);
	group_tell(job, &error);
}

void guest_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	struct fm_error err;

	(void)fd, (void)what;
	fm_fail(&err, FM_TIMEOUT, "not done within CreateTimeout (%lld s)",
		(long long)g->job->agent->conf.create_timeout_ms / 1000);
	guest_fail(g, &err);
}

/* ---- the plan ---------------------------------------------------------------- */

int guest_take_plan(struct job *job, struct json_object *plan, struct fm_error *err)
{
	const char *restore = fm_json_string_or(plan, "restore", NULL);
	struct json_object *identity = json_object_object_get(plan, "identity");
	struct json_object *nodes = identity ? json_object_object_get(identity, "nodes") : NULL;

	if (!json_object_is_type(nodes, json_type_array) ||
	    json_object_array_length(nodes) != job->spec.node_count ||
	    strlen(fm_json_string_or(identity, "token", "")) != 64)
		return fm_fail(err, FM_FAILED, "the lead's plan is malformed");
	if (restore && fm_snapshot_id_parse(restore, &job->restored_from, err))
		return -1;
	job->incarnation = (unsigned)fm_json_int_or(plan, "incarnation", 0);
	job->identity = json_object_get(identity);
	job->planned = true;
	return 0;
}

static void on_plan(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct guest *g = arg;
	struct fm_error err;

	g->call = NULL;
	if (error && error->code == FM_NOT_FOUND) { /* its agent is not up yet */
		guest_set_timer(g->timer, PLAN_RETRY_MS);
		return;
	}
	if (!error && json_object_object_get(reply, "error")) { /* the group has failed */
		fm_json_to_error(reply, &err);
		error = &err;
	}
	g->told = error && error->code != FM_TIMEOUT;
	if (error)
		guest_fail(g, error);
	else if (guest_take_plan(g->job, reply, &err))
		guest_fail(g, &err);
	else
		guest_planned(g->job);
}

static void start_plan(struct guest *g)
{
	struct job *job = g->job;
	char path[80];

	snprintf(path, sizeof(path), "/v1/jobs/%u/plan?restart_count=%u", job->spec.job, job->spec.restart_count);
	g->call = peer_call(job->agent->peers, job_lead(job), "GET", path, NULL,
			    job->agent->conf.create_timeout_ms * (job->spec.deferred ? 2 : 1), on_plan, g);
}

void guest_start(struct job *job)
{
	struct guest *g = guest_new(job);
	struct fm_error err;

	job_set_state(job, JOB_CREATING, NULL);
	if (!g) {
		fm_fail(&err, FM_FAILED, "out of memory");
		job_set_state(job, JOB_FAILED, &err);
		group_tell(job, &err);
		return;
	}
	job->guest = g;
	g->stage = GUEST_PLANNING;
	/* a deferred group's begins when the owner has chosen, after as long again at most */
	guest_set_timer(g->deadline, job->agent->conf.create_timeout_ms * (job->spec.deferred ? 2 : 1) + SLACK_MS);
	if (!job_is_lead(job)) /* the lead's own plan comes from group_start() */
		start_plan(g);
}

void guest_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;

	(void)fd, (void)what;
	if (g->stage == GUEST_PLANNING)
		start_plan(g);
	else if (g->stage == GUEST_PREPARING)
		guest_prepare(g);
	else if (g->stage == GUEST_LINKING)
		guest_poll_link(g);
	else if (g->stage == GUEST_PROBING)
		guest_probe(g);
}

/* ---- the group's word ----------------------------------------------------------- */

int guest_enter(struct guest *g, enum guest_stage stage)
{
	static const char *const names[] = {
		[GUEST_STARTING] = "starting", [GUEST_LINKING] = "linking", [GUEST_LINKED] = "linked",
		[GUEST_REINJECTING] = "reinjecting", [GUEST_THAWING] = "thawing", [GUEST_PROBING] = "probing",
	};
	struct fm_error err;

	g->stage = stage;
	fm_debug("%s guest %s", job_tag(g->job), names[stage]);
	if (cut_inject(g->job, "guest", names[stage], &err) == 0)
		return 0;
	guest_fail(g, &err);
	return -1;
}

void guest_ready(struct guest *g)
{
	g->stage = GUEST_READY;
	group_tell(g->job, NULL);
}

void guest_linked(struct guest *g)
{
	if (g->died.code)
		guest_fail(g, &g->died);
	else if (guest_enter(g, GUEST_LINKED) == 0)
		settle(g, NULL);
}

void guest_running(struct guest *g)
{
	struct job *job = g->job;
	guest_done done = g->released;
	void *arg = g->released_arg;

	if (g->died.code) {
		guest_fail(g, &g->died);
		return;
	}
	job->guest = NULL;
	guest_free(g);
	job_set_state(job, JOB_RUNNING, NULL);
	call_done(job, done, arg, NULL);
}

/* What is not the moment for an order. */
static void refuse(struct job *job, guest_done done, void *arg, const char *what)
{
	struct fm_error err;

	fm_fail(&err, FM_FAILED, "member %u (%s) is %s, not ready to be %s", job->rank, job->agent->conf.node_name,
		job_state_name(job->state), what);
	call_done(job, done, arg, job->error.code ? &job->error : &err);
}

void guest_open(struct job *job, guest_done done, void *arg)
{
	struct guest *g = job->guest;

	if (job->state == JOB_RUNNING) { /* told twice */
		call_done(job, done, arg, NULL);
	} else if (!g || g->stage != GUEST_LINKED || g->released) {
		refuse(job, done, arg, "opened");
	} else {
		g->released = done;
		g->released_arg = arg;
		guest_reinject(g);
	}
}

void guest_release(struct job *job, guest_done done, void *arg)
{
	struct guest *g = job->guest;

	if (job->state == JOB_RUNNING) { /* told twice */
		call_done(job, done, arg, NULL);
		return;
	}
	if (!g || g->stage != GUEST_READY || g->released) {
		refuse(job, done, arg, "released");
		return;
	}
	g->released = done;
	g->released_arg = arg;
	if (job->state == JOB_HELD)
		guest_let_run(g);
	else
		guest_running(g);
}

void guest_abort(struct job *job, const struct fm_error *error)
{
	struct guest *g = job->guest;

	if (job->state == JOB_FAILED || job->state == JOB_CRASHED)
		return;
	if (!g && !(g = job->guest = guest_new(job))) {
		fm_err("%s out of memory: %s stays", job_tag(job), job->domain);
		return;
	}
	cutter_stop(job, error);
	tear_down(g);
	job_set_state(job, JOB_FAILED, error);
	settle(g, error);
}

/* ---- its own end ------------------------------------------------------------------ */

/* A job that was dropped and put again has a domain of the same name: the old one's end may be reported late. */
static bool is_of_earlier(const struct job *job, uint32_t domid)
{
	if (!domid)
		return false;
	if (job->domid)
		return domid != job->domid;
	return job->guest && job->guest->stage < GUEST_BUILDING;
}

void guest_died(struct job *job, uint32_t domid, const char *reason)
{
	struct fm_error error;

	if (is_of_earlier(job, domid)) {
		fm_debug("%s domain %s (%u) of before: %s", job_tag(job), job->domain, domid, reason);
		return;
	}
	if (job->unwatched || job->state == JOB_FAILED || job->state == JOB_CRASHED)
		return;
	fm_fail(&error, FM_FAILED, "the VM of member %u on %s ended: %s", job->rank,
		job->agent->conf.node_name, reason);
	if (job->guest) {
		if (job->guest->stage == GUEST_UNDOING)
			return;
		job->guest->died = error;
		job->guest->died_domid = domid;
		if (!job->guest->worker) /* else its own words first: it may be the worker that ended it */
			guest_fail(job->guest, &error);
		return;
	}
	job->guest = guest_new(job);
	cutter_stop(job, &error);
	snapshot_stop(job, &error);
	job_set_state(job, JOB_CRASHED, &error);
	group_tell(job, &error);
	if (job->guest)
		tear_down(job->guest);
}

void guest_clear(struct job *job)
{
	if (!job->guest && (job->guest = guest_new(job)))
		tear_down(job->guest);
}

void guest_destroy(struct job *job, guest_done done, void *arg)
{
	struct fm_error error;

	fm_fail(&error, FM_NOT_FOUND, "job %u has ended on %s", job->spec.job, job->agent->conf.node_name);
	cutter_stop(job, &error);
	snapshot_stop(job, &error);
	if (!job->guest && !(job->guest = guest_new(job))) {
		fm_fail(&error, FM_FAILED, "out of memory");
		call_done(job, done, arg, &error);
		return;
	}
	job->guest->destroyed = done;
	job->guest->destroyed_arg = arg;
	if (job->state < JOB_RUNNING)
		group_tell(job, &error); /* the others wait for this one */
	settle(job->guest, &error);
	tear_down(job->guest);
}

/* The worker that built it has ended while its work is being undone. */
void guest_undone(struct guest *g)
{
	destroy_domain(g);
}
