/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domains.c - see domains.h. */
#include "config.h"

#include "agent/domains.h"

#include <stdlib.h>

#include "agent/worker_client.h"

#define DEADLINE_MS 60000

struct operation {
	struct agent *agent;
	domains_done done;
	void *arg;
	struct json_object *result;
	struct event *soon; /* it could not even be started */
	struct fm_error error;
};

static void end(struct operation *op, const struct fm_error *error)
{
	struct fm_error err;

	if (!error && !op->result) {
		fm_fail(&err, FM_FAILED, "the worker said nothing");
		error = &err;
	}
	op->done(op->agent, error ? NULL : op->result, error, op->arg);
	if (op->result)
		json_object_put(op->result);
	if (op->soon)
		event_free(op->soon);
	free(op);
}

static void on_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct operation *op = arg;

	(void)w, (void)event;
	if (!op->result)
		op->result = json_object_get(o);
}

static void on_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	(void)w;
	end(arg, error);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct operation *op = arg;
	struct fm_error err = op->error;

	(void)fd, (void)what;
	end(op, &err);
}

void domains_do(struct agent *agent, const char *what, const char *name, domains_done done, void *arg)
{
	static const struct worker_events events = { on_event, on_ended };
	struct json_object *request = json_object_new_object();
	struct operation *op = calloc(1, sizeof(*op));

	if (!op)
		abort(); /* somebody waits for done() */
	*op = (struct operation){ .agent = agent, .done = done, .arg = arg };
	fm_json_set_string(request, "op", what);
	fm_json_set_string(request, "name", name);
	fm_json_set_string(request, "rundir", agent->conf.run_dir);
	if (!worker_start(agent, name ? name : "domains", request, DEADLINE_MS, &events, op, &op->error)) {
		op->soon = evtimer_new(agent->base, on_soon, op);
		event_active(op->soon, EV_TIMEOUT, 1);
	}
}

void domains_list(struct agent *agent, domains_done done, void *arg)
{
	domains_do(agent, "list", NULL, done, arg);
}
