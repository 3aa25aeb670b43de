/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_log.c - libxl's and libxc's log: warnings to ours, errors also kept for the user. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hypervisor/xen.h"
#include "common/log.h"

struct xen_log {
	xentoollog_logger logger; /* first: it is one */
	char first[256], last[256];
};

static void keep(struct xen_log *log, const char *text)
{
	char *to = log->first[0] ? log->last : log->first;

	if (strcmp(text, log->first) != 0)
		snprintf(to, sizeof(log->first), "%s", text);
}

static void message(xentoollog_logger *logger, xentoollog_level level, int errnoval, const char *context,
		    const char *format, va_list args) __attribute__((format(printf, 5, 0)));

static void message(xentoollog_logger *logger, xentoollog_level level, int errnoval, const char *context,
		    const char *format, va_list args)
{
	struct xen_log *log = (struct xen_log *)logger;
	char text[256];

	if (level <= XTL_DEBUG) /* a hundred lines an operation, on how libxl is made: they would slow a save down */
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	if (errnoval > 0) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, ": %s", strerror(errnoval));
	}
	if (level >= XTL_ERROR)
		keep(log, text);
	fm_log(level >= XTL_WARN ? FM_LOG_WARNING : FM_LOG_DEBUG, "%s: %s", context ? context : "xen", text);
}

static void destroy(xentoollog_logger *logger)
{
	free(logger);
}

xentoollog_logger *xen_log_create(void)
{
	struct xen_log *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->logger.vmessage = message;
	log->logger.destroy = destroy;
	return &log->logger;
}

void xen_log_forget(xentoollog_logger *logger)
{
	struct xen_log *log = (struct xen_log *)logger;

	log->first[0] = log->last[0] = '\0';
}

int xen_fail(struct hypervisor *hv, struct fm_error *err, enum fm_code code, const char *fmt, ...)
{
	const struct xen_log *log = (const struct xen_log *)hv->log;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fm_fail(err, code, "%s%s%s%s%s", text, log->first[0] ? ": " : "", log->first,
		       log->last[0] ? "; " : "", log->last);
}
