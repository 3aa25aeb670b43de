/* SPDX-License-Identifier: GPL-2.0-or-later */
/* process.c - see process.h. */
#include "config.h"

#include "plugins/lsf/process.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"

static const char *ident = "fermata";
static int log_fd = -1;

void lsf_process_begin(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void lsf_log_open(const char *program, const char *dir)
{
	char path[PATH_MAX + 16];

	ident = program;
	if (!*dir || log_fd >= 0)
		return;
	snprintf(path, sizeof path, "%s/fermata.log", dir);
	log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

void lsf_say(const char *fmt, ...)
{
	char text[1024], line[1200], when[32];
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "%s: %s\n", ident, text);
	if (log_fd < 0)
		return;
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	snprintf(line, sizeof line, "%s %s: %s\n", when, ident, text);
	if (fm_write_all(log_fd, line, strlen(line))) /* a full disk: stderr has it */
		return;
}

int lsf_failed(const char *job, const struct fm_error *err)
{
	if (*job)
		lsf_say("job %s: %s", job, err->text);
	else
		lsf_say("%s", err->text);
	return err->code ? (int)err->code : FM_FAILED;
}
