/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - see log.h. One write(2) a line, so lines of several processes do not mix. */
#include "config.h"

#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *log_ident = "fermata";
static enum fm_log_level log_level = FM_LOG_INFO;
static bool log_journal; /* journald reads "<priority>" and stamps the time itself */

static const char *const level_names[] = { "error", "warning", "info", "debug" };
static const int level_priority[] = { 3, 4, 6, 7 };

void fm_log_init(const char *ident, enum fm_log_level level)
{
	log_ident = ident;
	log_level = level;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

void fm_log_set_level(enum fm_log_level level)
{
	log_level = level;
}

int fm_log_level_parse(const char *text, enum fm_log_level *level_r)
{
	for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
		if (!strcasecmp(text, level_names[i])) {
			*level_r = (enum fm_log_level)i;
			return 0;
		}
	return -1;
}

static size_t line_begin(char *line, size_t size, enum fm_log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	if (log_journal)
		return (size_t)snprintf(line, size, "<%d>", level_priority[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(line + n, size - n, ".%03ldZ %s[%d] %s: ",
				    now.tv_nsec / 1000000, log_ident, (int)getpid(),
				    level_names[level]);
}

void fm_log(enum fm_log_level level, const char *fmt, ...)
{
	char line[2048];
	size_t start, end;
	va_list ap;

	if (level > log_level)
		return;
	start = line_begin(line, sizeof line, level);
	va_start(ap, fmt);
	vsnprintf(line + start, sizeof line - start - 1, fmt, ap);
	va_end(ap);
	end = strlen(line);
	for (size_t i = start; i < end; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[end++] = '\n';
	if (write(STDERR_FILENO, line, end) < 0)
		return; /* nowhere left to say so */
}
