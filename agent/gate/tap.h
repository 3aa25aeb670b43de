/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap.h - a capture device: a TAP that carries frames between kernel and agent, unfinished ones too.
 *
 * Frames come with a virtio_net_hdr, so that large ones (GSO) and those without
 * a checksum yet stay as they are.  The device lives as long as its file.
 */
#ifndef FM_GATE_TAP_H
#define FM_GATE_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "queue.h"

#define TAP_PREFIX "fmg" /* "fmgo7", "fmgi7": out, in, of ifindex 7 */

struct tap {
	int fd;
	unsigned ifindex;
	char name[16];
};

/* Non-blocking, up, without addresses. FM_BUSY when another process has a device of that name. */
int tap_open(struct tap *tap, const char *name, struct fm_error *err);
void tap_close(struct tap *tap);
/* Remove a device nobody holds. FM_BUSY when somebody does. */
int tap_remove(const char *name, struct fm_error *err);

enum tap_got {
	TAP_EMPTY,
	TAP_FRAME,
	TAP_MARKER, /* on_marker was called with it */
	TAP_LOST,   /* one came that had to be thrown away */
};

/* Append one frame to the queue. on_marker NULL: a marker is a frame like any other. */
enum tap_got tap_read(struct tap *tap, struct gate_queue *queue,
		      void (*on_marker)(void *arg, const void *frame, size_t size), void *arg);
/* 0, or -1 with errno. */
int tap_write(struct tap *tap, const uint8_t vnet[GATE_VNET_SIZE], const void *data, size_t size);

#endif
