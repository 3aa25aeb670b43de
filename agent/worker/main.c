/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fermata-worker - one operation on one domain, for fermatad.
 *
 * HACKING, "The worker", has the protocol: the request is the first line on
 * stdin; stdout carries events, one JSON object a line; stderr is the log.  When
 * stdin ends early, or on SIGTERM, what was begun is undone.  Exit status 0:
 * done, or undone as told; 1: the last event says what failed.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "agent/worker/operations.h"
#include "common/io.h"
#include "common/log.h"

static int run(struct control *c, const struct request *r, struct fm_error *err)
{
	struct worker w = { .control = c, .request = r };
	enum fm_log_level level;
	int result;

	if (r->log_level) {
		if (fm_log_level_parse(r->log_level, &level) < 0)
			return fm_fail(err, FM_USAGE, "unknown log level \"%.32s\"", r->log_level);
		fm_log_set_level(level);
	}
	if (r->op == OP_COPY) /* nothing of any domain */
		return operation_copy(c, r, err);
	w.ops = hypervisor_find(r->driver, err);
	if (!w.ops || fm_mkdir_all(r->rundir, 0700, err) < 0)
		return -1;
	w.hv = w.ops->open(r->rundir, err);
	if (!w.hv)
		return -1;
	result = worker_run(&w, err);
	w.ops->close(w.hv);
	return result;
}

static int serve(struct fm_error *err)
{
	struct control control;
	struct request request = { 0 };
	struct json_object *root = NULL;
	int result = control_init(&control, err);

	if (result == 0) {
		root = control_request(&control, err);
		result = root ? request_parse(&request, root, err) : -1;
		if (result == 0)
			result = run(&control, &request, err);
		if (result < 0)
			control_error(&control, err);
	}
	request_dispose(&request);
	json_object_put(root);
	control_dispose(&control);
	return result;
}

int main(int argc, char **argv)
{
	struct fm_error err = { 0 };

	fm_log_init("fermata-worker", FM_LOG_WARNING);
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("fermata-worker " PACKAGE_VERSION);
		return 0;
	}
	if (argc > 1) {
		fputs("usage: fermata-worker < requests\nStarted by fermatad; it speaks JSON lines.\n", stderr);
		return FM_USAGE;
	}
	if (serve(&err) == 0)
		return 0;
	fm_err("%s", err.text);
	return 1;
}
