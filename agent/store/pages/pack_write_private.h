/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pack_write_private.h - what pack_write.c and pack_finish.c share, nobody else. */
#ifndef FM_STORE_PAGES_PACK_WRITE_PRIVATE_H
#define FM_STORE_PAGES_PACK_WRITE_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>

#include "agent/store/pages/format.h"
#include "agent/store/seal.h"
#include "common/error.h"

/* A frame that came before its turn, or room for one. */
struct pack_deferred {
	struct pack_deferred *next;
	struct disk_frame_header header;
	unsigned char *bytes; /* header and payload; as large as a scratch's */
};

struct pack_writer {
	char *dir, *path;
	int fd;
	uint32_t job;
	bool created, named; /* the .part file is there; it has its final name */
	bool sealed;
	uint8_t key[SEAL_KEY]; /* this file's */
	/* of whoever gives out slots */
	uint8_t (*hash)[32];
	uint32_t *location;
	uint32_t slots, slots_room, present;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t written;
	struct disk_frame *frame;
	uint32_t next, frames_room;       /* next: the frame that comes next in the file */
	struct pack_deferred *deferred; /* by number */
	struct pack_deferred *spare;
	uint64_t at, begun;               /* bytes written; of these the kernel was asked to begin with */
	struct fm_error broken; /* FM_OK while all is well */
};

#endif
