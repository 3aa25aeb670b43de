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

static const char *root = "/sys/fs/cgroup";

void cgroup_set_root(const char *path)
{
	root = path;
}

static int write_file(const char *name, const char *file, const char *text)
{
	char path[CGROUP_PATH_MAX];
	FM_AUTO_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "%s/" CGROUP_JOB "/%s/%s", root, name, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

int cgroup_create_job(void)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/cgroup.procs", root);
	if (access(path, F_OK))
		return -1;
	snprintf(path, sizeof(path), "%s/" CGROUP_JOB, root);
	return mkdir(path, 0755) && errno != EEXIST ? -1 : 0;
}

int cgroup_create(const char *name)
{
	char path[CGROUP_PATH_MAX];

	if (cgroup_create_job())
		return -1;
	snprintf(path, sizeof(path), "%s/" CGROUP_JOB "/%s", root, name);
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

	snprintf(path, sizeof(path), "%s/" CGROUP_JOB "/%s", root, name);
	rmdir(path);
}

int cgroup_freeze(int freeze)
{
	return write_file(".", "cgroup.freeze", freeze ? "1" : "0");
}

int cgroup_open_events(void)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/" CGROUP_JOB "/cgroup.events", root);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int cgroup_is_frozen(int events)
{
	char text[256];
	ssize_t n = pread(events, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return -1;
	text[n] = 0;
	return strstr(text, "frozen 1") != NULL;
}
