/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task.c - see task.h. On the pipe: u64 length of the JSON text, the text, the blob. */
#include "config.h"

#include "agent/task.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child.h"
#include "common/cleanup.h"
#include "common/io.h"

#define ANSWER_MAX (1u << 30)

struct task {
	struct agent *agent;
	pid_t pid;
	int fd, status;
	struct event *readable;
	struct evbuffer *in;
	bool eof, exited, cancelled;
	task_done done;
	void *arg;
};

static void close_all_but(int fd)
{
#ifdef SYS_close_range
	if (fd > 3)
		syscall(SYS_close_range, 3u, (unsigned)fd - 1, 0u);
	if (syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0u) == 0)
		return;
#endif
	for (long i = 3, n = sysconf(_SC_OPEN_MAX); i < n; i++)
		if (i != fd)
			close((int)i);
}

static void child_run(pid_t agent, int fd, task_fn fn, void *fn_arg)
{
	struct json_object *o = json_object_new_object();
	struct task_blob blob = { 0 };
	struct fm_error err = { 0 };
	const char *text;
	uint64_t size;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != agent) /* it died before we had said so */
		_exit(1);
	child_reset_signals();
	close_all_but(fd);
	if (fn(fn_arg, o, &blob, &err))
		o = fm_json_from_error(&err);
	text = fm_json_text(o);
	size = strlen(text);
	if (fm_write_all(fd, &size, sizeof(size)) || fm_write_all(fd, text, size) ||
	    (blob.data && fm_write_all(fd, blob.data, blob.size)))
		_exit(1);
	_exit(0);
}

static void task_free(struct task *task)
{
	if (task->readable)
		event_free(task->readable);
	if (task->in)
		evbuffer_free(task->in);
	if (task->fd >= 0)
		close(task->fd);
	free(task);
}

/* The object the child sent, NULL with err for its error or for nonsense. */
static struct json_object *take_answer(struct task *task, struct task_blob *blob_r, struct fm_error *err)
{
	size_t have = evbuffer_get_length(task->in);
	unsigned char *data = evbuffer_pullup(task->in, -1);
	struct json_object *o;
	uint64_t size;

	if (task->status || have < sizeof(size)) {
		fm_fail(err, FM_FAILED, "a helper process of the agent died (status 0x%x)", task->status);
		return NULL;
	}
	memcpy(&size, data, sizeof(size));
	if (size > have - sizeof(size)) {
		fm_fail(err, FM_FAILED, "a helper process of the agent gave half an answer");
		return NULL;
	}
	o = fm_json_parse((char *)data + sizeof(size), size, err);
	if (o && json_object_object_get(o, "error") && json_object_object_length(o) == 1) {
		fm_json_to_error(o, err);
		json_object_put(o);
		return NULL;
	}
	*blob_r = (struct task_blob){ data + sizeof(size) + size, have - sizeof(size) - size };
	return o;
}

static void task_end(struct task *task)
{
	struct json_object *o;
	struct task_blob blob = { 0 };
	struct fm_error err;

	if (!task->eof || !task->exited)
		return;
	if (!task->cancelled) {
		o = take_answer(task, &blob, &err);
		task->done(o, &blob, o ? NULL : &err, task->arg);
		if (o)
			json_object_put(o);
	}
	task_free(task);
}

static void on_exit_status(int status, void *arg)
{
	struct task *task = arg;

	task->status = status;
	task->exited = true;
	task_end(task);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct task *task = arg;
	int n = evbuffer_read(task->in, fd, -1);

	(void)what;
	if (n > 0 && evbuffer_get_length(task->in) < ANSWER_MAX)
		return;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	event_del(task->readable);
	task->eof = true;
	task_end(task);
}

static int task_fork(struct task *task, task_fn fn, void *fn_arg, struct fm_error *err)
{
	pid_t agent = getpid();
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	task->pid = fork();
	if (task->pid == 0)
		child_run(agent, fds[1], fn, fn_arg);
	close(fds[1]);
	task->fd = fds[0];
	if (task->pid < 0)
		return fm_fail(err, FM_FAILED, "fork: %s", strerror(errno));
	fcntl(task->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

struct task *task_start(struct agent *agent, task_fn fn, void *fn_arg, task_done done, void *done_arg,
			struct fm_error *err)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task || !(task->in = evbuffer_new())) {
		free(task);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	task->agent = agent;
	task->fd = -1;
	task->done = done;
	task->arg = done_arg;
	if (task_fork(task, fn, fn_arg, err) ||
	    !(task->readable = event_new(agent->base, task->fd, EV_READ | EV_PERSIST, on_readable, task)) ||
	    event_add(task->readable, NULL) ||
	    child_watch(agent->children, task->pid, on_exit_status, task, err)) {
		if (task->pid > 0)
			kill(task->pid, SIGKILL); /* reaped by nobody: out of memory is the end anyway */
		task_free(task);
		return NULL;
	}
	return task;
}

void task_cancel(struct task *task)
{
	if (!task || task->cancelled)
		return;
	task->cancelled = true;
	kill(task->pid, SIGKILL);
}
