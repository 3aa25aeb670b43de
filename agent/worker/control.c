/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - see control.h. */
#include "config.h"

#include "agent/worker/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

static int signal_pipe = -1; /* write end; a handler can have no other context */

static void on_signal(int number)
{
	int saved = errno;
	char c = (char)number;
	ssize_t n = write(signal_pipe, &c, 1);

	(void)n;
	errno = saved;
}

/* Handlers, not a blocked mask: what libxl starts must not inherit a blocked SIGTERM. */
static int catch_signals(struct control *c, struct fm_error *err)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	if (pipe2(c->signals, O_CLOEXEC | O_NONBLOCK) < 0)
		return fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	signal_pipe = c->signals[1];
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaction(numbers[i], &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	return 0;
}

/* A plain file cannot be polled and never keeps one waiting: fine as it is. */
static int watch_fd(struct control *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(c->either, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EPERM ? 0 : -1;
}

int control_init(struct control *c, struct fm_error *err)
{
	*c = (struct control){ .in = -1, .out = -1, .signals = { -1, -1 }, .either = -1 };
	c->line = malloc(CONTROL_LINE_MAX);
	if (!c->line)
		return fm_fail(err, FM_FAILED, "out of memory");
	c->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	c->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (c->in < 0 || c->out < 0)
		return fm_fail(err, FM_USAGE, "stdin and stdout must be open: %s", strerror(errno));
	FM_AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return fm_fail(err, FM_FAILED, "cannot set stdin and stdout aside: %s", strerror(errno));
	if (catch_signals(c, err) < 0)
		return -1;
	c->either = epoll_create1(EPOLL_CLOEXEC);
	if (c->either < 0 || watch_fd(c, c->in) < 0 || watch_fd(c, c->signals[0]) < 0)
		return fm_fail(err, FM_FAILED, "epoll: %s", strerror(errno));
	return 0;
}

void control_dispose(struct control *c)
{
	int *const fds[] = { &c->in, &c->out, &c->signals[0], &c->signals[1], &c->either };

	signal_pipe = -1;
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		fm_cleanup_close(fds[i]);
		*fds[i] = -1;
	}
	free(c->line);
	c->line = NULL;
}

int control_fd(const struct control *c)
{
	return c->either;
}

bool control_ended(const struct control *c)
{
	struct pollfd fds[2] = { { .fd = c->signals[0], .events = POLLIN },
				 { .fd = c->in, .events = POLLRDHUP } };

	return poll(fds, 2, 0) > 0;
}

int64_t control_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void end(struct control *c, const char *why)
{
	if (!c->at_end)
		snprintf(c->why, sizeof(c->why), "%s", why);
	c->at_end = true;
}

/* Read what is there. */
static void fill(struct control *c)
{
	ssize_t n = read(c->in, c->line + c->used, CONTROL_LINE_MAX - c->used);

	if (n > 0)
		c->used += (size_t)n;
	else if (n == 0)
		end(c, "the agent closed the connection");
	else if (errno != EINTR && errno != EAGAIN)
		end(c, "the connection to the agent broke");
}

/* Wait for input, a signal, or other_fd: 1 when other_fd is ready, 0 else, -1 at the time's end. */
static int wait_input(struct control *c, int timeout_ms, int other_fd)
{
	struct pollfd fds[3] = { { .fd = c->signals[0], .events = POLLIN },
				 { .fd = c->in, .events = POLLIN },
				 { .fd = other_fd, .events = POLLIN } };
	int n = poll(fds, 3, timeout_ms);

	if (n < 0)
		return 0; /* EINTR: the self-pipe tells at the next call */
	if (n == 0)
		return -1;
	if (fds[0].revents)
		end(c, "a signal asked it to stop");
	if (fds[1].revents)
		fill(c);
	else if (fds[2].revents)
		return 1;
	return 0;
}

/* One line out of the buffer, as an object; NULL with err->code FM_OK when there is none yet. */
static struct json_object *take_line(struct control *c, struct fm_error *err)
{
	char *newline = memchr(c->line, '\n', c->used);
	struct json_object *o;
	size_t length;

	err->code = FM_OK;
	if (!newline) {
		if (c->used == CONTROL_LINE_MAX)
			fm_fail(err, FM_USAGE, "a line longer than %d bytes", CONTROL_LINE_MAX);
		return NULL;
	}
	length = (size_t)(newline - c->line);
	o = fm_json_parse(c->line, length, err);
	c->used -= length + 1;
	memmove(c->line, newline + 1, c->used);
	return o;
}

struct json_object *control_request(struct control *c, struct fm_error *err)
{
	for (;;) {
		struct json_object *o = take_line(c, err);

		if (o || err->code != FM_OK)
			return o;
		if (c->at_end) {
			fm_fail(err, FM_USAGE, "no request: %s", c->why);
			return NULL;
		}
		wait_input(c, -1, -1);
	}
}

static enum command parse_command(struct control *c, struct json_object *o)
{
	static const struct {
		const char *word;
		enum command command;
	} words[] = { { "freeze", COMMAND_FREEZE },
		      { "cut", COMMAND_CUT },
		      { "release", COMMAND_RELEASE },
		      { "thaw", COMMAND_THAW },
		      { "abort", COMMAND_ABORT } };
	const char *word = fm_json_string_or(o, "cmd", "");

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].command;
	snprintf(c->why, sizeof(c->why), "unknown command \"%.32s\"", word);
	return COMMAND_BAD;
}

enum command control_wait(struct control *c, int timeout_ms, int other_fd)
{
	int64_t deadline = timeout_ms < 0 ? INT64_MAX : control_now_ms() + timeout_ms;

	for (;;) {
		struct fm_error err;
		FM_AUTO_JSON struct json_object *o = take_line(c, &err);
		int64_t left = deadline - control_now_ms();
		int r;

		if (o)
			return parse_command(c, o);
		if (err.code != FM_OK) {
			snprintf(c->why, sizeof(c->why), "%.100s", err.text);
			c->used = 0;
			return COMMAND_BAD;
		}
		if (c->at_end)
			return COMMAND_END;
		r = wait_input(c, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0, other_fd);
		if (r > 0)
			return COMMAND_EVENT;
		if (r < 0 || (left <= 0 && !c->used && !c->at_end))
			return COMMAND_NONE;
	}
}

void control_event(struct control *c, const char *name, struct json_object *fields)
{
	FM_AUTO_JSON struct json_object *event = json_object_new_object();
	FM_AUTO_FREE char *line = NULL;

	if (event)
		fm_json_set_string(event, "event", name);
	if (event && fields) {
		json_object_object_foreach(fields, key, value)
			json_object_object_add(event, key, json_object_get(value));
	}
	json_object_put(fields);
	line = event ? fm_format("%s\n", fm_json_text(event)) : NULL;
	if (!line)
		fm_err("event=%s lost: out of memory", name);
	else if (fm_write_all(c->out, line, strlen(line)) < 0)
		fm_warning("event=%s lost: %s", name, strerror(errno));
}

void control_error(struct control *c, const struct fm_error *err)
{
	struct json_object *fields = json_object_new_object();

	if (fields) {
		fm_json_set_int(fields, "code", err->code);
		fm_json_set_string(fields, "text", err->text);
	}
	control_event(c, "error", fields);
}
