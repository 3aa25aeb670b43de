/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spawn.c - see spawn.h. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runner/cgroup.h"
#include "agent/runner/spawn.h"

#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NO_COMMAND 127

static void complain(const char *what, const char *about)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "fermata: %s: %.300s: %s\n", what, about, strerror(errno));

	if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
		return; /* there is nobody else to tell */
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The kernel's first process has tighter limits than a job expects: what systemd gives its services. */
static void set_limits(void)
{
	static const struct rlimit files = { 1024, 524288 }, locked = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_MEMLOCK, &locked);
}

/* The one place where the user is chosen. A runner that is not root (a test's) only runs its own user's job. */
static int become_user(const struct params *params)
{
	if (geteuid() != 0)
		return geteuid() == params->uid ? 0 : -1;
	if (setgroups(params->gid_count, params->gids) || setresgid(params->gid, params->gid, params->gid) ||
	    setresuid(params->uid, params->uid, params->uid))
		return -1;
	return 0;
}

static void enter_cwd(const char *cwd)
{
	if (!chdir(cwd))
		return;
	complain("going to /tmp instead", cwd);
	if (chdir("/tmp") && chdir("/"))
		complain("going to /", "/");
}

__attribute__((noreturn)) static void run_child(const struct runner *runner, const struct spawn *spawn)
{
	reset_signals();
	setsid();
	/* the runner's own fds are above 2 and close on exec */
	if (dup2(spawn->in, 0) < 0 || dup2(spawn->out, 1) < 0 || dup2(spawn->err, 2) < 0)
		_exit(EXIT_CANNOT_EXECUTE);
	if (spawn->cgroup)
		cgroup_join(spawn->cgroup);
	if (runner->guest)
		set_limits();
	if (become_user(&runner->params)) {
		complain("becoming the job's user", runner->params.user);
		_exit(EXIT_CANNOT_EXECUTE);
	}
	umask(spawn->umask);
	enter_cwd(spawn->cwd);
	environ = (char **)spawn->env; /* execvp looks for argv[0] in this PATH */
	execvp(spawn->argv[0], spawn->argv);
	complain("cannot execute", spawn->argv[0]);
	_exit(errno == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_EXECUTE);
}

int spawn_process(const struct runner *runner, const struct spawn *spawn, pid_t *pid_r, struct fm_error *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return fm_fail(err, FM_FAILED, "fork: %s", strerror(errno));
	if (!pid)
		run_child(runner, spawn);
	*pid_r = pid;
	return 0;
}
