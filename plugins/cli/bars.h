/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bars.h - how far a snapshot is, as lines of text: a total, and a bar a member. Pure: no clock, no terminal.
 *
 * A member's share is what has been read of its memory. A live save reads some pages several times, so a member that still
 * saves is at most at 99 %: only the agent's word makes it whole. Where there are more members than rows those that are
 * furthest behind are shown, and the others counted.
 */
#ifndef FM_CLI_BARS_H
#define FM_CLI_BARS_H

#include <stddef.h>
#include <stdint.h>

#define BARS_PAGE 4096u

enum bars_state {
	BARS_WAITING, /* has said nothing yet */
	BARS_IDLE,    /* its agent answers, and tells of no save */
	BARS_SAVING,
	BARS_DONE,
	BARS_SILENT, /* its agent does not answer; the numbers are its last */
};

struct bars_member {
	unsigned rank;
	char node[64];
	enum bars_state state;
	int64_t asked_ms; /* when that was asked for, CLOCK_MONOTONIC */
	uint64_t pages, zero, known, stored; /* pages: all that were read */
	uint64_t stored_bytes;               /* written for the stored ones */
	uint64_t raw_bytes;                  /* of its memory; 0: not known yet */
};

struct bars {
	const char *name;  /* "12.3" */
	const char *round; /* "" : not known */
	const struct bars_member *members;
	size_t count;
	double bytes_per_s; /* 0: not known */
	double elapsed_s;
};

struct bars_sum {
	uint64_t pages, zero, known, stored, stored_bytes;
	uint64_t done_bytes, raw_bytes; /* what is not known of some is taken to be as with the others */
	size_t done;                    /* members */
};

void bars_sum(const struct bars *b, struct bars_sum *sum_r);

/* Lines for a terminal, '\n' between them and none at the end, each shorter than `columns`, no more than `rows` (at least 1). Caller
 * frees; NULL without memory. */
char *bars_lines(const struct bars *b, unsigned columns, unsigned rows);

/* The total in one line, for a file or a pipe. Caller frees; NULL without memory. */
char *bars_line(const struct bars *b);

#endif
