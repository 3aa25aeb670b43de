/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * create.c - fermata create JOB: ask for a snapshot and wait until it is whole.
 *
 * The agent makes the snapshot in its own time; this program only watches.  To
 * stop it does not stop the snapshot, and an agent that is away for a moment
 * does not make it fail.  How far the members are is asked of their agents
 * (gather.h), and not needed for anything but to be shown.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"
#include "plugins/cli/progress.h"
#include "plugins/cli/text.h"

#define POLL_FIRST_MS 50
#define POLL_MAX_MS 500
#define SILENCE_MAX_MS 20000 /* nobody has told us anything of the snapshot for so long: give up */

struct watch {
	struct cli *cli;
	const char *name; /* "12.3" */
	struct fm_snapshot_id id;
	char *nodes;      /* of the job, where its agents are */
	int64_t begin_ms, heard_ms;
	struct json_object *snapshot; /* the last answer */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* 1: not yet, 0: whole, -1: it failed or cannot be seen any more. */
static int look(struct watch *w, const char *path, struct fm_error *err)
{
	struct json_object *reply = NULL;
	const char *state;

	if (fm_http_call_job(&w->cli->conf, w->id.job, w->nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, &reply,
			     err) < 0) {
		bool may_return = err->code == FM_NOT_FOUND || err->code == FM_TIMEOUT || err->code == FM_FAILED;

		if (may_return && now_ms() - w->heard_ms < SILENCE_MAX_MS)
			return 1;
		return fm_context(err, "snapshot %s was begun, and now cannot be seen", w->name);
	}
	json_object_put(w->snapshot);
	w->snapshot = reply;
	w->heard_ms = now_ms();
	state = print_text_at(reply, "state");
	if (strcmp(state, "whole") == 0)
		return 0;
	if (strcmp(state, "failed") == 0)
		return fm_fail(err, FM_FAILED, "snapshot %s failed, the job runs on: %s", w->name,
			       *print_text_at(reply, "error") ? print_text_at(reply, "error") : "no reason given");
	return 1;
}

static int poll_whole(struct watch *w, struct progress *progress, const char *path, struct fm_error *err)
{
	int64_t delay = POLL_FIRST_MS;
	int rc;

	while ((rc = look(w, path, err)) == 1) {
		int64_t left = w->cli->timeout_ms ? w->begin_ms + w->cli->timeout_ms - now_ms() : POLL_MAX_MS;

		if (left <= 0)
			return fm_fail(err, FM_TIMEOUT, "snapshot %s is not whole yet; it goes on: `fermata show %s`",
				       w->name, w->name);
		progress_round(progress, print_text_at(w->snapshot, "round"));
		pause_ms(delay < left ? delay : left);
		delay = delay * 2 < POLL_MAX_MS ? delay * 2 : POLL_MAX_MS;
	}
	return rc;
}

static int wait_whole(struct watch *w, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("/v1/snapshots/%s", w->name);
	FM_AUTO_FREE char *goes_on = fm_format("%s goes on: `fermata show %s` tells how far it is", w->name, w->name);
	struct progress *progress;
	int rc;

	if (!path || !goes_on)
		return fm_fail(err, FM_FAILED, "out of memory");
	progress = progress_begin(&(struct progress_options){ .name = w->name, .goes_on = goes_on, .conf = &w->cli->conf,
							      .job = w->id.job, .nodes = w->nodes },
				  w->cli->quiet || w->cli->json);
	rc = poll_whole(w, progress, path, err);
	progress_end(progress);
	return rc;
}

/* Whole it is, but where? What a node's loss would take is not to be found out afterwards. */
static void print_levels_left(struct json_object *levels)
{
	for (size_t i = 0; levels && i < json_object_array_length(levels); i++) {
		struct json_object *l = json_object_array_get_idx(levels, i);
		FM_AUTO_FREE char *name = text_plain(print_text_at(l, "name")), *state = text_plain(print_text_at(l, "state"));

		if (strcmp(state, "whole") != 0)
			printf("level %s: %s so far\n", name, state);
	}
}

static int print_whole(struct watch *w, struct fm_error *err)
{
	struct json_object *s = w->snapshot, *members = print_at(s, "members");
	FM_AUTO_FREE char *size = text_size(fm_json_int_or(s, "bytes", 0));
	FM_AUTO_FREE char *stop = text_ms(print_number_at(s, "stop_ms"));
	FM_AUTO_FREE char *took = text_ms(print_number_at(s, "create_ms"));
	FM_AUTO_FREE char *dir = text_plain(print_text_at(s, "dir"));
	size_t count = json_object_is_type(members, json_type_array) ? json_object_array_length(members) : 0;

	if (w->cli->json)
		return print_json(s, err);
	if (!size || !stop || !took || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	printf("%s whole: %zu member%s, %s, stopped %s, took %s\n", w->name, count, count == 1 ? "" : "s", size, stop,
	       took);
	if (*dir)
		printf("%s\n", dir);
	print_levels_left(print_at(s, "levels"));
	return 0;
}

/* Where the job's agents are, as long as one of them tells; "" is fine too. */
static char *job_nodes(struct cli *cli, uint32_t job)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	FM_AUTO_FREE char *path = fm_format("/v1/jobs/%u", job);
	struct fm_error ignored;

	if (!path || fm_http_call_job(&cli->conf, job, cli->nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, &reply,
				      &ignored) < 0)
		return strdup(cli->nodes ? cli->nodes : "");
	return print_names(print_at(reply, "nodes"));
}

static int post(struct cli *cli, uint32_t job, const char *nodes, struct json_object **reply_r, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	FM_AUTO_FREE char *path = fm_format("/v1/jobs/%u/snapshots", job);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fm_json_set_string(body, "comment", cli->comment);
	return fm_http_call_job(&cli->conf, job, nodes, "POST", path, body, CLI_CALL_TIMEOUT_MS, reply_r, err);
}

static int begin(struct cli *cli, uint32_t job, struct watch *w, struct json_object **reply_r, struct fm_error *err)
{
	w->nodes = job_nodes(cli, job);
	if (!w->nodes)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (post(cli, job, w->nodes, reply_r, err) < 0 || fm_json_string(*reply_r, "snapshot", &w->name, err) < 0 ||
	    fm_snapshot_id_parse(w->name, &w->id, err) < 0)
		return fm_context(err, "job %u", job);
	return 0;
}

int cli_create(struct cli *cli, struct fm_error *err)
{
	struct watch w = { .cli = cli, .begin_ms = now_ms(), .heard_ms = now_ms() };
	FM_AUTO_JSON struct json_object *reply = NULL;
	uint32_t job;
	int rc;

	if (cli_parse_job(cli->operands[0], &job, err) < 0)
		return -1;
	rc = begin(cli, job, &w, &reply, err);
	if (rc == 0 && cli->no_wait)
		rc = cli->json ? print_json(reply, err) : printf("%s begun\n", w.name) < 0 ? -1 : 0;
	else if (rc == 0 && (rc = wait_whole(&w, err)) == 0)
		rc = print_whole(&w, err);
	json_object_put(w.snapshot);
	free(w.nodes);
	return rc;
}
