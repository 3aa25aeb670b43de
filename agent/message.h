/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message.h - tell another agent something it must hear: tried again, once a
 * second, while it cannot be reached.  What it answers ends it.
 */
#ifndef FM_MESSAGE_H
#define FM_MESSAGE_H

#include "agent/agent.h"

/* error NULL: it was heard. */
typedef void (*message_done)(struct agent *agent, const struct fm_error *error, void *arg);

/* POST. body is taken. done may be NULL; arg must outlive the message or be looked up by done. */
void message_send(struct agent *agent, const char *node, const char *path, struct json_object *body,
		  int64_t give_up_ms, message_done done, void *arg);

#endif
