/* SPDX-License-Identifier: GPL-2.0-or-later */
/* message.c - see message.h. */
#include "config.h"

#include "agent/message.h"

#include <stdlib.h>
#include <string.h>

#include "agent/peers.h"

#define AGAIN_MS 1000
#define ANSWER_MS 10000

struct message {
	struct agent *agent;
	char *node, *path;
	struct json_object *body;
	uint64_t until_ns;
	struct event *again;
	message_done done;
	void *arg;
};

static void attempt(struct message *m);

static void message_end(struct message *m, const struct fm_error *error)
{
	if (error)
		fm_warning("POST %s to %s: %s", m->path, m->node, error->text);
	if (m->done)
		m->done(m->agent, error, m->arg);
	event_free(m->again);
	json_object_put(m->body);
	free(m->node);
	free(m->path);
	free(m);
}

static void on_reply(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct message *m = arg;
	struct timeval tv = { AGAIN_MS / 1000, 0 };
	bool unheard;

	(void)reply;
	/* FM_FAILED: the connection broke, perhaps after it was heard; hearing it twice does no harm. */
	unheard = error && (error->code == FM_NOT_FOUND || error->code == FM_TIMEOUT || error->code == FM_FAILED);
	if (unheard && agent_now_ns() < m->until_ns && !m->agent->stopping)
		event_add(m->again, &tv);
	else
		message_end(m, error);
}

static void attempt(struct message *m)
{
	peer_call(m->agent->peers, m->node, "POST", m->path, m->body, ANSWER_MS, on_reply, m);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	attempt(arg);
}

void message_send(struct agent *agent, const char *node, const char *path, struct json_object *body,
		  int64_t give_up_ms, message_done done, void *arg)
{
	struct message *m = calloc(1, sizeof(*m));

	if (!m || !(m->again = evtimer_new(agent->base, on_again, m)))
		abort(); /* out of memory: somebody waits for this */
	m->agent = agent;
	m->node = strdup(node);
	m->path = strdup(path);
	m->body = body;
	m->until_ns = agent_now_ns() + (uint64_t)give_up_ms * 1000000u;
	m->done = done;
	m->arg = arg;
	attempt(m);
}
