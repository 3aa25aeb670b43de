/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server.h - HTTP in: libmicrohttpd driven by the agent's own event loop.
 *
 * Two servers share this code: the unix socket, whose caller the kernel names
 * (SO_PEERCRED), and TCP, where a MUNGE credential bound to method, path and
 * body does.  Headers and bodies are bounded before they are stored.  A handler
 * answers at once or later; meanwhile the connection is suspended and costs
 * nothing.  A request stays valid until it is answered, exactly once.
 */
#ifndef FM_SERVER_H
#define FM_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/agent.h"

struct request {
	const char *method;
	const char *path;         /* decoded, no query */
	struct json_object *body; /* an object, or NULL when there was no body */
	uid_t uid;                /* proven */
	bool local;
	struct agent *agent;
};

typedef void (*server_handler)(struct request *req);

/* address "unix:<path>" or "<ip>:<port>". */
struct server *server_create(struct agent *agent, bool local, server_handler handler, struct fm_error *err);
/* Every waiting request is answered "stopping" first. NULL is fine. */
void server_destroy(struct server *server);

/* Value of ?key=, or NULL; lives as long as the request. */
const char *request_query(struct request *req, const char *key);

/* Answer: body is taken. */
void request_reply(struct request *req, unsigned status, struct json_object *body);
void request_fail(struct request *req, const struct fm_error *err);
/* Answer an error made on the spot. */
void request_error(struct request *req, enum fm_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
