/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task_io.h - a task's pipes; between task.c and task_io.c only. */
#ifndef FM_RUNNER_TASK_IO_H
#define FM_RUNNER_TASK_IO_H

#include "agent/runner/task.h"

/* [0] reads, [1] writes; -1 where there is none. */
struct task_pipes {
	int in[2], out[2], err[2];
};

void task_pipes_init(struct task_pipes *pipes);
/* What the request's flags ask for; the task's ends belong to its user, who may open them again (/dev/stderr). */
int task_pipes_open(struct task_pipes *pipes, const struct params *params, uint32_t flags, struct fm_error *err);
/* The runner's ends become the task's, watched. */
int task_pipes_adopt(struct task *task, struct task_pipes *pipes, struct fm_error *err);
/* What is left; may run twice. */
void task_pipes_close(struct task_pipes *pipes);

/* Take what is in the pipes now and close them: the task is over then. */
void task_streams_close(struct task *task);
void task_io_dispose(struct task *task);

/* task.c: a stream has ended; the task may be gone after it. */
void task_stream_ended(struct task *task);

#endif
