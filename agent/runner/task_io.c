/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task_io.c - a task's streams, between its pipes and its spools; see task.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/runner/task_io.h"
#include "common/cleanup.h"

/* ---- pipes ---------------------------------------------------------------------- */

void task_pipes_init(struct task_pipes *pipes)
{
	memset(pipes, 0xff, sizeof(*pipes));
}

void task_pipes_close(struct task_pipes *pipes)
{
	int *fd[] = { &pipes->in[0], &pipes->in[1], &pipes->out[0], &pipes->out[1], &pipes->err[0], &pipes->err[1] };

	for (size_t i = 0; i < sizeof(fd) / sizeof(*fd); i++)
		if (*fd[i] >= 0) {
			close(*fd[i]);
			*fd[i] = -1;
		}
}

static int give_pipe(const int pipe[2], const struct params *params)
{
	return geteuid() == 0 && pipe[1] >= 0 ? fchown(pipe[1], params->uid, params->gid) : 0;
}

int task_pipes_open(struct task_pipes *pipes, const struct params *params, uint32_t flags, struct fm_error *err)
{
	int failed = 0;

	if (flags & FM_REQUEST_STDIN_NULL)
		failed = (pipes->in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0;
	else
		failed = pipe2(pipes->in, O_CLOEXEC);
	failed = failed || pipe2(pipes->out, O_CLOEXEC) ||
		 (!(flags & FM_REQUEST_MERGE) && pipe2(pipes->err, O_CLOEXEC)) || give_pipe(pipes->in, params) ||
		 give_pipe(pipes->out, params) || give_pipe(pipes->err, params);
	return failed ? fm_fail(err, FM_FAILED, "the task's pipes: %s", strerror(errno)) : 0;
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void changed(struct task *task)
{
	if (task->connection)
		task->changed(task->connection);
}

/* ---- output --------------------------------------------------------------------- */

static void end_stream(struct task_stream *stream)
{
	watch_destroy(stream->watch);
	stream->watch = NULL;
	close(stream->fd);
	stream->fd = -1;
	stream->blocked = false;
}

/* 1 something was read, 0 nothing now or no room, -1 the end */
static int read_stream(struct task_stream *stream)
{
	size_t room;
	void *tail = spool_tail(stream->spool, &room);
	ssize_t n;

	if (!room) {
		stream->blocked = true;
		watch_change(stream->watch, 0);
		return 0;
	}
	n = read(stream->fd, tail, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	spool_commit(stream->spool, (size_t)n);
	stream->task->heard = true;
	return 1;
}

static void stream_ready(void *arg, uint32_t events)
{
	struct task_stream *stream = arg;
	struct task *task = stream->task;

	if (read_stream(stream) < 0) {
		end_stream(stream);
		task_stream_ended(task);
		return;
	}
	changed(task);
}

void task_acknowledge(struct task *task, enum fm_stream number, uint64_t offset)
{
	struct task_stream *stream = &task->stream[number == FM_STDERR];

	spool_acknowledge(stream->spool, offset);
	if (stream->blocked && stream->fd >= 0) {
		stream->blocked = false;
		watch_change(stream->watch, EPOLLIN);
	}
}

void task_close_output(struct task *task, enum fm_stream number)
{
	struct task_stream *stream = &task->stream[number == FM_STDERR];

	if (stream->fd < 0)
		return;
	end_stream(stream);
	task_stream_ended(task);
}

void task_streams_close(struct task *task)
{
	for (int i = 0; i < 2; i++)
		if (task->stream[i].fd >= 0) {
			while (read_stream(&task->stream[i]) > 0)
				;
			end_stream(&task->stream[i]);
		}
	task_stream_ended(task);
}

/* ---- input ---------------------------------------------------------------------- */

static void close_input(struct task *task)
{
	if (task->in < 0)
		return;
	watch_destroy(task->in_watch);
	task->in_watch = NULL;
	close(task->in);
	task->in = -1;
	task->in_written = task->in_received;
}

/* Write what the program takes now. */
static void push_input(struct task *task)
{
	const void *data;
	size_t size;

	while (task->in >= 0 && (size = spool_peek(task->in_spool, task->in_written, &data))) {
		ssize_t n = write(task->in, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* it has closed its end: the rest goes nowhere */
			close_input(task);
			return;
		}
		task->in_written += (uint64_t)n;
		spool_acknowledge(task->in_spool, task->in_written);
	}
	if (task->in < 0)
		return;
	if (task->in_written == task->in_received && task->in_eof)
		close_input(task);
	else /* with nothing to write only its end is of interest, and a write will tell */
		watch_change(task->in_watch, task->in_written < task->in_received ? EPOLLOUT : 0);
}

static void input_ready(void *arg, uint32_t events)
{
	struct task *task = arg;

	push_input(task);
	changed(task);
}

int task_input(struct task *task, uint64_t offset, const void *data, size_t size)
{
	uint64_t skip = task->in_received - offset;

	if (offset > task->in_received)
		return -1;
	if (!size) {
		task->in_eof |= skip == 0;
	} else if (skip < size && !task->in_eof) {
		data = (const char *)data + skip;
		size -= (size_t)skip;
		if (task->in >= 0 && spool_append(task->in_spool, data, size) != size)
			return -1;
		task->in_received += size;
	}
	if (task->in < 0)
		task->in_written = task->in_received;
	push_input(task);
	return 0;
}

/* ---- both ------------------------------------------------------------------------ */

static int adopt_stream(struct task *task, int i, int *fd)
{
	struct task_stream *stream = &task->stream[i];
	struct runner *runner = task->runner;

	stream->spool = spool_create(task->ephemeral ? TASK_EPHEMERAL_SPOOL : runner->spool_limit);
	if (!stream->spool)
		return -1;
	if (*fd < 0)
		return 0;
	stream->fd = fm_steal_fd(fd);
	set_nonblocking(stream->fd);
	stream->watch = watch_create(runner->loop, stream->fd, EPOLLIN, stream_ready, stream);
	return stream->watch ? 0 : -1;
}

static int adopt_input(struct task *task, int *fd)
{
	task->in_spool = spool_create(FM_WINDOW + 65536);
	if (!task->in_spool)
		return -1;
	if (*fd < 0)
		return 0;
	task->in = fm_steal_fd(fd);
	set_nonblocking(task->in);
	task->in_watch = watch_create(task->runner->loop, task->in, 0, input_ready, task);
	return task->in_watch ? 0 : -1;
}

int task_pipes_adopt(struct task *task, struct task_pipes *pipes, struct fm_error *err)
{
	if (adopt_stream(task, 0, &pipes->out[0]) || adopt_stream(task, 1, &pipes->err[0]) ||
	    adopt_input(task, &pipes->in[1]))
		return fm_fail(err, FM_FAILED, "the task's streams: %s", strerror(errno));
	return 0;
}

void task_io_dispose(struct task *task)
{
	for (int i = 0; i < 2; i++) {
		if (task->stream[i].fd >= 0)
			end_stream(&task->stream[i]);
		spool_destroy(task->stream[i].spool);
	}
	close_input(task);
	spool_destroy(task->in_spool);
}
