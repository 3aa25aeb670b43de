/* SPDX-License-Identifier: GPL-2.0-or-later */
/* submit.c - see submit.h. */
#include "config.h"

#include "plugins/slurm/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "plugins/slurm/helper_run.h"
#include "plugins/slurm/sbatch.h"

/* A script on stdin: a file with something left in it, a pipe or socket with something to read. */
static int stdin_has_script(void)
{
	struct stat st;
	int waiting = 0;

	if (fstat(0, &st))
		return 0;
	if (S_ISREG(st.st_mode))
		return lseek(0, 0, SEEK_CUR) < st.st_size;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return !ioctl(0, FIONREAD, &waiting) && waiting > 0;
	return 0;
}

/* A helper's output in memory, to be read from its start. */
static int run_to_memory(const struct fm_site *site, const char *const args[], struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = memfd_create("fermata", MFD_CLOEXEC);

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "memfd_create: %s", strerror(errno));
	if (fm_helper_run(site, args, fd, err))
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return fm_fail(err, FM_FAILED, "lseek: %s", strerror(errno));
	return fm_steal_fd(&fd);
}

/* What the environment or the command line asks for; "" when nothing or not needed. */
static int wanted(char snapshot[FM_OPTION_MAX], struct fm_error *err)
{
	const char *env = getenv(FM_OPTION_RESTART_ENV);
	struct fm_command_line line;
	struct fm_options o = { 0 };

	snapshot[0] = '\0';
	if (fm_command_line_read(&line, err))
		return -1;
	if (!*line.restart_from && env)
		snprintf(line.restart_from, sizeof line.restart_from, "%s", env);
	if (!*line.restart_from || line.has_script || stdin_has_script())
		return 0;
	if (fm_option_set(&o, FM_OPTION_RESTART, line.restart_from, err))
		return -1;
	strcpy(snapshot, o.restart_from);
	return 0;
}

int fm_submit_saved_script(const struct fm_site *site, struct fm_error *err)
{
	char snapshot[FM_OPTION_MAX];
	const char *const args[] = { "script", snapshot, NULL };
	FM_AUTO_CLOSE int fd = -1;

	if (!fm_is_sbatch())
		return 0;
	if (wanted(snapshot, err))
		return -1;
	if (!*snapshot)
		return 0;
	fd = run_to_memory(site, args, err);
	if (fd < 0)
		return -1;
	if (dup2(fd, 0) < 0)
		return fm_fail(err, FM_FAILED, "dup2: %s", strerror(errno));
	return 0;
}

/* The helper's answer: "<snapshot> <members>". */
static int read_answer(int fd, char snapshot[FM_OPTION_MAX], long *members_r)
{
	char text[FM_OPTION_MAX];
	ssize_t n = read(fd, text, sizeof text - 1);

	if (n <= 0)
		return -1;
	text[n] = '\0';
	return sscanf(text, "%23s %ld", snapshot, members_r) == 2 ? 0 : -1;
}

int fm_submit_check(const struct fm_site *site, const struct fm_options *o, struct fm_error *err)
{
	char image[FM_OPTION_MAX + 16], restart[FM_OPTION_MAX + 24], snapshot[FM_OPTION_MAX];
	const char *const args[] = { "check", image, restart, NULL };
	FM_AUTO_CLOSE int fd = -1;
	long members;

	snprintf(image, sizeof image, "--image=%s", o->image);
	snprintf(restart, sizeof restart, "--restart-from=%s", o->restart_from);
	fd = run_to_memory(site, args, err);
	if (fd < 0)
		return -1;
	if (!*o->restart_from)
		return 0;
	if (read_answer(fd, snapshot, &members))
		return fm_fail(err, FM_FAILED, "fermata-slurm: malformed answer");
	return fm_nodes_require(members, snapshot, err);
}
