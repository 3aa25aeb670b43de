/* SPDX-License-Identifier: GPL-2.0-or-later */
/* child.c - see child.h. A list: an agent has a handful of children. */
#include "config.h"

#include "agent/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

struct child {
	struct child *next;
	pid_t pid;
	child_done done; /* NULL: forgotten */
	void *arg;
};

struct children {
	struct event *sigchld;
	struct child *list;
};

/* One ended child off the list, or NULL. */
static struct child *take_ended(struct children *children, int *status_r)
{
	for (struct child **at = &children->list; *at; at = &(*at)->next) {
		struct child *c = *at;
		pid_t r = waitpid(c->pid, status_r, WNOHANG);

		if (r == 0 || (r < 0 && errno == EINTR))
			continue;
		if (r < 0)
			*status_r = 0xff00; /* reaped behind our back: say "failed" */
		*at = c->next;
		return c;
	}
	return NULL;
}

static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct children *children = arg;
	struct child *c;
	int status;

	(void)sig, (void)what;
	/* From the start each time: done() may register or forget others. */
	while ((c = take_ended(children, &status))) {
		if (c->done)
			c->done(status, c->arg);
		free(c);
	}
}

struct children *children_create(struct event_base *base, struct fm_error *err)
{
	struct children *children = calloc(1, sizeof(*children));

	if (!children || !(children->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, children)) ||
	    event_add(children->sigchld, NULL)) {
		children_destroy(children);
		fm_fail(err, FM_FAILED, "cannot watch for SIGCHLD");
		return NULL;
	}
	return children;
}

void children_destroy(struct children *children)
{
	if (!children)
		return;
	if (children->sigchld)
		event_free(children->sigchld);
	while (children->list) {
		struct child *c = children->list;

		children->list = c->next;
		free(c);
	}
	free(children);
}

int child_watch(struct children *children, pid_t pid, child_done done, void *arg, struct fm_error *err)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return fm_fail(err, FM_FAILED, "out of memory");
	*c = (struct child){ .next = children->list, .pid = pid, .done = done, .arg = arg };
	children->list = c;
	/* It may have ended before we were here to see the signal. */
	event_active(children->sigchld, EV_SIGNAL, 1);
	return 0;
}

void child_forget(struct children *children, pid_t pid)
{
	for (struct child *c = children->list; c; c = c->next)
		if (c->pid == pid)
			c->done = NULL;
}

void child_reset_signals(void)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1 };
	sigset_t none;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
