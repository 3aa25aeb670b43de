/* SPDX-License-Identifier: GPL-2.0-or-later */
/* recover.c - see recover.h. */
#include "config.h"

#include "agent/recover.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/domains.h"
#include "agent/group.h"
#include "agent/guest.h"
#include "agent/snapshot.h"
#include "common/cleanup.h"
#include "common/io.h"

#define POLL_MS 50
#define SAVER_MS 20000 /* a saver that is undoing itself */

struct recovery {
	struct agent *agent;
	recovered done;
	struct event *timer;
	uint64_t until_ns;
	unsigned resuming;
	bool listed;
};

/* ---- savers of the agent before ---------------------------------------------------- */

static bool is_worker(pid_t pid)
{
	char path[64], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = '\0';
	fclose(f);
	return strncmp(comm, "fermata-worker", 14) == 0; /* the number may be another's by now */
}

static bool savers_left(struct recovery *r)
{
	bool late = agent_now_ns() > r->until_ns, left = false;

	for (struct job *job = r->agent->jobs; job; job = job->next) {
		if (!job->save_pid)
			continue;
		if (!is_worker(job->save_pid)) {
			job->save_pid = 0;
			continue;
		}
		left = true;
		if (late) {
			fm_warning("%s the saver %d does not end: killed", job_tag(job), (int)job->save_pid);
			kill(job->save_pid, SIGKILL);
		}
	}
	return left;
}

/* ---- one record against the domains -------------------------------------------------- */

static struct json_object *domain_of(struct json_object *domains, const char *name)
{
	struct json_object *list = json_object_object_get(domains, "domains");

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (strcmp(fm_json_string_or(o, "name", ""), name) == 0)
			return o;
	}
	return NULL;
}

static bool alive(struct json_object *domain)
{
	const char *state = domain ? fm_json_string_or(domain, "state", "") : "";

	return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "suspended") == 0;
}

static void finish(struct recovery *r, const struct fm_error *error)
{
	recovered done = r->done;
	struct agent *agent = r->agent;

	event_free(r->timer);
	free(r);
	done(agent, error);
}

static void on_resumed(struct agent *agent, struct json_object *result, const struct fm_error *error, void *arg)
{
	struct recovery *r = arg;

	(void)agent;
	if (error)
		fm_err("a guest cannot be resumed: %s", error->text);
	else if (fm_json_bool_or(result, "was_suspended", false))
		fm_warning("a guest had been left suspended; it runs again");
	if (--r->resuming == 0 && r->listed)
		finish(r, NULL);
}

static void resume(struct recovery *r, const char *name)
{
	r->resuming++;
	domains_do(r->agent, "resume", name, on_resumed, r);
}

static void recover_running(struct recovery *r, struct job *job, struct json_object *domain)
{
	struct json_object *vifs = json_object_object_get(domain, "vifs");
	struct fm_error err;

	if (!alive(domain)) {
		job->error.code = FM_OK;
		guest_died(job, 0, "it was gone when the agent came back");
		return;
	}
	if (vifs && json_object_array_length(vifs))
		snprintf(job->vif, sizeof(job->vif), "%s", json_object_get_string(json_object_array_get_idx(vifs, 0)));
	job->gate = gate_create(job->agent->gates, job->vif, &err);
	if (!job->gate)
		fm_err("%s gate on %s: %s", job_tag(job), job->vif, err.text);
	if (strcmp(fm_json_string_or(domain, "state", ""), "running"))
		resume(r, job->domain);
	if (job_is_lead(job)) {
		snapshot_recover(job);
		group_resume(job);
	}
	fm_info("%s found again, domain %s", job_tag(job), job->domain);
}

static void recover_job(struct recovery *r, struct job *job, struct json_object *domains)
{
	struct json_object *domain = domain_of(domains, job->domain);
	struct fm_error err;

	if (job->state == JOB_RUNNING) {
		recover_running(r, job, domain);
	} else if (job->state < JOB_RUNNING) {
		fm_fail(&err, FM_FAILED, "member %u (%s): its agent was restarted while the VM was being %s", job->rank,
			r->agent->conf.node_name, job->restored_from.job ? "restored" : "created");
		guest_abort(job, &err);
		if (job_is_lead(job))
			group_resume_aborted(job, &err);
		else
			group_tell(job, &err);
	} else if (domain) {
		guest_clear(job);
	}
}

static void recover_strays(struct recovery *r, struct json_object *domains)
{
	struct json_object *list = json_object_object_get(domains, "domains");

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *name = fm_json_string_or(o, "name", "");
		bool known = false;

		for (struct job *job = r->agent->jobs; job; job = job->next)
			known = known || strcmp(job->domain, name) == 0;
		if (known)
			continue;
		fm_warning("domain %s is ours and has no record: it is left to run", name);
		if (strcmp(fm_json_string_or(o, "state", ""), "suspended") == 0)
			resume(r, name);
	}
}

static void on_listed(struct agent *agent, struct json_object *result, const struct fm_error *error, void *arg)
{
	struct recovery *r = arg;
	struct fm_error err;

	if (error) {
		err = *error;
		fm_context(&err, "cannot list the domains");
		finish(r, &err);
		return;
	}
	for (struct job *job = agent->jobs; job; job = job->next)
		recover_job(r, job, result);
	recover_strays(r, result);
	r->listed = true;
	if (!r->resuming)
		finish(r, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct recovery *r = arg;
	struct timeval tv = { 0, POLL_MS * 1000 };

	(void)fd, (void)what;
	if (savers_left(r))
		event_add(r->timer, &tv);
	else
		domains_list(r->agent, on_listed, r);
}

int recover_start(struct agent *agent, recovered done, struct fm_error *err)
{
	struct recovery *r = calloc(1, sizeof(*r));

	if (!r || !(r->timer = evtimer_new(agent->base, on_timer, r))) {
		free(r);
		return fm_fail(err, FM_FAILED, "out of memory");
	}
	r->agent = agent;
	r->done = done;
	r->until_ns = agent_now_ns() + SAVER_MS * 1000000ull;
	event_active(r->timer, EV_TIMEOUT, 1);
	return 0;
}

/* ---- while it runs ------------------------------------------------------------------------ */

struct roll {
	int64_t asked;
};

static void on_roll(struct agent *agent, struct json_object *result, const struct fm_error *error, void *arg)
{
	struct roll *roll = arg;

	if (error)
		fm_warning("cannot list the domains: %s", error->text);
	for (struct job *job = error ? NULL : agent->jobs; job; job = job->next)
		if (job->state == JOB_RUNNING && job->created < roll->asked && !domain_of(result, job->domain))
			guest_died(job, 0, "it was gone");
	free(roll);
}

void recover_missing(struct agent *agent)
{
	struct roll *roll = calloc(1, sizeof(*roll));

	if (!roll)
		return;
	roll->asked = (int64_t)time(NULL);
	domains_list(agent, on_roll, roll);
}

/* ---- domains of a job without a record ------------------------------------------------------ */

struct strays {
	char prefix[32];
	job_dropped done;
	void *arg;
	struct fm_error error;
	unsigned left;
};

static void strays_next(struct agent *agent, struct strays *s)
{
	if (s->left)
		return;
	s->done(agent, s->error.code ? &s->error : NULL, s->arg);
	free(s);
}

static void on_stray_destroyed(struct agent *agent, struct json_object *result, const struct fm_error *error,
			       void *arg)
{
	struct strays *s = arg;

	(void)result;
	if (error)
		s->error = *error;
	s->left--;
	strays_next(agent, s);
}

static void on_strays(struct agent *agent, struct json_object *result, const struct fm_error *error, void *arg)
{
	struct strays *s = arg;
	struct json_object *list = error ? NULL : json_object_object_get(result, "domains");

	if (error)
		s->error = *error;
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		const char *name = fm_json_string_or(json_object_array_get_idx(list, i), "name", "");

		if (strncmp(name, s->prefix, strlen(s->prefix)))
			continue;
		fm_warning("domain %s has no record and its job has ended: destroyed", name);
		s->left++;
		domains_do(agent, "destroy", name, on_stray_destroyed, s);
	}
	strays_next(agent, s);
}

void recover_destroy_strays(struct agent *agent, uint32_t job, job_dropped done, void *arg)
{
	struct strays *s = calloc(1, sizeof(*s));

	if (!s)
		abort(); /* the caller waits for done() */
	snprintf(s->prefix, sizeof(s->prefix), "fm-%u-", job);
	s->done = done;
	s->arg = arg;
	domains_list(agent, on_strays, s);
}
