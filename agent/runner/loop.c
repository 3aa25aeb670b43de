/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.c - see loop.h.
 *
 * A destroyed watch is only marked while events are being handed out, since a
 * later event of the same batch may still point at it.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/loop.h"

#define BATCH 64

struct watch {
	struct loop *loop;
	struct watch *next_dead;
	void (*ready)(void *, uint32_t);
	void *arg;
	int fd;
	uint32_t events;
	bool registered;
	bool dead;
};

struct timer {
	struct loop *loop;
	struct timer *next;
	void (*due)(void *);
	void *arg;
	int64_t at_ms;
};

struct loop {
	int epoll;
	bool stop;
	struct watch *dead;
	struct timer *timers; /* sorted; a handful */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct loop *loop_create(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

static void bury(struct loop *loop)
{
	while (loop->dead) {
		struct watch *next = loop->dead->next_dead;

		free(loop->dead);
		loop->dead = next;
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	bury(loop);
	while (loop->timers) {
		struct timer *next = loop->timers->next;

		free(loop->timers);
		loop->timers = next;
	}
	close(loop->epoll);
	free(loop);
}

static void run_timers(struct loop *loop)
{
	int64_t now = now_ms();

	while (loop->timers && loop->timers->at_ms <= now) {
		struct timer *timer = loop->timers;

		loop->timers = timer->next;
		timer->due(timer->arg);
		free(timer);
	}
}

static int next_wait(const struct loop *loop)
{
	int64_t left;

	if (!loop->timers)
		return -1;
	left = loop->timers->at_ms - now_ms();
	if (left < 0)
		return 0;
	return left > 3600000 ? 3600000 : (int)left;
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[BATCH];

	while (!loop->stop) {
		int n = epoll_wait(loop->epoll, events, BATCH, next_wait(loop));

		if (n < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < n; i++) {
			struct watch *watch = events[i].data.ptr;

			if (!watch->dead)
				watch->ready(watch->arg, events[i].events);
		}
		bury(loop);
		run_timers(loop);
		bury(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}

struct watch *watch_create(struct loop *loop, int fd, uint32_t events, void (*ready)(void *arg, uint32_t events),
			   void *arg)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->loop = loop;
	watch->ready = ready;
	watch->arg = arg;
	watch->fd = fd;
	if (watch_change(watch, events)) {
		free(watch);
		return NULL;
	}
	return watch;
}

int watch_change(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (watch->registered && events == watch->events)
		return 0;
	/* epoll reports a hang-up even when nothing is asked for: then the fd must not be in it */
	if (!events) {
		if (watch->registered)
			epoll_ctl(watch->loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		watch->registered = false;
		watch->events = 0;
		return 0;
	}
	if (epoll_ctl(watch->loop->epoll, watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event))
		return -1;
	watch->registered = true;
	watch->events = events;
	return 0;
}

void watch_destroy(struct watch *watch)
{
	if (!watch || watch->dead)
		return;
	watch_change(watch, 0);
	watch->dead = true;
	watch->next_dead = watch->loop->dead;
	watch->loop->dead = watch;
}

struct timer *timer_start(struct loop *loop, long ms, void (*due)(void *arg), void *arg)
{
	struct timer *timer = calloc(1, sizeof(*timer));
	struct timer **at = &loop->timers;

	if (!timer)
		return NULL;
	*timer = (struct timer){ .loop = loop, .due = due, .arg = arg, .at_ms = now_ms() + ms };
	while (*at && (*at)->at_ms <= timer->at_ms)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	return timer;
}

void timer_cancel(struct timer **timer)
{
	struct timer **at;

	if (!*timer)
		return;
	for (at = &(*timer)->loop->timers; *at; at = &(*at)->next)
		if (*at == *timer) {
			*at = (*timer)->next;
			free(*timer);
			break;
		}
	*timer = NULL;
}
