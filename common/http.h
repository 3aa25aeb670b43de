/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http.h - blocking calls to an agent, for programs and plug-ins (the agent
 * itself uses agent/peers).  No global state is left behind; thread-safe.
 */
#ifndef FM_HTTP_H
#define FM_HTTP_H

#include "conf.h"
#include "json.h"

/*
 * node NULL: the local agent by its unix socket; else TCP + MUNGE to that node.
 * body may be NULL. On success *reply_r is the JSON object (caller puts it; may
 * be NULL to ignore).  An error reply becomes err with the agent's own code and
 * text; no connection is FM_NOT_FOUND naming the address; a late answer FM_TIMEOUT.
 */
int fm_http_call(const struct fm_conf *conf, const char *node, const char *method,
		 const char *path, struct json_object *body, long timeout_ms,
		 struct json_object **reply_r, struct fm_error *err);

/*
 * The same to any agent: the local one if its socket is there, else those of
 * `nodes` (a hostlist, may be NULL) and then of Agents=, in turn, until one
 * can be connected.  Errors other than "no connection" are final.
 */
int fm_http_call_any(const struct fm_conf *conf, const char *nodes, const char *method,
		     const char *path, struct json_object *body, long timeout_ms,
		     struct json_object **reply_r, struct fm_error *err);

/*
 * To an agent that has a member of `job`: like fm_http_call_any, but an agent
 * that answers "not found" is passed over for the next.
 */
int fm_http_call_job(const struct fm_conf *conf, uint32_t job, const char *nodes,
		     const char *method, const char *path, struct json_object *body,
		     long timeout_ms, struct json_object **reply_r, struct fm_error *err);

#endif
