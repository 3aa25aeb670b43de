/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cache.h - decompressed frames, shared by a reader's threads (page store only).
 *
 * A frame is loaded by the first who wants it; others wait for that. The one that nobody holds and that was used
 * longest ago makes room. Each thread holds one at a time, so there is always one to give up.
 */
#ifndef FM_STORE_PAGES_CACHE_H
#define FM_STORE_PAGES_CACHE_H

#include <pthread.h>

#include "agent/store/pages/pack.h"

struct cache_frame {
	const struct pack *pack; /* NULL: free */
	uint32_t frame;
	bool loading;
	unsigned holders;
	uint64_t used;
	unsigned char *data;
};

struct cache {
	pthread_mutex_t lock;
	pthread_cond_t loaded;
	struct cache_frame *entry;
	size_t entries;
	size_t frame_bytes;
	uint64_t clock;
};

/* entries frames of frame_bytes each; memory is taken as they are needed. */
int cache_init(struct cache *c, size_t entries, size_t frame_bytes, struct fm_error *err);
void cache_dispose(struct cache *c);

/* The frame, held until cache_release(). */
struct cache_frame *cache_hold(struct cache *c, const struct pack *p, uint32_t frame, struct pack_scratch *scratch,
			       struct fm_error *err);
void cache_release(struct cache *c, struct cache_frame *f); /* NULL is fine */

#endif
