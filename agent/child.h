/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * child.h - the agent's child processes and who wants to know of their end.
 *
 * Only registered pids are reaped, each by its own number, so that a library's
 * children are left to it.
 */
#ifndef FM_CHILD_H
#define FM_CHILD_H

#include <event2/event.h>
#include <sys/types.h>

#include "common/error.h"

struct children;
typedef void (*child_done)(int status, void *arg); /* status as from waitpid() */

struct children *children_create(struct event_base *base, struct fm_error *err);
void children_destroy(struct children *children); /* forgets, kills none */

/* Register right after fork(). done is called once from the loop. */
int child_watch(struct children *children, pid_t pid, child_done done, void *arg, struct fm_error *err);
/* done will not be called; the child is still reaped. */
void child_forget(struct children *children, pid_t pid);

/* In a new child: default signal handlers, empty mask. */
void child_reset_signals(void);

#endif
