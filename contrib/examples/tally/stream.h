/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.h - a connection that carries framed messages: one byte of type, two of
 * length, the payload. Bounded both ways; nothing blocks once stream_start() was
 * called.
 */
#ifndef TALLY_STREAM_H
#define TALLY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_PAYLOAD_MAX 16384
#define STREAM_HEADER 3
#define STREAM_OUT_MAX (1 << 18)

enum frame_type { FRAME_HELLO = 1, FRAME_READY, FRAME_MESSAGE, FRAME_END, FRAME_ACCOUNT };

struct stream {
	int fd; /* -1: none */
	uint8_t in[STREAM_HEADER + STREAM_PAYLOAD_MAX];
	size_t in_size;
	uint8_t *out;
	size_t out_size;
	bool over; /* the other side has closed it */
};

/* Takes the socket: no delay, not blocking. -1 with errno. */
int stream_start(struct stream *s, int fd);
/* False: it would have to wait, nothing is queued. */
bool stream_put(struct stream *s, enum frame_type type, const void *payload, size_t size);
/* Sends what the socket takes. -1 with errno. */
int stream_flush(struct stream *s);
/* Reads and gives every whole frame to fn, whose -1 stops it. -1 with errno; the end of the connection sets over. */
int stream_read(struct stream *s, int (*fn)(enum frame_type type, const uint8_t *payload, size_t size, void *arg), void *arg);
void stream_close(struct stream *s);

#endif
