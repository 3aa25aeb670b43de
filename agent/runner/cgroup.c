/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cgroup.c - see cgroup.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runner/cgroup.h"
#include "common/cleanup.h"

#define CGROUP_PATH_MAX 256

static int write_file(const char *name, const char *file, const char *text)
{
	char path[CGROUP_PATH_MAX];
	FM_AUTO_CLOSE int fd = -1;

	snprintf(path, sizeof(path), CGROUP_JOB "/%s/%s", name, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

int cgroup_create(const char *name)
{
	char path[CGROUP_PATH_MAX];

	if (access("/sys/fs/cgroup/cgroup.procs", F_OK))
		return -1;
	if (mkdir(CGROUP_JOB, 0755) && errno != EEXIST)
		return -1;
	snprintf(path, sizeof(path), CGROUP_JOB "/%s", name);
	return mkdir(path, 0755) && errno != EEXIST ? -1 : 0;
}

void cgroup_join(const char *name)
{
	write_file(name, "cgroup.procs", "0");
}

int cgroup_kill(const char *name)
{
	return write_file(name, "cgroup.kill", "1");
}

void cgroup_remove(const char *name)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), CGROUP_JOB "/%s", name);
	rmdir(path);
}
