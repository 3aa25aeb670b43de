/* SPDX-License-Identifier: GPL-2.0-or-later */
/* agent.c - see agent.h. */
#include "config.h"

#include "plugins/lsf/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/http.h"

#define ANSWER_MS 20000
#define AGENT_BACK_MS 5000 /* an agent that is just being restarted */
#define POLL_NS 100000000L

int64_t lsf_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_a_little(void)
{
	const struct timespec pause = { 0, POLL_NS };

	nanosleep(&pause, NULL);
}

static long bounded(int64_t until, long most)
{
	int64_t left = until - lsf_now_ms();

	return left < 1 ? 1 : left < most ? (long)left : most;
}

/* "Not found" is also what nobody there is called. */
static int answers(const struct fm_conf *conf, int64_t until)
{
	struct fm_error none;

	return !fm_http_call(conf, NULL, "GET", "/v1/status", NULL, bounded(until, ANSWER_MS), NULL, &none);
}

int lsf_agent_call(const struct fm_conf *conf, const char *method, const char *path, struct json_object *body,
		   int64_t until, struct json_object **reply_r, struct fm_error *err)
{
	int64_t back = lsf_now_ms() + AGENT_BACK_MS;

	if (back > until)
		back = until;
	for (;;) {
		if (!fm_http_call(conf, NULL, method, path, body, bounded(until, ANSWER_MS), reply_r, err))
			return 0;
		if (err->code != FM_NOT_FOUND || lsf_now_ms() >= back || answers(conf, until))
			return -1;
		pause_a_little();
	}
}

/* ---- a snapshot ----------------------------------------------------------------------- */

static int begin(const struct fm_conf *conf, uint32_t job, int64_t until, char id_r[24], struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	char path[64];

	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32 "/snapshots", job);
	fm_json_set_string(body, "comment", "LSF");
	for (int busy = 0;; busy = 1) {
		FM_AUTO_JSON struct json_object *reply = NULL;
		const char *id;

		if (!lsf_agent_call(conf, "POST", path, body, until, &reply, err)) {
			if (fm_json_string(reply, "snapshot", &id, err))
				return fm_context(err, "the agent's answer");
			snprintf(id_r, 24, "%s", id);
			return 0;
		}
		if (err->code != FM_BUSY && !(busy && err->code == FM_TIMEOUT))
			return -1;
		if (lsf_now_ms() >= until)
			return fm_fail(err, FM_TIMEOUT, "another snapshot of the job is still under way");
		pause_a_little();
	}
}

/* 0: whole; 1: not yet; -1: failed */
static int judge(struct json_object *reply, const char *id, struct fm_error *err)
{
	const char *state = fm_json_string_or(reply, "state", "");

	if (!strcmp(state, "whole"))
		return 0;
	if (!strcmp(state, "running"))
		return 1;
	return fm_fail(err, FM_FAILED, "snapshot %s %s: %s", id, *state ? state : "failed",
		       fm_json_string_or(reply, "error", "no reason given"));
}

int lsf_agent_snapshot(const struct fm_conf *conf, uint32_t job, int64_t until, struct json_object **reply_r,
		       struct fm_error *err)
{
	int64_t began = lsf_now_ms();
	char id[24], path[64];

	if (begin(conf, job, until, id, err))
		return -1;
	snprintf(path, sizeof path, "/v1/snapshots/%s", id);
	for (;;) {
		FM_AUTO_JSON struct json_object *reply = NULL;
		int r = lsf_agent_call(conf, "GET", path, NULL, until, &reply, err);

		r = r ? r : judge(reply, id, err);
		if (!r)
			*reply_r = fm_steal_ptr(&reply);
		if (r <= 0 && !(r < 0 && err->code == FM_TIMEOUT))
			return r;
		if (lsf_now_ms() >= until)
			return fm_fail(err, FM_TIMEOUT,
				       "snapshot %s is not whole after %" PRId64 " s, and is no longer waited for", id,
				       (lsf_now_ms() - began) / 1000);
		pause_a_little();
	}
}

/* ---- a restart ------------------------------------------------------------------------- */

static int wait_running(const struct fm_conf *conf, const char *path, int64_t until, struct json_object **reply_r,
			struct fm_error *err)
{
	for (;;) {
		FM_AUTO_JSON struct json_object *reply = NULL;
		const char *state;

		if (lsf_agent_call(conf, "GET", path, NULL, until, &reply, err))
			return -1;
		state = fm_json_string_or(reply, "state", "");
		if (!strcmp(state, "running")) {
			*reply_r = fm_steal_ptr(&reply);
			return 0;
		}
		if (!strcmp(state, "failed") || !strcmp(state, "crashed"))
			return fm_fail(err, FM_FAILED, "%s", fm_json_string_or(reply, "error", state));
		if (lsf_now_ms() >= until)
			return fm_fail(err, FM_TIMEOUT, "its virtual machines are still %s", state);
		pause_a_little();
	}
}

int lsf_agent_restart(const struct fm_conf *conf, uint32_t job, const char *from, int64_t until,
		      struct json_object **reply_r, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	char path[64], restart[80];

	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32, job);
	snprintf(restart, sizeof restart, "%s/restart", path);
	fm_json_set_string(body, "from", from);
	/* busy: said before, by one of us that LSF has run twice */
	if (lsf_agent_call(conf, "POST", restart, body, until, NULL, err) && err->code != FM_BUSY)
		return -1;
	return wait_running(conf, path, until, reply_r, err);
}
