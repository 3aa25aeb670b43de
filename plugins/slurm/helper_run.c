/* SPDX-License-Identifier: GPL-2.0-or-later */
/* helper_run.c - see helper_run.h. */
#include "config.h"

#include "plugins/slurm/helper_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define ARGS_MAX 24

extern char **environ;

static int spawn(const char *path, char *const argv[], int out_fd, int err_fd, pid_t *pid_r,
		 struct fm_error *err)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (!r)
		r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = out_fd >= 0 ? posix_spawn_file_actions_adddup2(&actions, out_fd, 1)
				: posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
	if (!r)
		r = posix_spawn(pid_r, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r ? fm_fail(err, FM_FAILED, "cannot run %s: %s", path, strerror(r)) : 0;
}

/* Read to the end; keep what fits, one line of it: blank at the ends removed. */
static void drain(int fd, char *text, size_t size)
{
	char more[256];
	size_t used = 0;

	for (;;) {
		char *to = used + 1 < size ? text + used : more;
		ssize_t n = read(fd, to, used + 1 < size ? size - 1 - used : sizeof more);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (to != more)
			used += (size_t)n;
	}
	while (used && text[used - 1] == '\n')
		used--;
	text[used] = '\0';
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ';';
}

static int wait_for(pid_t pid, const char *name, const char *text, struct fm_error *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		/* Another plug-in's SIGCHLD handling may have reaped it: its words decide. */
		if (errno == EINTR)
			continue;
		return *text ? fm_fail(err, FM_FAILED, "%s", text) : 0;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && *text)
		return fm_fail(err, (enum fm_code)WEXITSTATUS(status), "%s", text);
	return fm_fail(err, FM_FAILED, "%s ended with status 0x%x%s%s", name, (unsigned)status,
		       *text ? ": " : "", text);
}

int fm_helper_run(const struct fm_site *site, const char *const args[], int out_fd, struct fm_error *err)
{
	char path[FM_SITE_PATH_MAX + 16], conf[FM_SITE_PATH_MAX + 8], text[sizeof err->text];
	const char *argv[ARGS_MAX + 4];
	FM_AUTO_CLOSE int reader = -1;
	int pipe_fds[2], n = 0;
	pid_t pid;

	snprintf(path, sizeof path, "%s/fermata-slurm", site->libexec);
	snprintf(conf, sizeof conf, "--conf=%s", site->conf);
	argv[n++] = path;
	if (*site->conf)
		argv[n++] = conf;
	for (int i = 0; args[i] && i < ARGS_MAX; i++)
		argv[n++] = args[i];
	argv[n] = NULL;
	if (pipe2(pipe_fds, O_CLOEXEC))
		return fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	reader = pipe_fds[0];
	n = spawn(path, (char *const *)argv, out_fd, pipe_fds[1], &pid, err);
	close(pipe_fds[1]);
	if (n)
		return -1;
	drain(reader, text, sizeof text);
	return wait_for(pid, "fermata-slurm", text, err);
}
