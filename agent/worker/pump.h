/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pump.h - a pipe whose reader never makes the writer wait for compression or
 * disk, as long as memory lasts.
 *
 *	driver ─pipe─▶ reader thread ─▶ bounded queue of blocks ─▶ writer thread ─▶ sink
 *
 * The guest stands still while its last dirty pages go through here, so they
 * only have to be copied into memory; compressing and writing goes on behind.
 * When the queue is full the pipe fills and the writer waits: memory is bounded.
 */
#ifndef FM_WORKER_PUMP_H
#define FM_WORKER_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct pump;

/* Called by the pump's own thread, in order. -1: the pump ends, the pipe breaks (EPIPE). */
typedef int (*pump_sink_fn)(void *data, const void *bytes, size_t size, struct fm_error *err);

/* Asked by the pump's thread every PUMP_PATIENCE_MS while the queue is full and the
 * driver may be waiting: true breaks the pipe, err says why. */
typedef bool (*pump_give_up_fn)(void *data, struct fm_error *err);
#define PUMP_NICE 19 /* of the thread that writes */
#define PUMP_PATIENCE_MS 100

struct pump_sink {
	pump_sink_fn write;
	pump_give_up_fn give_up; /* may be NULL */
	void *data;
};

/* limit: bytes of memory the queue may take. */
struct pump *pump_start(size_t limit, const struct pump_sink *sink, struct fm_error *err);

/* The pipe's write end, for the driver. Stays the pump's. */
int pump_fd(const struct pump *p);

/* While the guest stands still the processor is for the copy, not for compression:
 * the sink gets nothing as long as the queue has room, but for a slice it has begun. */
void pump_pause(struct pump *p, bool pause);

/* Is at most a quarter of the memory filled? What comes in the next moment then only has to be copied. */
bool pump_is_ready(struct pump *p);

/* No more will be written: close the write end. Ends a pause. */
void pump_close(struct pump *p);

/* Readable once the pump has ended: all written after pump_close(), or failed. */
int pump_done_fd(const struct pump *p);

/* Did the sink fail, or was it given up? err is filled then (may be NULL). */
bool pump_failed(struct pump *p, struct fm_error *err);

/* Wait until all is in the sink; -1 with the sink's error. */
int pump_finish(struct pump *p, struct fm_error *err);

/* Throw away what is queued; ends the threads. NULL is fine. Also after pump_finish(). */
void pump_destroy(struct pump *p);

/* A sensible limit for this host: a quarter of the free memory, between 16 and 512 MiB. */
size_t pump_default_limit(void);

#endif
