/* SPDX-License-Identifier: GPL-2.0-or-later */
/* feed.c - see feed.h. */
#include "config.h"

#include "agent/worker/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define CHUNK ((size_t)256 << 10)

struct feed {
	struct feed_source source;
	int read_fd, write_fd;
	pthread_t thread;
	bool runs;
	atomic_bool cancelled;
	/* the thread's until it is joined */
	bool refused; /* the driver closed its end before the last byte */
	int result;
	struct fm_error err;
};

static bool stopped(struct feed *f)
{
	if (!f->cancelled && !(f->source.stop && f->source.stop(f->source.data)))
		return false;
	fm_fail(&f->err, FM_FAILED, "told to stop");
	return true;
}

static void *run(void *arg)
{
	struct feed *f = arg;
	char *chunk = malloc(CHUNK);
	long n = -1;

	if (!chunk)
		fm_fail(&f->err, FM_FAILED, "out of memory");
	while (chunk && (n = stopped(f) ? -1 : f->source.read(f->source.data, chunk, CHUNK, &f->err)) > 0)
		if (!f->refused && fm_write_all(f->write_fd, chunk, (size_t)n) < 0)
			f->refused = true;
	f->result = n < 0 ? -1 : f->source.verify(f->source.data, &f->err);
	close(f->write_fd);
	f->write_fd = -1;
	free(chunk);
	return NULL;
}

struct feed *feed_start(const struct feed_source *source, struct fm_error *err)
{
	struct feed *f = calloc(1, sizeof(*f));
	int fds[2], r;

	if (!f || pipe2(fds, O_CLOEXEC) < 0) {
		free(f);
		fm_fail(err, FM_FAILED, "pipe: %s", strerror(errno));
		return NULL;
	}
	f->source = *source;
	f->read_fd = fds[0];
	f->write_fd = fds[1];
	fcntl(f->write_fd, F_SETPIPE_SZ, 1 << 20); /* a wish */
	r = pthread_create(&f->thread, NULL, run, f);
	f->runs = r == 0;
	if (r) {
		fm_fail(err, FM_FAILED, "cannot start a thread: %s", strerror(r));
		feed_destroy(f);
		return NULL;
	}
	return f;
}

int feed_fd(const struct feed *f)
{
	return f->read_fd;
}

static void join(struct feed *f)
{
	fm_cleanup_close(&f->read_fd); /* a blocked writer gets EPIPE */
	f->read_fd = -1;
	if (f->runs)
		pthread_join(f->thread, NULL);
	f->runs = false;
}

int feed_finish(struct feed *f, bool taken_all, struct fm_error *err)
{
	char rest;

	/* Content before the end of the stream? Then what follows was never looked at. */
	if (taken_all && read(f->read_fd, &rest, 1) == 1)
		f->refused = true;
	join(f);
	if (f->result < 0) {
		*err = f->err;
		return -1;
	}
	if (taken_all && f->refused)
		return fm_fail(err, FM_CORRUPT, "the stream goes on after its end");
	return 0;
}

void feed_destroy(struct feed *f)
{
	if (!f)
		return;
	f->cancelled = true;
	join(f);
	fm_cleanup_close(&f->write_fd);
	free(f);
}
