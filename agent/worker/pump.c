/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pump.c - see pump.h.
 *
 * Blocks go round: filled by the reader, emptied by the writer, kept for the
 * next use, so that memory is touched for the first time before the guest is
 * stopped and not while it waits.
 */
#include "config.h"

#include "agent/worker/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define BLOCK_SIZE ((size_t)1 << 20)
#define WARM_BLOCKS 32
/* What the sink gets at a time: a pause takes effect after that much. */
#define SLICE_SIZE ((size_t)32 << 10)

struct block {
	struct block *next;
	size_t used;
	char bytes[];
};

struct pump {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct block *head, **tail; /* filled, in order */
	struct block *spare;
	size_t allocated, limit, filled; /* blocks */
	int read_fd, write_fd, done_fd;
	bool input_ended, stop, failed, paused;
	struct fm_error err; /* of the sink */
	struct pump_sink sink;
	pthread_t reader, writer;
	bool reader_runs, writer_runs;
};

static struct block *block_new(struct pump *p)
{
	struct block *b = malloc(sizeof(*b) + BLOCK_SIZE);

	if (b)
		p->allocated++;
	return b;
}

/* Called with the lock held. */
static void wait_for_room(struct pump *p)
{
	struct timespec until;
	struct fm_error err;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PUMP_PATIENCE_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	if (pthread_cond_timedwait(&p->changed, &p->lock, &until) != ETIMEDOUT || !p->sink.give_up)
		return;
	if (!p->failed && p->sink.give_up(p->sink.data, &err)) {
		p->failed = true;
		p->err = err;
		pthread_cond_broadcast(&p->changed);
	}
}

/* An empty block; waits while all are full. NULL: the pump is to end. */
static struct block *take_spare(struct pump *p)
{
	struct block *b = NULL;

	pthread_mutex_lock(&p->lock);
	while (!b && !p->stop && !p->failed) {
		if (p->spare) {
			b = p->spare;
			p->spare = b->next;
		} else if (p->allocated < p->limit) {
			b = block_new(p);
			if (!b) /* no more memory: make do with what there is */
				p->limit = p->allocated;
		} else {
			pthread_cond_broadcast(&p->changed); /* a paused sink has to go on */
			wait_for_room(p);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return b;
}

static void put_spare(struct pump *p, struct block *b)
{
	pthread_mutex_lock(&p->lock);
	b->next = p->spare;
	p->spare = b;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void queue(struct pump *p, struct block *b)
{
	pthread_mutex_lock(&p->lock);
	b->next = NULL;
	*p->tail = b;
	p->tail = &b->next;
	p->filled++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void *run_reader(void *arg)
{
	struct pump *p = arg;
	struct block *b;

	while ((b = take_spare(p))) {
		/* Whole blocks: a pipe gives a few pages at a time, and the memory is counted in blocks. */
		ssize_t n = fm_read_all(p->read_fd, b->bytes, BLOCK_SIZE);

		if (n <= 0) {
			put_spare(p, b);
			break;
		}
		b->used = (size_t)n;
		queue(p, b);
	}
	close(p->read_fd); /* after a failure this gives the driver EPIPE */
	pthread_mutex_lock(&p->lock);
	p->read_fd = -1;
	p->input_ended = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* While paused, and there is room for more, nothing goes to the sink. */
static bool rests(const struct pump *p)
{
	return p->paused && (p->spare || p->allocated < p->limit);
}

/* The next filled block; NULL: there will be none. */
static struct block *take_filled(struct pump *p)
{
	struct block *b;

	pthread_mutex_lock(&p->lock);
	while ((p->head ? rests(p) : !p->input_ended) && !p->stop && !p->failed)
		pthread_cond_wait(&p->changed, &p->lock);
	b = p->stop || p->failed ? NULL : p->head;
	if (b) {
		p->head = b->next;
		p->filled--;
		if (!p->head)
			p->tail = &p->head;
	}
	pthread_mutex_unlock(&p->lock);
	return b;
}

static bool wait_turn(struct pump *p)
{
	bool go_on;

	pthread_mutex_lock(&p->lock);
	while (rests(p) && !p->stop && !p->failed)
		pthread_cond_wait(&p->changed, &p->lock);
	go_on = !p->stop && !p->failed;
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

static int write_block(struct pump *p, const struct block *b, struct fm_error *err)
{
	for (size_t at = 0; at < b->used; at += SLICE_SIZE) {
		size_t left = b->used - at;

		if (!wait_turn(p))
			return 0; /* take_filled() finds the same */
		if (p->sink.write(p->sink.data, b->bytes + at, left < SLICE_SIZE ? left : SLICE_SIZE, err) < 0)
			return -1;
	}
	return 0;
}

static void *run_writer(void *arg)
{
	static const uint64_t one = 1;
	struct pump *p = arg;
	struct fm_error err = { 0 };
	struct block *b;
	int r = 0;

	/* Compressing comes after whatever a guest waits for; on Linux this is the thread's alone. */
	setpriority(PRIO_PROCESS, 0, PUMP_NICE);
	while (r == 0 && (b = take_filled(p))) {
		r = write_block(p, b, &err);
		put_spare(p, b);
	}
	pthread_mutex_lock(&p->lock);
	if (r < 0 && !p->failed) {
		p->failed = true;
		p->err = err;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	fm_write_all(p->done_fd, &one, sizeof(one));
	return NULL;
}

/* First touch of fresh memory is slow: do it now. */
static void warm(struct pump *p)
{
	while (p->allocated < WARM_BLOCKS && p->allocated < p->limit) {
		struct block *b = block_new(p);

		if (!b)
			return;
		memset(b->bytes, 0, BLOCK_SIZE);
		b->next = p->spare;
		p->spare = b;
	}
}

static int start(struct pump *p, struct fm_error *err)
{
	int fds[2], r;

	p->done_fd = eventfd(0, EFD_CLOEXEC);
	if (p->done_fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
	p->read_fd = fds[0];
	p->write_fd = fds[1];
	fcntl(p->write_fd, F_SETPIPE_SZ, (int)BLOCK_SIZE); /* a wish */
	warm(p);
	r = pthread_create(&p->reader, NULL, run_reader, p);
	p->reader_runs = r == 0;
	if (r == 0)
		r = pthread_create(&p->writer, NULL, run_writer, p);
	p->writer_runs = p->reader_runs && r == 0;
	return r == 0 ? 0 : fm_fail(err, FM_FAILED, "cannot start a thread: %s", strerror(r));
}

struct pump *pump_start(size_t limit, const struct pump_sink *sink, struct fm_error *err)
{
	struct pump *p = calloc(1, sizeof(*p));
	pthread_condattr_t monotonic;

	if (!p) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	p->tail = &p->head;
	p->limit = limit / BLOCK_SIZE < 2 ? 2 : limit / BLOCK_SIZE;
	p->read_fd = p->write_fd = p->done_fd = -1;
	p->sink = *sink;
	if (start(p, err) < 0) {
		pump_destroy(p);
		return NULL;
	}
	return p;
}

int pump_fd(const struct pump *p)
{
	return p->write_fd;
}

int pump_done_fd(const struct pump *p)
{
	return p->done_fd;
}

void pump_pause(struct pump *p, bool pause)
{
	pthread_mutex_lock(&p->lock);
	p->paused = pause;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

bool pump_is_ready(struct pump *p)
{
	bool ready;

	pthread_mutex_lock(&p->lock);
	ready = p->filled <= p->limit / 4;
	pthread_mutex_unlock(&p->lock);
	return ready;
}

void pump_close(struct pump *p)
{
	pump_pause(p, false);
	fm_cleanup_close(&p->write_fd);
	p->write_fd = -1;
}

bool pump_failed(struct pump *p, struct fm_error *err)
{
	bool failed;

	pthread_mutex_lock(&p->lock);
	failed = p->failed;
	if (failed && err)
		*err = p->err;
	pthread_mutex_unlock(&p->lock);
	return failed;
}

static void join(struct pump *p)
{
	pump_close(p);
	if (p->reader_runs)
		pthread_join(p->reader, NULL);
	if (p->writer_runs)
		pthread_join(p->writer, NULL);
	p->reader_runs = p->writer_runs = false;
}

int pump_finish(struct pump *p, struct fm_error *err)
{
	join(p);
	return pump_failed(p, err) ? -1 : 0;
}

void pump_destroy(struct pump *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	join(p);
	while (p->head || p->spare) {
		struct block **from = p->head ? &p->head : &p->spare, *b = *from;

		*from = b->next;
		free(b);
	}
	fm_cleanup_close(&p->read_fd);
	fm_cleanup_close(&p->done_fd);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

size_t pump_default_limit(void)
{
	const size_t least = (size_t)16 << 20, most = (size_t)512 << 20;
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];
	size_t limit;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	limit = (size_t)kib * 1024 / 4;
	return limit < least ? least : limit > most ? most : limit;
}
