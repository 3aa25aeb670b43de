/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forward.c - see forward.h. */
#include "config.h"

#include "agent/forward.h"

#include <stdlib.h>

#include "agent/peers.h"

struct forwarded {
	struct request *req;
	unsigned status;
};

static void on_reply(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct forwarded *f = arg;

	if (error)
		request_fail(f->req, error);
	else
		request_reply(f->req, f->status, json_object_get(reply));
	free(f);
}

void forward(struct request *req, const char *node, const char *method, const char *path,
	     struct json_object *body, int64_t timeout_ms, unsigned status)
{
	struct forwarded *f = calloc(1, sizeof(*f));

	if (!f) {
		request_error(req, FM_FAILED, "out of memory");
		return;
	}
	*f = (struct forwarded){ req, status };
	peer_call(req->agent->peers, node, method, path, body, timeout_ms, on_reply, f);
}
