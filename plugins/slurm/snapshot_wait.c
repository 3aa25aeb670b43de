/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot_wait.c - see snapshot_wait.h. */
#include "config.h"

#include "plugins/slurm/snapshot_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "plugins/cli/progress.h"

#define ANSWER_MS 20000
#define POLL_MS 100
#define SILENCE_MS 60000 /* how long nobody may answer */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int fm_snapshot_begin(const struct fm_conf *conf, uint32_t job, const char *nodes, char id_r[24],
		      struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object(), *reply = NULL;
	const char *id;
	char path[64];

	snprintf(path, sizeof path, "/v1/jobs/%" PRIu32 "/snapshots", job);
	if (fm_http_call_job(conf, job, nodes, "POST", path, body, ANSWER_MS, &reply, err) ||
	    fm_json_string(reply, "snapshot", &id, err))
		return -1;
	snprintf(id_r, 24, "%s", id);
	return 0;
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

static int timed_out(struct json_object *last, const char *id, int64_t max_wait_s, struct fm_error *err)
{
	const char *round = last ? fm_json_string_or(last, "round", NULL) : NULL;

	return fm_fail(err, FM_TIMEOUT, "snapshot %s is not whole after %" PRId64 " s%s%s; it goes on", id,
		       max_wait_s, round ? ", round " : "", round ? round : "");
}

static int wait_told(const struct fm_conf *conf, uint32_t job, const char *nodes, const char *id, int64_t max_wait_s,
		     struct progress *progress, struct json_object **reply_r, struct fm_error *err)
{
	const struct timespec pause = { 0, POLL_MS * 1000000L };
	int64_t begin = now_ms(), answered = begin;
	char path[64];

	snprintf(path, sizeof path, "/v1/snapshots/%s", id);
	for (;;) {
		FM_AUTO_JSON struct json_object *reply = NULL;
		int r = fm_http_call_job(conf, job, nodes, "GET", path, NULL, ANSWER_MS, &reply, err);

		if (!r) {
			answered = now_ms();
			r = judge(reply, id, err);
		} else if (err->code == FM_NOT_FOUND || err->code == FM_TIMEOUT) {
			r = now_ms() - answered < SILENCE_MS ? 1 : -1;
		}
		if (!r)
			*reply_r = fm_steal_ptr(&reply);
		if (r <= 0)
			return r;
		if (max_wait_s >= 0 && now_ms() - begin >= max_wait_s * 1000)
			return timed_out(reply, id, max_wait_s, err);
		progress_round(progress, reply ? fm_json_string_or(reply, "round", "") : "");
		nanosleep(&pause, NULL);
	}
}

int fm_snapshot_wait(const struct fm_conf *conf, uint32_t job, const char *nodes, const char *id,
		     int64_t max_wait_s, struct json_object **reply_r, struct fm_error *err)
{
	const struct progress_options options = { .name = id, .goes_on = "the snapshot goes on", .conf = conf, .job = job,
						  .nodes = nodes };
	/* Who reads scontrol's output gets what scontrol wrote: bars are for people. */
	struct progress *progress = progress_begin(&options, !isatty(STDERR_FILENO));
	int rc = wait_told(conf, job, nodes, id, max_wait_s, progress, reply_r, err);

	progress_end(progress);
	return rc;
}

void fm_snapshot_describe(struct json_object *reply, const char *id, char *text, size_t size)
{
	struct json_object *members = NULL, *stop = json_object_object_get(reply, "stop_ms");
	int64_t bytes = fm_json_int_or(reply, "bytes", 0);
	struct fm_error ignored;
	size_t count = 0;

	if (!fm_json_array(reply, "members", 1 << 20, &members, &ignored))
		count = json_object_array_length(members);
	snprintf(text, size, "snapshot %s whole: %s, %zu member%s, %.*f MiB, stopped %.0f ms", id,
		 fm_json_string_or(reply, "dir", "?"), count, count == 1 ? "" : "s",
		 bytes < 10 << 20 ? 1 : 0, (double)bytes / (1 << 20), stop ? json_object_get_double(stop) : 0.0);
}
