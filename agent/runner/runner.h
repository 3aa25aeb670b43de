/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runner.h - what the runner's parts share: one per process. */
#ifndef FM_RUNNER_RUNNER_H
#define FM_RUNNER_RUNNER_H

#include <stdbool.h>

#include "agent/runner/job_env.h"
#include "agent/runner/loop.h"
#include "agent/runner/params.h"

#define RUNNER_TASKS_MAX 1024
#define RUNNER_CONNECTIONS_MAX 4096
#define RUNNER_STRANGERS_MAX 64 /* connections that have not yet proved anything */

struct task;
struct connection;

struct runner {
	struct loop *loop;
	struct params params;
	struct job_env_paths paths;
	const char *run_dir;
	size_t spool_limit;   /* bytes of each of a task's streams */
	bool guest;           /* the machine is ours: folders and cgroups may be made */
	struct task *tasks;
	unsigned task_count;
	unsigned ephemeral_count; /* ever; names their cgroups */
	unsigned connection_count, stranger_count;
};

#endif
