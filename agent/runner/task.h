/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * task.h - one program of the job inside the guest, and its streams.
 *
 * A task outlives its client's connection (unless it is ephemeral): its output
 * waits in spools, and when they are full of what nobody has acknowledged, in
 * the program, which then blocks on its pipe.  A task is over when its process
 * has exited and both streams have ended; it is kept until a client has fetched
 * that, and the task named "batch" for good: after a restore its new shim wants
 * the output again.
 */
#ifndef FM_RUNNER_TASK_H
#define FM_RUNNER_TASK_H

#include <sys/types.h>

#include "agent/runner/runner.h"
#include "agent/runner/spool.h"

#define TASK_BATCH "batch"
#define TASK_EPHEMERAL_SPOOL (1024u * 1024)

struct task_stream {
	struct task *task;
	int fd; /* the pipe's reading end, -1 after its end */
	struct watch *watch;
	struct spool *spool;
	bool blocked; /* the spool is full */
};

struct task {
	struct runner *runner;
	struct task *next;
	char id[FM_TASK_ID_MAX + 1];
	char cgroup[FM_TASK_ID_MAX + 8]; /* "" when none */
	char *script_path;
	bool ephemeral;
	pid_t pid; /* also the process group; 0 once reaped */
	pid_t group;
	struct task_stream stream[2]; /* [0] stdout, [1] stderr */
	bool heard;                   /* output came since the linger timer looked */
	bool killed;

	int in; /* stdin's writing end, -1 when closed */
	struct watch *in_watch;
	struct spool *in_spool;
	uint64_t in_written; /* taken by the program */
	uint64_t in_received;
	bool in_eof;

	bool exited;
	struct fm_exit exit;
	struct timer *linger;
	struct timer *stop;
	struct timer *kill;

	bool told_to_end; /* a client passed SIGTERM, SIGINT or SIGHUP on */

	uint64_t client;          /* whose signals were counted */
	uint64_t signal_sequence; /* the last one acted upon */

	struct connection *connection; /* NULL when nobody is attached */
	void (*changed)(struct connection *connection);
};

struct task *task_find(struct runner *runner, const char *id);
/* The request's command, as the job's user. */
struct task *task_start(struct runner *runner, const struct fm_request *request, struct fm_error *err);
/* Forget it; its processes are left alone. */
void task_destroy(struct task *task);

/* Process exited and both streams ended. */
bool task_is_over(const struct task *task);
/* Input from a client: a part already received is skipped. -1: a gap, or more than the window. */
int task_input(struct task *task, uint64_t offset, const void *data, size_t size);
/* A client has read up to offset. */
void task_acknowledge(struct task *task, enum fm_stream stream, uint64_t offset);
/* Nobody will read the stream any more: the program finds its pipe broken. */
void task_close_output(struct task *task, enum fm_stream stream);
/* To the process group; once for each of a client's sequence numbers. */
void task_signal(struct task *task, uint64_t client, uint64_t sequence, int number);
/* An ephemeral task's connection is gone: hang up, and kill what stays. */
void task_hang_up(struct task *task);
/* Its client has come, or gone without having fetched the end. */
void task_attended(struct task *task);
void task_left_alone(struct task *task);
/* A child has ended: true when it was a task. */
bool task_reaped(struct runner *runner, pid_t pid, int status);

#endif
