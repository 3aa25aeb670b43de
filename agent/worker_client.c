/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker_client.c - see worker_client.h. */
#include "config.h"

#include "agent/worker_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"

#define LINE_MAX_ (4u << 20) /* a list of every domain of a large node */
#define LINGER_MS 1000       /* a grandchild may hold the socket open after the worker's end */

struct worker {
	struct agent *agent;
	pid_t pid;
	char tag[64], op[16];
	struct bufferevent *io;  /* its stdin and stdout */
	struct bufferevent *log; /* its stderr */
	struct event *deadline, *linger;
	const struct worker_events *events;
	void *arg;
	bool closed, exited, eof, late;
	int status;
	struct fm_error error; /* what it said, code FM_OK: nothing */
};

static void set_timer(struct event *ev, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_del(ev);
	if (ms > 0)
		event_add(ev, &tv);
}

static void worker_free(struct worker *w)
{
	if (w->io)
		bufferevent_free(w->io);
	if (w->log)
		bufferevent_free(w->log);
	if (w->deadline)
		event_free(w->deadline);
	if (w->linger)
		event_free(w->linger);
	free(w);
}

/* Its own words first, then how it ended. */
static int verdict(struct worker *w, struct fm_error *err)
{
	if (w->late)
		return fm_fail(err, FM_TIMEOUT, "the worker's \"%s\" did not end in time and was killed", w->op);
	if (w->error.code) {
		*err = w->error;
		return -1;
	}
	if (WIFSIGNALED(w->status))
		return fm_fail(err, FM_FAILED, "the worker's \"%s\" died of signal %d", w->op, WTERMSIG(w->status));
	if (w->status)
		return fm_fail(err, FM_FAILED, "the worker's \"%s\" failed (exit status %d) without a reason", w->op,
			       WEXITSTATUS(w->status));
	return 0;
}

static void worker_finish(struct worker *w)
{
	struct fm_error err;
	int r = verdict(w, &err);

	if (!w->closed)
		w->events->ended(w, r ? &err : NULL, w->arg);
	worker_free(w);
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	worker_finish(arg);
}

/* All it said has been read and it is reaped. */
static void maybe_finish(struct worker *w)
{
	if (w->exited)
		set_timer(w->linger, w->eof ? 1 : LINGER_MS);
}

static void take_line(struct worker *w, const char *line, size_t size)
{
	struct fm_error err;
	struct json_object *o = fm_json_parse(line, size, &err);
	const char *event = o ? fm_json_string_or(o, "event", "") : "";

	if (!*event) {
		fm_warning("%s worker %s: not an event: %.200s", w->tag, w->op, line);
	} else if (strcmp(event, "error") == 0) {
		int64_t code = fm_json_int_or(o, "code", FM_FAILED);

		fm_fail(&w->error, code > FM_OK && code <= FM_BUSY ? (enum fm_code)code : FM_FAILED, "%s",
			fm_json_string_or(o, "text", "the worker failed"));
	} else {
		w->events->event(w, event, o, w->arg);
	}
	if (o)
		json_object_put(o);
}

static void on_lines(struct bufferevent *bev, void *arg)
{
	struct worker *w = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t size;
	char *line;

	while (!w->closed && (line = evbuffer_readln(in, &size, EVBUFFER_EOL_LF))) {
		take_line(w, line, size);
		free(line);
	}
	if (w->closed)
		evbuffer_drain(in, evbuffer_get_length(in));
	if (evbuffer_get_length(in) > LINE_MAX_) {
		fm_fail(&w->error, FM_FAILED, "the worker's \"%s\" sends a line without end", w->op);
		kill(w->pid, SIGKILL);
		evbuffer_drain(in, LINE_MAX_);
	}
}

static void on_io_end(struct bufferevent *bev, short what, void *arg)
{
	struct worker *w = arg;

	(void)bev, (void)what;
	w->eof = true;
	maybe_finish(w);
}

static void on_log(struct bufferevent *bev, void *arg)
{
	struct worker *w = arg;
	char *line;

	while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF))) {
		fm_info("%s worker %s: %s", w->tag, w->op, line);
		free(line);
	}
	if (evbuffer_get_length(bufferevent_get_input(bev)) > 65536)
		evbuffer_drain(bufferevent_get_input(bev), 65536);
}

static void on_log_end(struct bufferevent *bev, short what, void *arg)
{
	(void)what, (void)arg;
	bufferevent_disable(bev, EV_READ);
}

static void on_reaped(int status, void *arg)
{
	struct worker *w = arg;

	w->status = status;
	w->exited = true;
	event_del(w->deadline);
	maybe_finish(w);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd, (void)what;
	w->late = true;
	if (!w->exited)
		kill(w->pid, SIGKILL);
}

static void child_exec(const char *path, int io, int log)
{
	child_reset_signals();
	setpgid(0, 0);
	if (dup2(io, 0) < 0 || dup2(io, 1) < 0 || dup2(log, 2) < 0)
		_exit(127);
#ifdef SYS_close_range
	syscall(SYS_close_range, 3u, ~0u, 0u);
#endif
	execl(path, path, (char *)NULL);
	dprintf(2, "%s: %s\n", path, strerror(errno));
	dprintf(1, "{\"event\":\"error\",\"code\":1,\"text\":\"cannot run %s: %s\"}\n", path, strerror(errno));
	_exit(127);
}

static int spawn(struct worker *w, struct fm_error *err)
{
	int io[2], log[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io))
		return fm_fail(err, FM_FAILED, "socketpair: %s", strerror(errno));
	if (pipe2(log, O_CLOEXEC)) {
		close(io[0]);
		close(io[1]);
		return fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	}
	w->pid = fork();
	if (w->pid == 0)
		child_exec(w->agent->conf.worker_path, io[1], log[1]);
	close(io[1]);
	close(log[1]);
	evutil_make_socket_nonblocking(io[0]);
	evutil_make_socket_nonblocking(log[0]);
	w->io = bufferevent_socket_new(w->agent->base, io[0], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	w->log = bufferevent_socket_new(w->agent->base, log[0], BEV_OPT_CLOSE_ON_FREE);
	if (w->pid < 0)
		return fm_fail(err, FM_FAILED, "fork: %s", strerror(errno));
	if (!w->io || !w->log)
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

static void send_line(struct worker *w, struct json_object *o)
{
	const char *text = fm_json_text(o);
	size_t size = strlen(text);
	struct iovec line[2] = { { (void *)(uintptr_t)text, size }, { (char *)"\n", 1 } };
	struct msghdr message = { .msg_iov = line, .msg_iovlen = 2 };
	ssize_t n = 0;

	/* At once if the kernel takes it: through the loop it would cost three system calls more, in the freeze. */
	if (!evbuffer_get_length(bufferevent_get_output(w->io)))
		n = sendmsg(bufferevent_getfd(w->io), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		n = 0;
	if ((size_t)n < size)
		bufferevent_write(w->io, text + n, size - (size_t)n);
	if ((size_t)n <= size)
		bufferevent_write(w->io, "\n", 1);
}

static struct worker *worker_new(struct agent *agent, const char *tag, struct json_object *request)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->agent = agent;
	snprintf(w->tag, sizeof(w->tag), "%s", tag);
	snprintf(w->op, sizeof(w->op), "%s", fm_json_string_or(request, "op", "?"));
	w->deadline = evtimer_new(agent->base, on_deadline, w);
	w->linger = evtimer_new(agent->base, on_linger, w);
	if (!w->deadline || !w->linger) {
		worker_free(w);
		return NULL;
	}
	return w;
}

static void send_request(struct worker *w, struct json_object *request)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };

	fm_json_set_string(request, "driver", w->agent->conf.hypervisor);
	if (*w->agent->conf.disks)
		fm_json_set_string(request, "disk_place", w->agent->conf.disks);
	fm_json_set_string(request, "log_level", levels[w->agent->conf.log_level]);
	send_line(w, request);
}

struct worker *worker_start(struct agent *agent, const char *tag, struct json_object *request,
			    int64_t deadline_ms, const struct worker_events *events, void *arg,
			    struct fm_error *err)
{
	struct worker *w = worker_new(agent, tag, request);

	if (!w) {
		fm_fail(err, FM_FAILED, "out of memory");
	} else if (spawn(w, err) || child_watch(agent->children, w->pid, on_reaped, w, err)) {
		if (w->pid > 0)
			kill(w->pid, SIGKILL);
		worker_free(w);
		w = NULL;
	} else {
		w->events = events;
		w->arg = arg;
		bufferevent_setcb(w->io, on_lines, NULL, on_io_end, w);
		bufferevent_setcb(w->log, on_log, NULL, on_log_end, w);
		bufferevent_enable(w->io, EV_READ | EV_WRITE);
		bufferevent_enable(w->log, EV_READ);
		send_request(w, request);
		set_timer(w->deadline, deadline_ms);
		fm_debug("%s worker %s: started, pid %d", w->tag, w->op, (int)w->pid);
	}
	json_object_put(request);
	return w;
}

void worker_request(struct worker *w, struct json_object *request)
{
	send_request(w, request);
	json_object_put(request);
}

void worker_hand_over(struct worker *w, const char *tag, const struct worker_events *events, void *arg)
{
	snprintf(w->tag, sizeof(w->tag), "%s", tag);
	w->events = events;
	w->arg = arg;
}

void worker_command(struct worker *w, const char *cmd)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "cmd", cmd);
	send_line(w, o);
	json_object_put(o);
}

void worker_deadline(struct worker *w, int64_t ms)
{
	set_timer(w->deadline, ms);
}

pid_t worker_pid(const struct worker *w)
{
	return w->pid;
}

void worker_close(struct worker *w, int64_t grace_ms)
{
	if (!w || w->closed)
		return;
	w->closed = true;
	set_timer(w->deadline, grace_ms);
	shutdown(bufferevent_getfd(w->io), SHUT_WR); /* EOF there; its last words are still read */
}
