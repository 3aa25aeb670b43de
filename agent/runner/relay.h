/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay.h - the client's side of a task: this process stands for it.
 *
 * The process's stdin goes to the task, the task's output to its stdout and
 * stderr, signals are passed on.  The relay outlives connections: each one goes
 * on at the byte where the last one stopped, both ways.
 */
#ifndef FM_RUNNER_RELAY_H
#define FM_RUNNER_RELAY_H

#include "agent/runner/frames.h"

struct fm_relay;

enum fm_relay_result {
	FM_RELAY_EXITED,  /* the task is over and all its output is printed */
	FM_RELAY_LOST,    /* the connection; another may follow */
	FM_RELAY_REFUSED, /* the runner said no: err */
};

/*
 * First thing in main(): a standard fd that is closed becomes /dev/null, before
 * a socket of ours gets its number and the task's output with it.
 */
void fm_relay_guard_fds(void);

/*
 * who: begins the relay's own lines on stderr, e.g. "fermata: job 12"; kept.
 * request: borrowed until the end; its flags for stdin and the merging of the
 * outputs are set here from what the process's fds are.
 * Blocks the signals it passes on; call it before any other thread is made.
 */
struct fm_relay *fm_relay_create(struct fm_request *request, const char *who, struct fm_error *err);
/* Takes NULL; signals stay blocked. */
void fm_relay_destroy(struct fm_relay *relay);

/* Ask again for an answer when nothing came for a while, and give the connection up when none does. */
void fm_relay_set_keepalive(struct fm_relay *relay, long ping_ms, long lost_ms);

/* Serve one connection, connected and proved; disposes of it. */
enum fm_relay_result fm_relay_run(struct fm_relay *relay, struct fm_frames *frames, struct fm_error *err);
/* Between connections: print what is left, note signals, for that long. */
void fm_relay_pause(struct fm_relay *relay, long ms);
/* A line of our own on stderr. */
void fm_relay_say(const struct fm_relay *relay, const char *text);

/* Grows whenever bytes of the task got through, either way: whether a connection was of use. */
uint64_t fm_relay_progress(const struct fm_relay *relay);

/* After FM_RELAY_EXITED: end this process as the task ended. */
void fm_relay_end_like(const struct fm_exit *status) __attribute__((noreturn));
const struct fm_exit *fm_relay_exit(const struct fm_relay *relay);

#endif
