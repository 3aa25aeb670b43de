/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - the runner's event loop: file descriptors and timers over epoll.
 *
 * libevent does this for the agent; in a static program it brings name look-up
 * and what glibc warns about for it, and it is larger than what follows.
 * One thread.  A callback may remove any watch or timer, its own too.
 */
#ifndef FM_RUNNER_LOOP_H
#define FM_RUNNER_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct watch;
struct timer;

struct loop *loop_create(void);
void loop_destroy(struct loop *loop);
/* Until loop_stop(); -1 when waiting failed. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* events: EPOLLIN, EPOLLOUT or 0; the callback also gets EPOLLHUP and EPOLLERR unless events is 0. NULL on error. */
struct watch *watch_create(struct loop *loop, int fd, uint32_t events, void (*ready)(void *arg, uint32_t events),
			   void *arg);
int watch_change(struct watch *watch, uint32_t events);
/* Before fd is closed. Takes NULL. */
void watch_destroy(struct watch *watch);

/* Once, in ms (CLOCK_MONOTONIC: time outside a restore does not count). Gone after it ran. NULL on error. */
struct timer *timer_start(struct loop *loop, long ms, void (*due)(void *arg), void *arg);
/* Takes NULL and sets *timer to NULL. Never on one that ran. */
void timer_cancel(struct timer **timer);

#endif
