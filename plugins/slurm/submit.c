/* SPDX-License-Identifier: GPL-2.0-or-later */
/* submit.c - see submit.h. */
#include "config.h"

#include "plugins/slurm/submit.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "plugins/slurm/helper_run.h"
#include "plugins/slurm/sbatch.h"

static int is_blank(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isspace((unsigned char)text[i]))
			return 0;
	return 1;
}

/* Is there something but blanks from here to the end?  The place is kept. */
static int file_has_script(int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	char text[4096];
	ssize_t n;

	for (; (n = pread(fd, text, sizeof text, at)) > 0; at += n)
		if (!is_blank(text, (size_t)n))
			return 1;
	return 0;
}

/* What a pipe holds cannot be looked at and left there: it becomes a file in memory. */
static int pipe_to_memory(struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = memfd_create("stdin", MFD_CLOEXEC);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "memfd_create: %s", strerror(errno));
	while ((n = read(0, text, sizeof text)) > 0)
		if (write(fd, text, (size_t)n) != n)
			return fm_fail(err, FM_FAILED, "stdin: %s", strerror(errno));
	if (n < 0 || lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, 0) < 0)
		return fm_fail(err, FM_FAILED, "stdin: %s", strerror(errno));
	return 0;
}

/* A script on stdin: 1, 0, or -1.  Nothing is waited for: a pipe that is still empty has none. */
static int stdin_has_script(struct fm_error *err)
{
	struct pollfd readable = { .fd = 0, .events = POLLIN };
	struct stat st;

	if (fstat(0, &st))
		return 0;
	if (S_ISREG(st.st_mode))
		return file_has_script(0);
	if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return 0;
	if (poll(&readable, 1, 0) <= 0 || !(readable.revents & POLLIN))
		return 0;
	return pipe_to_memory(err) ? -1 : file_has_script(0);
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
	int given;

	snapshot[0] = '\0';
	if (fm_command_line_read(&line, err))
		return -1;
	if (!*line.restart_from && env)
		snprintf(line.restart_from, sizeof line.restart_from, "%s", env);
	if (!*line.restart_from || line.has_script)
		return 0;
	given = stdin_has_script(err);
	if (given)
		return given < 0 ? -1 : 0;
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

/* The helper's answer: "<snapshot> <members> <MiB> <vcpus>". */
static int require(int fd, struct fm_error *err)
{
	char text[FM_OPTION_MAX], snapshot[24];
	long members, memory_mib, vcpus;
	ssize_t n = read(fd, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%23s %ld %ld %ld", snapshot, &members, &memory_mib, &vcpus) != 4)
		return fm_fail(err, FM_FAILED, "fermata-slurm: malformed answer");
	if (fm_nodes_require(members, snapshot, err) || fm_memory_require(memory_mib, snapshot, err))
		return -1;
	return fm_cpus_require(vcpus, snapshot, err);
}

int fm_submit_check(const struct fm_site *site, const struct fm_options *o, struct fm_error *err)
{
	char image[FM_OPTION_MAX + 16], restart[FM_OPTION_MAX + 24];
	const char *const args[] = { "check", image, restart, NULL };
	FM_AUTO_CLOSE int fd = -1;

	snprintf(image, sizeof image, "--image=%s", o->image);
	snprintf(restart, sizeof restart, "--restart-from=%s", o->restart_from);
	fd = run_to_memory(site, args, err);
	if (fd < 0)
		return -1;
	return *o->restart_from ? require(fd, err) : 0;
}
