/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the worker's conversation with the agent: JSON lines on
 * stdin/stdout, signals, and the end of the agent.
 *
 * The real stdout is taken away at the start and given to events alone; what a
 * library prints to "stdout" lands on stderr and cannot garble the protocol.
 * Main thread only.
 */
#ifndef FM_WORKER_CONTROL_H
#define FM_WORKER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

#define CONTROL_LINE_MAX (1 << 20)

enum command {
	COMMAND_NONE, /* nothing said in time */
	COMMAND_FREEZE,
	COMMAND_CUT,
	COMMAND_RELEASE,
	COMMAND_THAW,
	COMMAND_ABORT,
	COMMAND_BAD, /* not understood: control.why says what */
	COMMAND_END, /* the agent is gone, or SIGTERM, SIGINT, SIGHUP: control.why says which */
	COMMAND_EVENT, /* the other fd of control_wait() is readable */
};

struct control {
	int in;
	int out;
	int signals[2]; /* self-pipe */
	int either;     /* epoll of in and signals[0] */
	bool at_end;    /* EOF or a signal was seen; stays */
	char *line;     /* CONTROL_LINE_MAX, bytes read and not yet taken */
	size_t used;
	char why[128];
};

/* Takes stdin and stdout, installs the handlers. Dispose in any case. */
int control_init(struct control *c, struct fm_error *err);
void control_dispose(struct control *c);

/* The first line. FM_USAGE when it is no JSON object, too long, or missing. Caller puts it. */
struct json_object *control_request(struct control *c, struct fm_error *err);

/*
 * The next command, or what else happens within timeout_ms (-1: for ever).
 * other_fd: -1, or a descriptor whose readability ends the wait too (a command
 * that is already there goes first).
 */
enum command control_wait(struct control *c, int timeout_ms, int other_fd);

/* Readable once the agent is gone or has said something, or a signal came: for a
 * driver's own loop. */
int control_fd(const struct control *c);

/* Is the agent gone, or did a signal come? Reads nothing; any thread may ask. */
bool control_ended(const struct control *c);

/* {"event":name, …fields}; takes fields (NULL: none). An agent that does not read
 * any more is noticed by the next control_wait(). */
void control_event(struct control *c, const char *name, struct json_object *fields);

/* {"event":"error","code":…,"text":…} */
void control_error(struct control *c, const struct fm_error *err);

/* CLOCK_MONOTONIC, milliseconds. */
int64_t control_now_ms(void);

#endif
