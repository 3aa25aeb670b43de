/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * error.h - one small caller-owned error record.
 *
 * Functions that can fail take a `struct fm_error *err` (never NULL) and return
 * -1 (or NULL) after fm_fail().  Callers add context with fm_context(); nobody
 * logs and returns.  The codes are also the programs' exit codes and travel in
 * the agent's JSON errors.
 */
#ifndef FM_ERROR_H
#define FM_ERROR_H

enum fm_code {
	FM_OK = 0,
	FM_FAILED = 1,       /* the operation failed; the VMs run on */
	FM_USAGE = 2,        /* bad input */
	FM_NOT_FOUND = 3,
	FM_DENIED = 4,       /* not authorised */
	FM_CORRUPT = 5,      /* stored data does not verify */
	FM_INCOMPATIBLE = 6, /* this node cannot do that */
	FM_TIMEOUT = 7,
	FM_BUSY = 8,
};

struct fm_error {
	enum fm_code code;
	char text[768];
};

/* Record an error; returns -1 so that `return fm_fail(err, …)` reads well. */
int fm_fail(struct fm_error *err, enum fm_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "<context>: " before the recorded text; keeps the code; returns -1. */
int fm_context(struct fm_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "not found", "busy", …: the code in words. Never NULL. */
const char *fm_code_name(enum fm_code code);

#endif
