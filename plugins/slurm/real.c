/* SPDX-License-Identifier: GPL-2.0-or-later */
/* real.c - see real.h. */
#include "config.h"

#include "plugins/slurm/real.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEN_ENV "FERMATA_FRONTS" /* ",dev:ino,…" of the fronts and what they became so far */
#define SEEN_MAX 1024
#define USUAL_PATH "/usr/bin:/usr/local/bin:/bin:/opt/slurm/bin"

extern char **environ;

static void identity(const struct stat *st, char text[64])
{
	snprintf(text, 64, "%llu:%llu,", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
}

/* Never again in this chain of execs: a wrapper may lead back to us. */
static void pass_over(const char *path)
{
	const char *before = getenv(SEEN_ENV);
	char own[64], all[SEEN_MAX];
	struct stat st;

	if (stat(path, &st))
		return;
	identity(&st, own);
	snprintf(all, sizeof all, "%s%s", before ? before : ",", own);
	if (!before || !strstr(before, own))
		setenv(SEEN_ENV, all, 1);
}

/* ",1:2,3:4,": whole entries only */
static int is_passed(const struct stat *st)
{
	const char *seen = getenv(SEEN_ENV);
	char entry[65] = ",";

	identity(st, entry + 1);
	return seen && strstr(seen, entry);
}

static int find_in(const char *path, const char *name, char out[PATH_MAX])
{
	for (const char *p = path; *p;) {
		int n = (int)strcspn(p, ":");
		struct stat st;

		snprintf(out, PATH_MAX, "%.*s%s%s", n, p, n ? "/" : "./", name);
		if (!access(out, X_OK) && !stat(out, &st) && S_ISREG(st.st_mode) && !is_passed(&st))
			return 0;
		p += n + (p[n] == ':');
	}
	return -1;
}

static int find(const char *name, char out[PATH_MAX], struct fm_error *err)
{
	const char *path = getenv("PATH");

	pass_over("/proc/self/exe");
	if ((path && !find_in(path, name, out)) || !find_in(USUAL_PATH, name, out))
		return 0;
	return fm_fail(err, FM_NOT_FOUND, "the real %s is neither on PATH nor in %s", name, USUAL_PATH);
}

int fm_real_exec(const char *name, char *const argv[], struct fm_error *err)
{
	char path[PATH_MAX];

	if (find(name, path, err))
		return -1;
	pass_over(path);
	execv(path, argv);
	return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
}

int fm_real_run(const char *const argv[], struct fm_error *err)
{
	char path[PATH_MAX];
	int status, r;
	pid_t pid;

	if (find(argv[0], path, err))
		return -1;
	r = posix_spawn(&pid, path, NULL, NULL, (char *const *)argv, environ);
	if (r)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fm_fail(err, FM_FAILED, "waitpid: %s", strerror(errno));
	if (!WIFEXITED(status))
		return fm_fail(err, FM_FAILED, "%s ended with status 0x%x", path, (unsigned)status);
	return WEXITSTATUS(status);
}
