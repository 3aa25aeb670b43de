/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feed.h - a stored stream, read and verified by a thread of its own, for a
 * driver that wants a descriptor to restore from.
 *
 * The verdict on the bytes comes from feed_finish(), which reads to the end
 * even when the driver gave up early: so "the stream is damaged" is told from
 * "the hypervisor would not".
 */
#ifndef FM_WORKER_FEED_H
#define FM_WORKER_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct feed;

/* Like stream_read() and stream_reader_finish(). */
typedef long (*feed_read_fn)(void *source, void *data, size_t size, struct fm_error *err);
typedef int (*feed_verify_fn)(void *source, struct fm_error *err);

/* Asked now and then by the feed's thread: is there any use in going on? */
typedef bool (*feed_stop_fn)(void *source);

struct feed_source {
	feed_read_fn read;
	feed_verify_fn verify;
	feed_stop_fn stop; /* may be NULL */
	void *data;        /* the caller's; must outlive the feed */
};

struct feed *feed_start(const struct feed_source *source, struct fm_error *err);

/* The pipe's read end. Stays the feed's. */
int feed_fd(const struct feed *f);

/* Close the read end, wait: -1 with the source's error, or FM_CORRUPT when
 * the driver was content before the end (taken_all) though more followed. */
int feed_finish(struct feed *f, bool taken_all, struct fm_error *err);

/* Without feed_finish() before it: the rest is not read. NULL is fine. */
void feed_destroy(struct feed *f);

#endif
