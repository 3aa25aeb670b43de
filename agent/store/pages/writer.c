/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer.c - pages in, packs and a map out.
 *
 *	caller: zero pages told apart, the rest copied into a batch
 *	  ─▶ queue ─▶ hash a batch ─▶ hashed ─▶ place batches, in the order they were put ─▶ frames ─▶ compress, write
 *
 * Each thread does whatever of that there is to do, the last step first, and waits for nobody: one that loses the
 * processor in the middle of something holds up only what depends on it. Batches are placed by one thread at a time and in
 * order, so the last of a repeated pfn counts. Memory is bounded by the number of batches: the caller waits for one.
 * The first error is kept: the threads then only empty the queues.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/place.h"
#include "common/cleanup.h"

#define ENTRIES 1024u /* of a batch */
#define PAGES 256u    /* of these with content */
#define BATCHES 4u    /* for a thread */
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
	struct writer_thread thread[PAGES_THREADS_MAX];
	struct batch *filling; /* the caller's */
	uint64_t turns_given;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work, room;
	struct batch *queue, **queue_end, *idle;
	struct batch *hashed; /* by turn */
	uint64_t turn;        /* of the batch to be placed next */
	bool placing;
	struct frame_buffer *frames, **frames_end; /* to be compressed, into place.pack */
	bool ended;
	struct fm_error broken; /* FM_OK while all is well */
};

static void writer_break(struct pages_writer *w, const struct fm_error *why)
{
	pthread_mutex_lock(&w->lock);
	if (w->broken.code == FM_OK)
		w->broken = *why;
	pthread_cond_broadcast(&w->room);
	pthread_mutex_unlock(&w->lock);
}

static int is_broken(struct pages_writer *w, struct fm_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	if (w->broken.code != FM_OK) {
		*err = w->broken;
		rc = -1;
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* Compress and write one frame. It is of the pack being written: that is not ended before all its frames are in. */
static int frame_write(struct writer_thread *t, struct frame_buffer *f, struct fm_error *err)
{
	struct pages_writer *w = t->writer;
	uint64_t bytes;
	int rc = pack_writer_frame(w->place.pack, f->number, f->pages, f->data, w->codec, w->level, &t->scratch, &bytes,
				   err);

	if (rc == 0)
		w->place.counts.stored_bytes += bytes;
	place_give_frame(&w->place, f);
	return rc;
}

/* Locked. */
static struct frame_buffer *frame_take(struct pages_writer *w)
{
	struct frame_buffer *f = w->frames;

	if (f && !(w->frames = f->next))
		w->frames_end = &w->frames;
	return f;
}

/* Locked. */
static void frames_add(struct pages_writer *w, struct frame_buffer *f)
{
	*w->frames_end = f;
	while (*w->frames_end)
		w->frames_end = &(*w->frames_end)->next;
}

/* By whoever is placing: end the pack. The frames that others are at are waited for, the rest is done here. */
static int pack_end(struct writer_thread *t, struct fm_error *err)
{
	struct pages_writer *w = t->writer;
	struct frame_buffer *f;

	place_end_frame(&w->place);
	pthread_mutex_lock(&w->lock);
	frames_add(w, place_take_full(&w->place));
	while ((f = frame_take(w))) {
		int rc;

		pthread_mutex_unlock(&w->lock);
		rc = frame_write(t, f, err);
		if (rc < 0)
			return -1;
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return place_finish_pack(&w->place, err);
}

static int batch_hash(struct writer_thread *t, struct batch *b, struct fm_error *err)
{
	const void *page[PAGES];

	for (unsigned i = 0; i < b->pages; i++)
		page[i] = b->data + i * PAGES_SIZE;
	return hasher_pages(&t->hasher, page, b->pages, b->hash, err);
}

static int batch_place(struct writer_thread *t, const struct batch *b, struct fm_error *err)
{
	struct place *p = &t->writer->place;

	for (unsigned i = 0; i < b->entries; i++) {
		unsigned page = b->page[i];
		int r;

		if (page == NOT_A_PAGE) {
			r = map_set(p->map, b->pfn[i], REF_ZERO, err);
			p->counts.zero++;
		} else if (page == FORGET) {
			r = map_set(p->map, b->pfn[i], REF_NONE, err);
		} else {
			r = place_page(p, b->pfn[i], b->data + page * PAGES_SIZE, b->hash[page], err);
		}
		if (r == 0 && place_pack_full(p))
			r = pack_end(t, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* Locked: by turn; nearly always the last. */
static void hashed_add(struct pages_writer *w, struct batch *b)
{
	struct batch **at = &w->hashed;

	while (*at && (*at)->turn < b->turn)
		at = &(*at)->next;
	b->next = *at;
	*at = b;
}

enum task { TASK_FRAME, TASK_PLACE, TASK_HASH, TASK_NONE };

/* What there is to do, the last step first. Locked. */
static enum task task_take(struct pages_writer *w, struct frame_buffer **frame_r, struct batch **batch_r)
{
	if ((*frame_r = frame_take(w)))
		return TASK_FRAME;
	if (w->hashed && w->hashed->turn == w->turn && !w->placing) {
		*batch_r = w->hashed;
		w->hashed = w->hashed->next;
		w->placing = true;
		return TASK_PLACE;
	}
	if ((*batch_r = w->queue)) {
		if (!(w->queue = w->queue->next))
			w->queue_end = &w->queue;
		return TASK_HASH;
	}
	return TASK_NONE;
}

static int task_do(struct writer_thread *t, enum task task, struct frame_buffer *f, struct batch *b,
		   struct fm_error *err)
{
	if (task == TASK_FRAME)
		return frame_write(t, f, err);
	return task == TASK_PLACE ? batch_place(t, b, err) : batch_hash(t, b, err);
}

/* It is done: hand on what came of it. Locked. */
static void task_end(struct pages_writer *w, enum task task, struct batch *b)
{
	if (task == TASK_HASH) {
		hashed_add(w, b);
	} else if (task == TASK_PLACE) {
		frames_add(w, place_take_full(&w->place));
		w->placing = false;
		w->turn++;
		b->next = w->idle;
		w->idle = b;
		pthread_cond_signal(&w->room);
	}
	if (task != TASK_FRAME)
		pthread_cond_broadcast(&w->work);
}

/* After an error: all goes back where it came from. Locked. */
static void task_drop(struct pages_writer *w, enum task task, struct frame_buffer *f, struct batch *b)
{
	if (task != TASK_FRAME) {
		task_end(w, task, b);
		return;
	}
	/* Whoever is placing may wait for it to be in. */
	if (w->place.pack)
		pack_writer_break(w->place.pack, &w->broken);
	place_give_frame(&w->place, f);
}

static void *thread_run(void *data)
{
	struct writer_thread *t = data;
	struct pages_writer *w = t->writer;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct frame_buffer *f = NULL;
		struct batch *b = NULL;
		enum task task = task_take(w, &f, &b);
		struct fm_error err;
		int rc;

		if (task == TASK_NONE) {
			/* Batches that others are hashing are to be placed by them. */
			if (w->ended)
				break;
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		if (w->broken.code != FM_OK) {
			task_drop(w, task, f, b);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		rc = task_do(t, task, f, b, &err);
		if (rc < 0)
			writer_break(w, &err);
		pthread_mutex_lock(&w->lock);
		task_end(w, task, b);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int threads_start(struct pages_writer *w, const char *hash, struct fm_error *err)
{
	for (unsigned i = 0; i < w->threads; i++) {
		struct writer_thread *t = &w->thread[i];
		struct batch *b;

		t->writer = w;
		if (hasher_init(&t->hasher, hash, err) < 0 || pack_scratch_init(&t->scratch, err) < 0)
			return -1;
		for (unsigned n = 0; n < BATCHES + (i == 0); n++) { /* one for the caller to fill */
			b = malloc(sizeof(*b));
			if (!b)
				return fm_fail(err, FM_FAILED, "out of memory");
			b->next = w->idle;
			w->idle = b;
		}
	}
	for (; w->running < w->threads; w->running++)
		if (pthread_create(&w->thread[w->running].thread, NULL, thread_run, &w->thread[w->running]) != 0)
			return fm_fail(err, FM_FAILED, "cannot start a thread");
	return 0;
}

static int options_check(struct pages_writer_options *o, struct fm_error *err)
{
	o->threads = o->threads ? o->threads : 2;
	o->frame_pages = o->frame_pages ? o->frame_pages : PAGES_FRAME_DEFAULT;
	o->pack_pages = o->pack_pages ? o->pack_pages : PAGES_PACK_MAX;
	o->level = o->level ? o->level : 1;
	if (o->threads > PAGES_THREADS_MAX || o->frame_pages < PAGES_FRAME_MIN || o->frame_pages > PAGES_FRAME_MAX ||
	    o->pack_pages < o->frame_pages || o->pack_pages > PAGES_PACK_MAX || o->codec > PAGES_ZSTD ||
	    (o->inherit && !o->parent))
		return fm_fail(err, FM_USAGE, "options of a page writer that are out of bounds");
	return 0;
}

struct pages_writer *pages_writer_create(struct pages_store *s, const struct pages_writer_options *options,
					 struct fm_error *err)
{
	struct pages_writer_options o = *options;
	struct pages_writer *w;

	if (options_check(&o, err) < 0 || pages_store_scan(s, err) < 0)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->room, NULL);
	w->queue_end = &w->queue;
	w->frames_end = &w->frames;
	w->codec = o.codec;
	w->level = o.level;
	w->threads = o.threads;
	if (place_init(&w->place, s, &o, err) == 0 && threads_start(w, o.hash, err) == 0)
		return w;
	pages_writer_abort(w);
	return NULL;
}

/* Hand the filled batch to the threads. */
static void batch_submit(struct pages_writer *w)
{
	struct batch *b = fm_steal_ptr(&w->filling);

	b->next = NULL;
	b->turn = w->turns_given++;
	pthread_mutex_lock(&w->lock);
	*w->queue_end = b;
	w->queue_end = &b->next;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

/* A batch with room for one more page. */
static struct batch *batch_get(struct pages_writer *w, struct fm_error *err)
{
	struct batch *b = w->filling;

	if (b && b->entries < ENTRIES && b->pages < PAGES)
		return b;
	if (b)
		batch_submit(w);
	pthread_mutex_lock(&w->lock);
	while (!w->idle && w->broken.code == FM_OK)
		pthread_cond_wait(&w->room, &w->lock);
	if (w->broken.code != FM_OK) {
		*err = w->broken;
		pthread_mutex_unlock(&w->lock);
		return NULL;
	}
	b = w->idle;
	w->idle = b->next;
	pthread_mutex_unlock(&w->lock);
	b->entries = b->pages = 0;
	w->filling = b;
	return b;
}

static int bounds_check(const uint64_t *pfn, size_t count, struct fm_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (pfn[i] >= PAGES_PFN_END)
			return fm_fail(err, FM_USAGE, "pfn %#llx is out of bounds", (unsigned long long)pfn[i]);
	return 0;
}

int pages_writer_put(struct pages_writer *w, const uint64_t *pfn, const void *data, size_t count, struct fm_error *err)
{
	const unsigned char *page = data;

	if (bounds_check(pfn, count, err) < 0) {
		writer_break(w, err);
		return -1;
	}
	for (size_t i = 0; i < count; i++, page += PAGES_SIZE) {
		struct batch *b = batch_get(w, err);

		if (!b)
			return -1;
		b->pfn[b->entries] = pfn[i];
		if (memcmp(page, pages_zero, PAGES_SIZE) == 0) {
			b->page[b->entries++] = NOT_A_PAGE;
			continue;
		}
		memcpy(b->data + b->pages * PAGES_SIZE, page, PAGES_SIZE);
		b->page[b->entries++] = (uint16_t)b->pages++;
	}
	w->place.counts.put += count;
	return 0;
}

int pages_writer_forget(struct pages_writer *w, const uint64_t *pfn, size_t count, struct fm_error *err)
{
	if (bounds_check(pfn, count, err) < 0) {
		writer_break(w, err);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		struct batch *b = batch_get(w, err);

		if (!b)
			return -1;
		b->pfn[b->entries] = pfn[i];
		b->page[b->entries++] = FORGET;
	}
	return 0;
}

void pages_writer_progress(const struct pages_writer *w, struct pages_progress *progress_r)
{
	const struct place_counts *c = &w->place.counts;

	*progress_r = (struct pages_progress){ .put = c->put, .zero = c->zero, .known = c->known, .stored = c->stored,
					       .stored_bytes = c->stored_bytes };
}

static void threads_end(struct pages_writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (; w->running > 0; w->running--)
		pthread_join(w->thread[w->running - 1].thread, NULL);
}

static void batches_free(struct batch *b)
{
	while (b) {
		struct batch *next = b->next;

		free(b);
		b = next;
	}
}

static void writer_free(struct pages_writer *w)
{
	threads_end(w);
	for (unsigned i = 0; i < w->threads; i++) {
		hasher_dispose(&w->thread[i].hasher);
		pack_scratch_dispose(&w->thread[i].scratch);
	}
	batches_free(w->idle);
	batches_free(w->queue); /* of threads that never started */
	frame_buffers_free(w->frames);
	free(w->filling);
	place_dispose(&w->place);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int pages_writer_finish(struct pages_writer *w, const char *map_path, const void *skeleton, size_t skeleton_size,
			struct pages_saved *saved_r, struct fm_error *err)
{
	int rc;

	memset(saved_r, 0, sizeof(*saved_r));
	if (w->filling)
		batch_submit(w);
	threads_end(w);
	rc = is_broken(w, err);
	if (rc == 0)
		rc = pack_end(&w->thread[0], err);
	if (rc == 0)
		rc = map_write(w->place.map, map_path, skeleton, skeleton_size, &saved_r->map, err);
	if (rc == 0) {
		pages_writer_progress(w, &saved_r->progress);
		saved_r->bytes = w->place.pack_bytes + saved_r->map.bytes;
		saved_r->pages = w->place.map->pages;
		saved_r->memory = w->place.memory;
		saved_r->hash = w->thread[0].hasher.ops->name;
	}
	writer_free(w);
	return rc;
}

void pages_writer_abort(struct pages_writer *w)
{
	struct fm_error why;

	if (!w)
		return;
	fm_fail(&why, FM_FAILED, "given up");
	writer_break(w, &why);
	writer_free(w);
}
