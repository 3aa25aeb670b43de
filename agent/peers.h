/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peers.h - HTTP out: calls from this agent to others, never blocking.
 *
 * libcurl's multi interface on the agent's event loop.  Every call carries a
 * MUNGE credential that only root on the other side can decode.  Connections
 * are kept, so that a cut's rounds find them warm.  A peer that dies in the
 * middle of a call is noticed within about 15 s (TCP keep-alive) even when the
 * call's own deadline is far away.
 */
#ifndef FM_PEERS_H
#define FM_PEERS_H

#include "agent/agent.h"

struct peers *peers_create(struct agent *agent, struct fm_error *err);
void peers_destroy(struct peers *peers); /* open calls are dropped without done() */

/*
 * Called once, from the loop. On success err is NULL and reply an object (not
 * the callee's to put); else err says what the peer said, or FM_NOT_FOUND (no
 * connection), FM_TIMEOUT.
 */
typedef void (*peer_done)(struct json_object *reply, const struct fm_error *err, void *arg);

struct call;

/* body is not taken; may be NULL. done() comes later, never from within. The call is valid until then. */
struct call *peer_call(struct peers *peers, const char *node, const char *method, const char *path,
	       struct json_object *body, int64_t timeout_ms, peer_done done, void *arg);
/* done will not be called. NULL is fine. */
void peer_cancel(struct call *call);

#endif
