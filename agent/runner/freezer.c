/* SPDX-License-Identifier: GPL-2.0-or-later */
/* freezer.c - see freezer.h. */
#include "config.h"

#include "agent/runner/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/runner/cgroup.h"
#include "agent/runner/xenstore.h"
#include "common/log.h"

#define TOKEN_SIZE 64
#define ANSWER_RUNS "-"

struct freezer {
	struct loop *loop;
	int device, events;
	struct watch *device_watch, *events_watch;
	struct timer *limit;
	char token[TOKEN_SIZE]; /* the order that is followed; "": run */
	bool answered;          /* to that order */
	bool asked, again;      /* a READ is on its way; and an event came since */
	struct xenstore_input in;
};

static void answer(struct freezer *f, const char *text)
{
	f->answered = true;
	if (xenstore_request(f->device, XENSTORE_WRITE, FREEZER_ANSWER, text))
		fm_warning("xenstore: " FREEZER_ANSWER ": %s", strerror(errno));
}

static void run(struct freezer *f)
{
	timer_cancel(&f->limit);
	f->token[0] = 0;
	if (cgroup_freeze(0))
		fm_err("the job's processes cannot be let go on: %s", strerror(errno));
	answer(f, ANSWER_RUNS);
}

static void limit_due(void *arg)
{
	struct freezer *f = arg;

	f->limit = NULL;
	fm_warning("nobody has let the job go on: it does so by itself");
	run(f);
}

static void see(struct freezer *f)
{
	if (*f->token && !f->answered && cgroup_is_frozen(f->events) == 1)
		answer(f, f->token);
}

static void obey(struct freezer *f, const char *order)
{
	long limit_ms = 0;

	timer_cancel(&f->limit);
	if (sscanf(order, "%63s %ld", f->token, &limit_ms) < 1) {
		run(f);
		return;
	}
	f->answered = false;
	if (limit_ms > 0 && !(f->limit = timer_start(f->loop, limit_ms, limit_due, f)))
		fm_warning("out of memory");
	if (cgroup_freeze(1))
		fm_warning("the job's processes cannot be frozen: %s", strerror(errno));
	see(f);
}

static void ask(struct freezer *f)
{
	f->again = f->asked;
	if (f->asked)
		return;
	f->asked = true;
	if (xenstore_request(f->device, XENSTORE_READ, FREEZER_KEY, NULL))
		fm_warning("xenstore: " FREEZER_KEY ": %s", strerror(errno));
}

static void events_ready(void *arg, uint32_t events)
{
	struct freezer *f = arg;

	(void)events;
	if (cgroup_is_frozen(f->events) < 0)
		watch_change(f->events_watch, 0);
	see(f);
}

static void take(struct freezer *f, const struct xenstore_message *m)
{
	/* EACCES: this host has no such keys at all, and does not let us look */
	bool missing = m->type == XENSTORE_ERROR && (!strcmp(m->text, "ENOENT") || !strcmp(m->text, "EACCES"));

	if (m->type == XENSTORE_EVENT) {
		ask(f);
	} else if (m->of == XENSTORE_READ && (m->type == XENSTORE_READ || missing)) {
		f->asked = false;
		obey(f, missing ? "" : m->text);
		if (f->again)
			ask(f);
	} else if (m->type == XENSTORE_ERROR && m->of != XENSTORE_WRITE) { /* that to an answer: nobody listens */
		f->asked = false;
		fm_warning("xenstore: " FREEZER_KEY ": %.32s", m->text);
	}
}

static void device_ready(void *arg, uint32_t events)
{
	struct freezer *f = arg;
	struct xenstore_message message;
	int r;

	(void)events;
	while ((r = xenstore_receive(f->device, &f->in, &message)) > 0)
		take(f, &message);
	if (r < 0) {
		fm_err("xenstore is gone: the job cannot be frozen any more");
		watch_change(f->device_watch, 0);
	}
}

static int begin(struct freezer *f, const char *device, struct fm_error *err)
{
	if (cgroup_create_job() || (f->events = cgroup_open_events()) < 0 || cgroup_is_frozen(f->events) < 0)
		return fm_fail(err, FM_INCOMPATIBLE, "no cgroups to freeze the job with");
	f->device = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (f->device < 0 || xenstore_request(f->device, XENSTORE_WATCH, FREEZER_KEY, "freeze"))
		return fm_fail(err, FM_INCOMPATIBLE, "%s: %s", device, strerror(errno));
	f->device_watch = watch_create(f->loop, f->device, EPOLLIN, device_ready, f);
	f->events_watch = watch_create(f->loop, f->events, EPOLLPRI, events_ready, f);
	if (!f->device_watch || !f->events_watch)
		return fm_fail(err, FM_FAILED, "epoll: %s", strerror(errno));
	return 0;
}

struct freezer *freezer_create(struct loop *loop, const char *device, struct fm_error *err)
{
	struct freezer *f = calloc(1, sizeof(*f));

	if (!f) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	f->loop = loop;
	f->device = f->events = -1;
	if (begin(f, device, err) == 0)
		return f;
	freezer_destroy(f);
	return NULL;
}

void freezer_destroy(struct freezer *f)
{
	if (!f)
		return;
	if (*f->token)
		cgroup_freeze(0);
	timer_cancel(&f->limit);
	watch_destroy(f->device_watch);
	watch_destroy(f->events_watch);
	if (f->device >= 0)
		close(f->device);
	if (f->events >= 0)
		close(f->events);
	free(f);
}
