/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * task.h - run something that may block in a forked copy of the agent.
 *
 * The child has a copy of all memory and none of the descriptors; it answers
 * with a JSON object and, where needed, bytes.  It dies with the agent.
 */
#ifndef FM_TASK_H
#define FM_TASK_H

#include "agent/agent.h"

struct task;

struct task_blob {
	void *data; /* the child's; NULL: none */
	size_t size;
};

/* In the child. result is an empty object to fill. 0, or -1 with err. */
typedef int (*task_fn)(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err);
/* In the agent, once. err NULL: done; result and blob are not the callee's to free. */
typedef void (*task_done)(struct json_object *result, const struct task_blob *blob, const struct fm_error *err,
			  void *arg);

/* fn_arg need only live until this returns; done() comes later, never from within. NULL with err. */
struct task *task_start(struct agent *agent, task_fn fn, void *fn_arg, task_done done, void *done_arg,
			struct fm_error *err);
/* Kills it; done() will not be called. NULL is fine. */
void task_cancel(struct task *task);

#endif
