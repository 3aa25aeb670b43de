/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forward.h - pass a request, once its caller is known to be allowed it, to the agent that can answer. */
#ifndef FM_FORWARD_H
#define FM_FORWARD_H

#include "agent/server.h"

/* The other agent's answer, with this status when it is no error, becomes ours. */
void forward(struct request *req, const char *node, const char *method, const char *path,
	     struct json_object *body, int64_t timeout_ms, unsigned status);

#endif
