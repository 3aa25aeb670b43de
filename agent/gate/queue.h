/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.h - held frames in memory, in order, and as bytes of a snapshot.
 *
 * Format of held frames (member-<rank>.held), all numbers little-endian:
 *
 *	offset size
 *	0      8    magic "fm-held\n"
 *	8      4    version, 1
 *	12     4    size of this header, 72
 *	16     8    size of all records after the header, bytes
 *	24     4    frames sent by the guest (direction 0)
 *	28     4    frames that had arrived for it (direction 1)
 *	32     32   SHA-256 of bytes 0…31 and all records
 *	64     8    zero
 *
 * then one record a frame, those of direction 0 first, each direction in the
 * order in which the frames were held:
 *
 *	0      4    size of the frame, 14…65600
 *	4      1    direction
 *	5      3    zero
 *	8      10   struct virtio_net_hdr (legacy layout, little-endian): how far
 *	            checksum and segmentation are still to be done
 *	18     2    zero
 *	20     …    the frame, from its destination address on, without FCS
 *
 * A reader refuses another version, counts or sizes that do not add up,
 * non-zero bytes where zero is said, and a wrong hash.
 */
#ifndef FM_GATE_QUEUE_H
#define FM_GATE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define GATE_VNET_SIZE 10
#define GATE_FRAME_MIN 14
#define GATE_FRAME_MAX 65600

enum gate_dir { GATE_OUT, GATE_IN, GATE_DIRS };

struct gate_frame {
	struct gate_frame *next;
	uint32_t size;
	uint8_t vnet[GATE_VNET_SIZE];
	uint8_t data[];
};

struct gate_queue {
	struct gate_frame *head, **tail;
	uint64_t frames;
	uint64_t bytes;  /* of the frames themselves */
	uint64_t memory; /* with what we need to keep them */
};

void gate_queue_init(struct gate_queue *queue);
void gate_queue_clear(struct gate_queue *queue);
/* Copies. -1 without memory or for a size out of bounds. */
int gate_queue_push(struct gate_queue *queue, const void *vnet, const void *data, size_t size);
void gate_queue_pop(struct gate_queue *queue); /* the head, freed */
/* All of `from` behind `queue`; from is empty then. */
void gate_queue_append(struct gate_queue *queue, struct gate_queue *from);

/* queues: one a direction. Caller frees. */
int gate_queue_export(const struct gate_queue queues[GATE_DIRS], void **data_r, size_t *size_r,
		      struct fm_error *err);
/* queues: initialised and empty; untouched on FM_CORRUPT. */
int gate_queue_import(struct gate_queue queues[GATE_DIRS], const void *data, size_t size,
		      struct fm_error *err);

#endif
