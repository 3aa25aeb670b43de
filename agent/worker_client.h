/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker_client.h - the agent's end of a fermata-worker (HACKING "The worker").
 *
 * A worker is one operation on a domain in its own process and process group.
 * Its stderr goes to the agent's log.  Whatever becomes of it, ended() tells:
 * with its own error, its exit status or signal, or the deadline it missed.
 * Closing it is EOF on its stdin, on which it undoes what it did.
 */
#ifndef FM_WORKER_CLIENT_H
#define FM_WORKER_CLIENT_H

#include "agent/agent.h"

struct worker;

struct worker_events {
	/* One line from it, not an error. Either callback may close the worker. */
	void (*event)(struct worker *w, const char *event, struct json_object *o, void *arg);
	/* It is gone; err NULL: exit status 0. w is invalid afterwards. */
	void (*ended)(struct worker *w, const struct fm_error *err, void *arg);
};

/*
 * request is taken; "driver" is added.  tag ("job=12 member=0") is copied. deadline_ms 0: none.
 */
struct worker *worker_start(struct agent *agent, const char *tag, struct json_object *request,
			    int64_t deadline_ms, const struct worker_events *events, void *arg,
			    struct fm_error *err);
void worker_command(struct worker *w, const char *cmd); /* {"cmd":cmd} */
/* Another request to one that waits for it; taken, "driver" and "log_level" are added. */
void worker_request(struct worker *w, struct json_object *request);
/* It is another's from now on. */
void worker_hand_over(struct worker *w, const char *tag, const struct worker_events *events, void *arg);
void worker_deadline(struct worker *w, int64_t ms);     /* from now; 0: none. Past it, it is killed. */
pid_t worker_pid(const struct worker *w);
/* EOF on its stdin; no more callbacks; killed when it has not ended after grace_ms. NULL is fine. */
void worker_close(struct worker *w, int64_t grace_ms);

#endif
