/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * skeleton.h - what a member's map keeps beside the pages: all of the saved domain that is none (store only).
 *
 *	u64 ×4   bytes of the head, bytes of the tail, places of the first turn, places of the second
 *	head, tail   xenstream_skeleton (agent/xenstream/fold.h)
 *	u64 ×n   the first turn's places that are not plain pages: of another type, or without content; ascending by pfn
 *	u64 ×m   the second turn's
 *
 * All little-endian; a place is an entry of agent/xenstream/format.h.  A plain page (type 0, with content) is in the map alone.
 */
#ifndef FM_STORE_SKELETON_H
#define FM_STORE_SKELETON_H

#include "agent/xenstream/fold.h"

/* From a fold that is whole. Caller frees. */
void *skeleton_encode(struct xenstream_fold *fold, size_t *size_r, struct fm_error *err);

struct skeleton {
	struct xenstream_skeleton parts;
	const unsigned char *first, *second; /* entries, 8 bytes each */
	size_t first_count, second_count;
};

/* Points into data. FM_CORRUPT. */
int skeleton_decode(const void *data, size_t size, struct skeleton *skeleton_r, struct fm_error *err);

#endif
