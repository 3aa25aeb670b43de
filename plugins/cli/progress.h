/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * progress.h - tell on standard error how far something is: bars that are redrawn on a terminal, a line now and then elsewhere.
 *
 * While it is told, SIGINT and SIGTERM end the program as ever, but first what was drawn is left in order and
 * a line says what goes on without us. One a program at a time; the calls are one thread's. Begin it before any other thread: one that does
 * not have these signals blocked would get them.
 */
#ifndef FM_CLI_PROGRESS_H
#define FM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"

struct progress;

struct progress_options {
	const char *name;      /* "12.3" */
	const char *goes_on;   /* what to say when we are interrupted, may be NULL */
	/* For a snapshot: whose members to ask. conf NULL: nobody is asked, see progress_bytes(). */
	const struct fm_conf *conf;
	uint32_t job;
	const char *nodes; /* hostlist, in the order of ranks */
};

/* Not in a pipe before PROGRESS_FIRST_MS, then after that again, twice that…, PROGRESS_MOST_MS at most. */
#define PROGRESS_FIRST_MS 5000
#define PROGRESS_MOST_MS 60000

/* quiet: nothing is told, not even goes_on. NULL, which all others take: no memory. Strings are used until progress_end(). */
struct progress *progress_begin(const struct progress_options *options, bool quiet);
/* open(2) for writing, exclusively, of a file that does not stay when we are interrupted: its descriptor, or -1 with errno.
 * path is used until progress_end(). */
int progress_create(struct progress *p, const char *path, unsigned mode);
/* Of a snapshot: the round it is in. Call it some times a second. */
void progress_round(struct progress *p, const char *round);
/* Of something else: what is done, and how much of how much. */
void progress_bytes(struct progress *p, const char *what, uint64_t done, uint64_t all);
/* Takes the bars away. */
void progress_end(struct progress *p);

#endif
