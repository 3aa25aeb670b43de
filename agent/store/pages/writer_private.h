/* SPDX-License-Identifier: GPL-2.0-or-later */
/* writer_private.h - what writer.c, the caller's side, and writer_threads.c share; nobody else. */
#ifndef FM_STORE_PAGES_WRITER_PRIVATE_H
#define FM_STORE_PAGES_WRITER_PRIVATE_H

#include <pthread.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/place.h"

#define ENTRIES 1024u /* of a batch */
#define PAGES 256u    /* of these with content */
#define BATCHES 4u    /* for a thread */
#define BATCHES_ASK 8u /* where others are asked: of so many at once */
#define RUN_MOST (2 * BATCHES_ASK)
#define NOT_A_PAGE UINT16_MAX
#define FORGET (UINT16_MAX - 1)

struct batch {
	struct batch *next;
	uint64_t turn;
	unsigned entries, pages;
	uint64_t pfn[ENTRIES];
	uint16_t page[ENTRIES]; /* its place in data; NOT_A_PAGE: zeros; FORGET */
	uint8_t hash[PAGES][32];
	unsigned char data[PAGES * 4096];
};

struct writer_thread {
	struct pages_writer *writer;
	pthread_t thread;
	struct hasher hasher;
	struct pack_scratch scratch;
};

struct pages_writer {
	struct place place; /* of whoever is placing */
	enum pages_codec codec;
	int level;
	unsigned threads, running;
	const struct pages_claims *claims;
	bool sealed; /* nothing is put any more, and the packs are durable */
	/* of whoever is placing: what to ask */
	uint8_t (*ask)[32];
	bool *others;
	int nice;
	struct writer_thread thread[PAGES_THREADS_MAX];
	struct batch *filling; /* the caller's */
	struct store_locks locks; /* shared with other writers: no sweep */
	uint64_t turns_given;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work, room;
	struct batch *queue, **queue_end, *idle;
	struct batch *hashed; /* by turn */
	uint64_t turn;        /* of the batch to be placed next */
	bool placing;
	bool waiting;            /* a put is, for room */
	bool paused, pause_next; /* as soon as it has it */
	struct frame_buffer *frames, **frames_end; /* to be compressed, into place.pack */
	bool ended;
	struct fm_error broken; /* FM_OK while all is well */
};

/* The first one is kept; whoever waits for room hears of it. */
void writer_break(struct pages_writer *w, const struct fm_error *why);

/* Ends a pause. Locked. */
void writer_go_on(struct pages_writer *w);

/* Hashers, room, batches, and the threads. */
int writer_threads_start(struct pages_writer *w, const char *hash, struct fm_error *err);
/* They do what is queued, and end. Twice is fine. */
void writer_threads_end(struct pages_writer *w);

/* With t's room: end the pack that is being written. */
int writer_pack_end(struct writer_thread *t, struct fm_error *err);

#endif
