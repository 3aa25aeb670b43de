/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer_threads.c - what the threads of a page writer do.
 *
 *	queue ─▶ hash a batch ─▶ hashed ─▶ place batches, in the order they were put ─▶ frames ─▶ compress, write
 *
 * Each thread does whatever of that there is to do, the last step first, and waits for nobody: one that loses the
 * processor in the middle of something holds up only what depends on it. Batches are placed by one thread at a time
 * and in order, so the last of a repeated pfn counts.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/store/pages/writer_private.h"

void writer_break(struct pages_writer *w, const struct fm_error *why)
{
	pthread_mutex_lock(&w->lock);
	if (w->broken.code == FM_OK)
		w->broken = *why;
	pthread_cond_broadcast(&w->room);
	pthread_mutex_unlock(&w->lock);
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
int writer_pack_end(struct writer_thread *t, struct fm_error *err)
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

/* New pages of a run of batches, whichever others may be writing just now: asked once for all of them. */
static int run_ask(struct writer_thread *t, const struct batch *run, struct fm_error *err)
{
	struct pages_writer *w = t->writer;
	size_t count = 0;

	for (const struct batch *b = run; b; b = b->next)
		for (unsigned i = 0; i < b->entries; i++) {
			int known;

			if (b->page[i] >= FORGET)
				continue;
			known = place_knows(&w->place, b->pfn[i], b->hash[b->page[i]], err);
			if (known < 0)
				return -1;
			if (!known)
				memcpy(w->ask[count++], b->hash[b->page[i]], 32);
		}
	if (count == 0)
		return 0;
	memset(w->others, 0, count * sizeof(*w->others));
	w->claims->ask(w->claims->data, (const uint8_t (*)[32])w->ask, count, w->others);
	for (size_t i = 0; i < count; i++)
		if (w->others[i] && place_leave(&w->place, w->ask[i], err) < 0)
			return -1;
	return 0;
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
			r = writer_pack_end(t, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int run_place(struct writer_thread *t, const struct batch *run, struct fm_error *err)
{
	struct pages_writer *w = t->writer;

	if (w->claims && run_ask(t, run, err) < 0)
		return -1;
	for (const struct batch *b = run; b; b = b->next) {
		pthread_mutex_lock(&w->lock);
		while (w->paused && w->broken.code == FM_OK)
			pthread_cond_wait(&w->work, &w->lock);
		pthread_mutex_unlock(&w->lock);
		if (batch_place(t, b, err) < 0)
			return -1;
		pthread_mutex_lock(&w->lock);
		frames_add(w, place_take_full(&w->place)); /* others may go on with them */
		pthread_cond_broadcast(&w->work);
		pthread_mutex_unlock(&w->lock);
	}
	return 0;
}

/* Those that are next, one behind the other. Locked. */
static struct batch *run_take(struct pages_writer *w)
{
	struct batch *first = w->hashed, *last = first;
	unsigned most = w->claims ? RUN_MOST : 1;

	while (--most > 0 && last->next && last->next->turn == last->turn + 1)
		last = last->next;
	w->hashed = last->next;
	last->next = NULL;
	return first;
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
		*batch_r = run_take(w);
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
	return task == TASK_PLACE ? run_place(t, b, err) : batch_hash(t, b, err);
}

/* It is done: hand on what came of it. Locked. */
static void task_end(struct pages_writer *w, enum task task, struct batch *b)
{
	if (task == TASK_HASH) {
		hashed_add(w, b);
	} else if (task == TASK_PLACE) {
		frames_add(w, place_take_full(&w->place));
		w->placing = false;
		while (b) {
			struct batch *next = b->next;

			w->turn++;
			b->next = w->idle;
			w->idle = b;
			b = next;
		}
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

void writer_go_on(struct pages_writer *w)
{
	if (w->paused)
		pthread_cond_broadcast(&w->work);
	w->paused = false;
}

static void *thread_run(void *data)
{
	struct writer_thread *t = data;
	struct pages_writer *w = t->writer;

	if (w->nice)
		setpriority(PRIO_PROCESS, 0, w->nice); /* on Linux this is the thread's alone */
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct frame_buffer *f = NULL;
		struct batch *b = NULL;
		enum task task = w->paused ? TASK_NONE : task_take(w, &f, &b);
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

static int ask_room(struct pages_writer *w, struct fm_error *err)
{
	size_t most = (size_t)RUN_MOST * PAGES;

	if (!w->claims)
		return 0;
	w->ask = malloc(most * sizeof(*w->ask));
	w->others = malloc(most * sizeof(*w->others));
	return w->ask && w->others ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

int writer_threads_start(struct pages_writer *w, const char *hash, struct fm_error *err)
{
	unsigned batches = w->claims ? BATCHES_ASK : BATCHES;

	if (ask_room(w, err) < 0)
		return -1;
	for (unsigned i = 0; i < w->threads; i++) {
		struct writer_thread *t = &w->thread[i];
		struct batch *b;

		t->writer = w;
		if (hasher_init(&t->hasher, hash, w->place.store->key, err) < 0 || pack_scratch_init(&t->scratch, err) < 0)
			return -1;
		for (unsigned n = 0; n < batches + (i == 0); n++) { /* one for the caller to fill */
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

void writer_threads_end(struct pages_writer *w)
{
	pthread_mutex_lock(&w->lock);
	writer_go_on(w);
	w->ended = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (; w->running > 0; w->running--)
		pthread_join(w->thread[w->running - 1].thread, NULL);
}
