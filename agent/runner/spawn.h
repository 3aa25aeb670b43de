/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spawn.h - start a program as the job's user, and nobody else. */
#ifndef FM_RUNNER_SPAWN_H
#define FM_RUNNER_SPAWN_H

#include "agent/runner/runner.h"

struct spawn {
	char *const *argv;
	char *const *env;
	const char *cwd;
	const char *cgroup; /* name, or NULL */
	mode_t umask;
	int in, out, err;   /* become 0, 1, 2; still the caller's */
};

/*
 * In a session and process group of its own.  What cannot be executed says so
 * on its stderr and exits with 127 or 126, as a shell's command does.
 */
int spawn_process(const struct runner *runner, const struct spawn *spawn, pid_t *pid_r, struct fm_error *err);

#endif
