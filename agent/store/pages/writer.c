/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer.c - pages in, packs and a map out: the caller's side.
 *
 * Zero pages are told apart and the rest is copied into a batch; a full batch goes to the threads (writer_threads.c).
 * Memory is bounded by the number of batches: the caller waits for one. The first error is kept: the threads then only
 * empty the queues.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/writer_private.h"
#include "common/cleanup.h"

int pages_writer_check(struct pages_writer *w, struct fm_error *err)
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
	struct store_locks locks;
	struct pages_writer *w;

	if (options_check(&o, err) < 0)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	/* The lock before what is there is looked at. */
	if (store_lock(s, &locks, err) < 0 || store_sync_name(s, err) < 0 ||
	    store_scan(s, o.parent, o.packs_most, err) < 0) {
		store_unlock(&locks);
		free(w);
		return NULL;
	}
	w->locks = locks;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->room, NULL);
	w->queue_end = &w->queue;
	w->frames_end = &w->frames;
	w->codec = o.codec;
	w->level = o.level;
	w->threads = o.threads;
	w->nice = o.nice;
	w->claims = o.claims;
	if (place_init(&w->place, s, &o, err) == 0 && writer_threads_start(w, o.hash, err) == 0)
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
	if (!w->idle) {
		writer_go_on(w);
		w->waiting = true;
		while (!w->idle && w->broken.code == FM_OK)
			pthread_cond_wait(&w->room, &w->lock);
		w->waiting = false;
		w->paused = w->pause_next;
		w->pause_next = false;
	}
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

void pages_writer_pause(struct pages_writer *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->waiting) /* for the threads: they may not rest before it has its room */
		w->pause_next = true;
	else
		w->paused = true;
	pthread_mutex_unlock(&w->lock);
}

void pages_writer_progress(const struct pages_writer *w, struct pages_progress *progress_r)
{
	const struct place_counts *c = &w->place.counts;

	*progress_r = (struct pages_progress){ .put = c->put, .zero = c->zero, .known = c->known, .stored = c->stored,
					       .stored_bytes = c->stored_bytes };
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
	writer_threads_end(w);
	for (unsigned i = 0; i < w->threads; i++) {
		hasher_dispose(&w->thread[i].hasher);
		pack_scratch_dispose(&w->thread[i].scratch);
	}
	batches_free(w->idle);
	batches_free(w->queue); /* of threads that never started */
	frame_buffers_free(w->frames);
	free(w->filling);
	free(w->ask);
	free(w->others);
	place_dispose(&w->place);
	store_unlock(&w->locks);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static int seal(struct pages_writer *w, struct fm_error *err)
{
	if (w->filling)
		batch_submit(w);
	writer_threads_end(w);
	if (pages_writer_check(w, err) < 0)
		return -1;
	if (writer_pack_end(&w->thread[0], err) < 0) {
		writer_break(w, err);
		return -1;
	}
	w->sealed = true;
	return 0;
}

int pages_writer_settle(struct pages_writer *w, struct fm_error *err)
{
	if (!w->sealed && seal(w, err) < 0)
		return -1;
	return place_settle(&w->place, err);
}

int pages_writer_finish(struct pages_writer *w, const char *map_path, const void *skeleton, size_t skeleton_size,
			struct pages_saved *saved_r, struct fm_error *err)
{
	int rc;

	memset(saved_r, 0, sizeof(*saved_r));
	rc = pages_writer_settle(w, err);
	if (rc == 0)
		fm_fail(err, FM_FAILED, "%u pages that other members were to write are in no pack", w->place.claimed.count);
	rc = rc == 1 ? 0 : -1;
	if (rc == 0)
		rc = map_write(w->place.map, map_path, w->place.store->key, skeleton, skeleton_size, &saved_r->map,
			       err);
	if (rc == 0) {
		pages_writer_progress(w, &saved_r->progress);
		saved_r->bytes = w->place.pack_bytes + saved_r->map.bytes;
		saved_r->pages = w->place.map->pages;
		saved_r->memory = w->place.memory;
		saved_r->others = w->place.claimed.count;
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
