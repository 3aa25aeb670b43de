/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress.c - see progress.h. */
#include "config.h"

#include "plugins/cli/progress.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "plugins/cli/bars.h"
#include "plugins/cli/gather.h"
#include "plugins/cli/screen.h"

#define SAMPLES 32u
#define SAMPLE_MS 400 /* so that the rate is that of the last 12 s or so */
#define DRAW_MS 100

struct sample {
	int64_t at_ms;
	uint64_t bytes;
};

struct progress {
	struct progress_options options;
	const char *created; /* a file that must not stay when we are interrupted */
	bool quiet, on_screen;
	struct gather *gather; /* NULL: the caller says what is done */
	struct bars_member *members;
	size_t count;
	int64_t begin_ms, drawn_ms, line_ms, gap_ms; /* line_ms: when the next one is due */
	int64_t save_ms; /* when the round was first seen in which all have begun; 0: not yet */
	struct sample samples[SAMPLES];
	unsigned sampled; /* so far; the newest is at (sampled - 1) % SAMPLES */
	sigset_t signals, before;
	pthread_t signal_thread;
	bool has_thread;
	pthread_mutex_t lock; /* of the terminal */
	struct screen screen;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- interrupted */

/* Only waits: whatever the others are doing, a call of many seconds maybe, the answer to Ctrl-C is prompt. */
static void *await_signal(void *arg)
{
	struct progress *p = arg;
	sigset_t one;
	int signal_number, ignored;

	if (sigwait(&p->signals, &signal_number) != 0)
		return NULL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ignored);
	pthread_mutex_lock(&p->lock); /* and never given back: nobody draws any more */
	if (p->on_screen)
		screen_leave(&p->screen);
	if (p->created)
		unlink(p->created);
	if (p->options.goes_on && !p->quiet)
		fprintf(stderr, "%s\n", p->options.goes_on);
	signal(signal_number, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, signal_number);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	raise(signal_number);
	return NULL;
}

/* Before any other thread, which shall not get them either. One that was ignored (nohup) stays so. */
static void begin_signals(struct progress *p)
{
	sigemptyset(&p->signals);
	sigaddset(&p->signals, SIGINT);
	sigaddset(&p->signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &p->signals, &p->before);
	p->has_thread = pthread_create(&p->signal_thread, NULL, await_signal, p) == 0;
	if (!p->has_thread)
		pthread_sigmask(SIG_SETMASK, &p->before, NULL);
}

static void end_signals(struct progress *p)
{
	if (!p->has_thread)
		return;
	pthread_cancel(p->signal_thread);
	pthread_join(p->signal_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &p->before, NULL);
}

/* ---- how fast */

static void sample(struct progress *p, int64_t now, uint64_t bytes)
{
	const struct sample *last = p->sampled ? &p->samples[(p->sampled - 1) % SAMPLES] : NULL;

	if (last && now - last->at_ms < SAMPLE_MS)
		return;
	if (last && bytes < last->bytes) /* an agent began anew */
		p->sampled = 0;
	p->samples[p->sampled++ % SAMPLES] = (struct sample){ now, bytes };
}

static double rate(const struct progress *p, int64_t now, uint64_t bytes)
{
	const struct sample *first = &p->samples[p->sampled > SAMPLES ? p->sampled % SAMPLES : 0];

	if (p->sampled < 3 || bytes <= first->bytes || now <= first->at_ms)
		return 0;
	return (double)(bytes - first->bytes) * 1000 / (double)(now - first->at_ms);
}

/* ---- what is told */

static void tell_line(struct progress *p, const struct bars *b, int64_t now)
{
	FM_AUTO_FREE char *text = now >= p->line_ms ? bars_line(b) : NULL;

	if (!text)
		return;
	fprintf(stderr, "%s\n", text);
	p->line_ms = now + p->gap_ms;
	p->gap_ms = p->gap_ms * 2 < PROGRESS_MOST_MS ? p->gap_ms * 2 : PROGRESS_MOST_MS;
}

static void tell_bars(struct progress *p, const struct bars *b, int64_t now)
{
	FM_AUTO_FREE char *text = NULL;

	if (now - p->drawn_ms < DRAW_MS)
		return;
	p->drawn_ms = now;
	screen_look(&p->screen);
	text = bars_lines(b, p->screen.columns, p->screen.rows - 1);
	if (text)
		screen_draw(&p->screen, text);
}

static void tell(struct progress *p, const char *round)
{
	int64_t now = now_ms();
	struct bars b = { .name = p->options.name, .round = round, .members = p->members, .count = p->count,
			  .elapsed_s = (double)(now - p->begin_ms) / 1000 };
	struct bars_sum sum;

	if (p->quiet)
		return;
	bars_sum(&b, &sum);
	sample(p, now, sum.done_bytes);
	b.bytes_per_s = rate(p, now, sum.done_bytes);
	pthread_mutex_lock(&p->lock);
	if (p->on_screen)
		tell_bars(p, &b, now);
	else
		tell_line(p, &b, now);
	pthread_mutex_unlock(&p->lock);
}

void progress_round(struct progress *p, const char *round)
{
	if (!p)
		return;
	if (p->gather)
		gather_copy(p->gather, p->members);
	if (p->gather && (strcmp(round, "abort") == 0 || strcmp(round, "discard") == 0))
		p->count = 0; /* who saves no more has not come to an end */
	if (strcmp(round, "save") == 0 || strcmp(round, "store") == 0) {
		/* Every member had begun before that: who tells of no save since then has ended it, so quickly that nobody saw it. */
		if (!p->save_ms)
			p->save_ms = now_ms();
		for (size_t i = 0; i < p->count; i++)
			if (p->members[i].state == BARS_IDLE && p->members[i].asked_ms >= p->save_ms)
				p->members[i].state = BARS_DONE;
	}
	tell(p, round);
}

void progress_bytes(struct progress *p, const char *what, uint64_t done, uint64_t all)
{
	if (!p)
		return;
	p->members[0].state = all && done >= all ? BARS_DONE : BARS_SAVING;
	p->members[0].pages = done / BARS_PAGE;
	p->members[0].raw_bytes = all;
	tell(p, what);
}

int progress_create(struct progress *p, const char *path, unsigned mode)
{
	int fd;

	if (p)
		pthread_mutex_lock(&p->lock); /* who answers a signal waits for it, and then knows what it has to remove */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
	if (p && fd >= 0)
		p->created = path;
	if (p)
		pthread_mutex_unlock(&p->lock);
	return fd;
}

/* ---- life */

struct progress *progress_begin(const struct progress_options *options, bool quiet)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->options = *options;
	p->quiet = quiet;
	p->begin_ms = now_ms();
	p->line_ms = p->begin_ms + PROGRESS_FIRST_MS;
	p->gap_ms = PROGRESS_FIRST_MS;
	pthread_mutex_init(&p->lock, NULL);
	p->on_screen = !quiet && screen_usable(STDERR_FILENO);
	screen_init(&p->screen, STDERR_FILENO);
	begin_signals(p);
	if (options->conf && !quiet)
		p->gather = gather_start(options->conf, options->job, options->nodes);
	p->count = p->gather ? gather_count(p->gather) : !options->conf;
	p->members = calloc(p->count + 1, sizeof(*p->members));
	if (!p->members) {
		progress_end(p);
		return NULL;
	}
	return p;
}

void progress_end(struct progress *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	if (p->on_screen)
		screen_erase(&p->screen);
	pthread_mutex_unlock(&p->lock);
	gather_stop(p->gather);
	end_signals(p);
	pthread_mutex_destroy(&p->lock);
	free(p->members);
	free(p);
}
