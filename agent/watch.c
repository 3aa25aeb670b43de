/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch.c - see watch.h. */
#include "config.h"

#include "agent/watch.h"

#include <stdlib.h>
#include <string.h>

#include "agent/guest.h"
#include "agent/job.h"
#include "agent/recover.h"
#include "agent/worker_client.h"

#define AGAIN_S 1
#define CLOSE_MS 1000

struct watch {
	struct agent *agent;
	struct worker *worker;
	struct event *again;
};

static void on_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	static const struct {
		const char *reason, *words;
	} words[] = {
		{ "poweroff", "it was shut down" }, { "reboot", "it rebooted" },
		{ "crash", "it crashed" }, { "watchdog", "its watchdog fired" },
		{ "gone", "it was destroyed from outside" },
	};
	struct watch *watch = arg;
	const char *name = fm_json_string_or(o, "name", "");
	const char *reason = fm_json_string_or(o, "reason", "gone");

	(void)w;
	if (strcmp(event, "died"))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(reason, words[i].reason) == 0)
			reason = words[i].words;
	for (struct job *job = watch->agent->jobs; job; job = job->next)
		if (strcmp(job->domain, name) == 0) {
			guest_died(job, (uint32_t)fm_json_int_or(o, "domid", 0), reason);
			return;
		}
}

static void on_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct watch *watch = arg;
	struct timeval tv = { AGAIN_S, 0 };

	(void)w;
	watch->worker = NULL;
	fm_warning("the watch over the guests ended (%s); it is started again", error ? error->text : "by itself");
	event_add(watch->again, &tv);
}

static int start(struct watch *watch, struct fm_error *err)
{
	static const struct worker_events events = { on_event, on_ended };
	struct json_object *request = json_object_new_object();

	fm_json_set_string(request, "op", "watch");
	fm_json_set_string(request, "rundir", watch->agent->conf.run_dir);
	watch->worker = worker_start(watch->agent, "watch", request, 0, &events, watch, err);
	return watch->worker ? 0 : -1;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	struct timeval tv = { AGAIN_S, 0 };
	struct fm_error err;

	(void)fd, (void)what;
	if (start(watch, &err)) {
		fm_err("watch: %s", err.text);
		event_add(watch->again, &tv);
		return;
	}
	recover_missing(watch->agent); /* who went meanwhile is not reported */
}

struct watch *watch_create(struct agent *agent, struct fm_error *err)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch || !(watch->again = evtimer_new(agent->base, on_again, watch))) {
		free(watch);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	watch->agent = agent;
	if (start(watch, err)) {
		watch_destroy(watch);
		return NULL;
	}
	return watch;
}

void watch_destroy(struct watch *watch)
{
	if (!watch)
		return;
	worker_close(watch->worker, CLOSE_MS);
	event_free(watch->again);
	free(watch);
}
