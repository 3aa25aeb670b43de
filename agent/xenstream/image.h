/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h - a folded image (fold.h) read as the stream that `xl restore` takes.
 *
 *	head | PAGE_DATA of the first turn's places | PAGE_DATA of the second's | tail
 *
 * Places are in order of pfn, in batches of at most XENSTREAM_BATCH_USUAL that no
 * 2 MiB of the guest straddles: later Xen than 4.17 makes a superpage only of pfns that come in one batch.
 * The skeleton is as it was given; the places, which come from a disk, are checked: ascending in each turn, of known types,
 * without content in the second.
 *
 * Memory: one batch, 4 MiB and a bit.  One thread at a time; fetch() may use as many as it likes for a batch.
 */
#ifndef FM_XENSTREAM_IMAGE_H
#define FM_XENSTREAM_IMAGE_H

#include "agent/xenstream/fold.h"

/* Each returns 0, or -1 with err. */
struct xenstream_shelf {
	/* The next places, 1 … most of them, in the order of xenstream_fold_next(); *count_r 0: there are no more. */
	int (*next)(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err);
	/* The contents of `count` places (all have some; in the order of next()), one after another into pages_r. */
	int (*fetch)(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
		     struct fm_error *err);
	void *data;
};

struct xenstream_image;

/* What skeleton points to must outlive the image. NULL: out of memory. */
struct xenstream_image *xenstream_image_open(const struct xenstream_skeleton *skeleton,
					     const struct xenstream_shelf *shelf, struct fm_error *err);
/* The next bytes of the stream, good until the next call; *size_r 0 at the end. -1: the shelf's error, or FM_CORRUPT for
 * its places; stays. */
int xenstream_image_next(struct xenstream_image *i, const void **bytes_r, size_t *size_r, struct fm_error *err);
/* The same as a copy: up to size bytes, 0 at the end, -1 on error (like stream_read(), for a feed). */
long xenstream_image_read(struct xenstream_image *i, void *data, size_t size, struct fm_error *err);
void xenstream_image_close(struct xenstream_image *i); /* NULL is fine */

#endif
