/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * frames.h - a non-blocking connection that carries frames, with its two buffers.
 *
 * No policy: the caller decides when to read, how much may wait to be written
 * (fm_frames_pending), and what a frame means.
 */
#ifndef FM_RUNNER_FRAMES_H
#define FM_RUNNER_FRAMES_H

#include <stdbool.h>

#include "agent/runner/protocol.h"

struct fm_frames {
	int fd;           /* -1: none; owned */
	size_t limit;     /* longest payload accepted */
	uint8_t *in;
	size_t in_begin, in_end;
	uint8_t *out;
	size_t out_begin, out_end, out_capacity;
};

/* Takes fd, which must be non-blocking; -1 without memory (fd is then still the caller's). */
int fm_frames_init(struct fm_frames *frames, int fd);
/* Closes fd. An initialised or zeroed-with-fd=-1 one; may run twice. */
void fm_frames_dispose(struct fm_frames *frames);

/* Read what there is: 1 something, 0 nothing now (or the buffer is full), -1 end or error (errno, 0 = end). */
int fm_frames_fill(struct fm_frames *frames);
/* The next whole frame: 1, 0 none yet, -1 one longer than the limit. The payload lives until the next fill. */
int fm_frames_next(struct fm_frames *frames, enum fm_frame_type *type_r, const uint8_t **payload_r,
		   size_t *size_r);

/* Append a frame of head and data (either may be empty); -1 without memory. */
int fm_frames_put(struct fm_frames *frames, enum fm_frame_type type, const void *head, size_t head_size,
		  const void *data, size_t size);
/* u8 stream, u64 offset, data: OUTPUT and ACK. */
int fm_frames_put_offset(struct fm_frames *frames, enum fm_frame_type type, enum fm_stream stream,
			 uint64_t offset, const void *data, size_t size);
int fm_frames_put_error(struct fm_frames *frames, const struct fm_error *err);
/* An ERROR's payload; always -1. */
int fm_frames_get_error(const uint8_t *payload, size_t size, struct fm_error *err);

/* Write what can be: 0, or -1 with errno. */
int fm_frames_flush(struct fm_frames *frames);
/* Bytes waiting to be written. */
size_t fm_frames_pending(const struct fm_frames *frames);

#endif
