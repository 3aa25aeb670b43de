/* SPDX-License-Identifier: GPL-2.0-or-later */
/* error.c - see error.h. */
#include "config.h"

#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fm_fail(struct fm_error *err, enum fm_code code, const char *fmt, ...)
{
	char text[sizeof err->text];
	va_list ap;

	/* The old text may be one of the arguments: format aside first. */
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err->code = code;
	memcpy(err->text, text, sizeof text);
	return -1;
}

int fm_context(struct fm_error *err, const char *fmt, ...)
{
	char text[sizeof err->text];
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	used = strlen(text);
	snprintf(text + used, sizeof text - used, ": %s", err->text);
	memcpy(err->text, text, sizeof text);
	return -1;
}

const char *fm_code_name(enum fm_code code)
{
	switch (code) {
	case FM_OK: return "ok";
	case FM_FAILED: return "failed";
	case FM_USAGE: return "usage";
	case FM_NOT_FOUND: return "not found";
	case FM_DENIED: return "denied";
	case FM_CORRUPT: return "corrupt";
	case FM_INCOMPATIBLE: return "incompatible";
	case FM_TIMEOUT: return "timeout";
	case FM_BUSY: return "busy";
	}
	return "failed";
}
