/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.h - where each page of a snapshot goes: known already, or into the pack being written (page store only).
 *
 * The state of a writer that has an order: batches are placed one after the other, in the order they were put, by
 * whichever thread has the turn. Compressing is not part of it: full frames are handed to the caller for that.
 */
#ifndef FM_STORE_PAGES_PLACE_H
#define FM_STORE_PAGES_PLACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "agent/store/pages/claimed.h"
#include "agent/store/pages/map.h"
#include "agent/store/pages/pack_write.h"
#include "agent/store/pages/seen.h"
#include "agent/store/pages/store_private.h"

/* A frame's pages before they are compressed. */
struct frame_buffer {
	struct frame_buffer *next;
	uint32_t number;
	unsigned pages;
	unsigned char data[];
};

struct place_counts {
	_Atomic uint64_t put, zero, known, stored, stored_bytes;
};

struct place {
	struct pages_store *store;
	const struct pages_map *parent;
	long *parent_pack; /* of each of the parent's packs, the store's index, or -1 */
	struct pages_map *map;
	uint32_t *base;    /* of each of the store's packs in the map; 0: not in it yet */
	size_t bases;
	unsigned frame_pages, pack_pages;
	/* the pack being written; NULL until there is a new page */
	struct pack_writer *pack;
	struct seen seen;
	long map_pack; /* its index in the map */
	uint32_t frames; /* begun */
	struct frame_buffer *frame; /* the one being filled */
	struct frame_buffer *full;  /* to be compressed by the caller, in order */
	struct frame_buffer **full_end;
	pthread_mutex_t lock;       /* of idle: fresh memory costs more than to compress it */
	struct frame_buffer *idle;
	struct claimed claimed; /* pages that others write */
	bool settled;           /* the map names where these are */
	struct place_counts counts;
	uint64_t pack_bytes, memory; /* written, of packs that are finished; at the most, in tables */
};

int place_init(struct place *p, struct pages_store *s, const struct pages_writer_options *o, struct fm_error *err);
void place_dispose(struct place *p); /* its unfinished pack is removed */

/* Is it known, also from others' promises? 1, 0, -1. */
int place_knows(struct place *p, uint64_t pfn, const uint8_t hash[32], struct fm_error *err);
/* Another writes it. It may be given twice. */
int place_leave(struct place *p, const uint8_t hash[32], struct fm_error *err);
/* After the last pack: are the pages others write there? 1, and the map names them; 0: not yet; -1. */
int place_settle(struct place *p, struct fm_error *err);

/* One page with content. When p->pack has pack_pages after it, finish it: place_pack_full(). */
int place_page(struct place *p, uint64_t pfn, const void *data, const uint8_t hash[32], struct fm_error *err);
bool place_pack_full(const struct place *p);

/* The full frames, oldest first; the caller compresses them and gives each back: place_give_frame(). */
struct frame_buffer *place_take_full(struct place *p);

void place_give_frame(struct place *p, struct frame_buffer *f); /* from any thread */
void frame_buffers_free(struct frame_buffer *f);               /* a list; NULL is fine */

/* Ends the frame being filled, so that place_take_full() gives it, too. */
void place_end_frame(struct place *p);
/* All its frames are handed in, or will be: make it durable. None there: nothing. */
int place_finish_pack(struct place *p, struct fm_error *err);

#endif
