/* SPDX-License-Identifier: GPL-2.0-or-later */
/* marker.c - see marker.h. */
#include "config.h"

#include "plugins/slurm/marker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 640

static void marker_path(char path[PATH_SIZE], const char *run, uint32_t job)
{
	snprintf(path, PATH_SIZE, "%s/%u", run, job);
}

/* mkdir -p */
static int make_folders(const char *run)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof path, "%s", run);
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			if (mkdir(path, 0755) && errno != EEXIST)
				return -1;
			*p = '/';
		}
	return mkdir(path, 0755) && errno != EEXIST ? -1 : 0;
}

int fm_marker_make(const char *run, uint32_t job, struct fm_error *err)
{
	char path[PATH_SIZE];
	int fd = -1;

	marker_path(path, run, job);
	if (!make_folders(run))
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

void fm_marker_remove(const char *run, uint32_t job)
{
	char path[PATH_SIZE];

	marker_path(path, run, job);
	unlink(path);
}

int fm_marker_exists(const char *run, uint32_t job)
{
	char path[PATH_SIZE];

	marker_path(path, run, job);
	return !access(path, F_OK);
}
