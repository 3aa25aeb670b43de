/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader.c - threads that run read jobs, ahead of who wants the pages in order, or at a request.
 *
 * A ring of jobs goes through the map in the order of the pfns: the threads take them as they come, the caller gets
 * them in that order.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/pages/read_job.h"
#include "common/cleanup.h"

#define CACHE_DEFAULT ((size_t)64 << 20)

/* A job with room of its own. */
struct ahead {
	struct read_job job;
	uint64_t pfn[PAGES_BATCH];
	const void *page[PAGES_BATCH];
	unsigned char data[PAGES_BATCH * 4096];
};

struct reader_thread {
	struct pages_reader *reader;
	pthread_t thread;
	struct hasher hasher;
	struct pack_scratch scratch;
};

struct pages_reader {
	struct read_source source;
	unsigned threads, running;
	struct store_locks locks; /* shared with writers: no sweep */
	struct reader_thread thread[PAGES_THREADS_MAX];
	struct ahead **ring; /* made when pages are wanted in order */
	size_t rings, head;  /* the caller has, or wants, ring[head] */
	uint64_t pfn;        /* where reading ahead goes on */
	bool out;            /* the caller has ring[head] */
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct read_job *queue, **queue_end;
	bool ended;
};

static void *thread_run(void *data)
{
	struct reader_thread *t = data;
	struct pages_reader *r = t->reader;

	pthread_mutex_lock(&r->lock);
	while (!r->ended) {
		struct read_job *j = r->queue;

		if (!j) {
			pthread_cond_wait(&r->work, &r->lock);
			continue;
		}
		if (!(r->queue = j->next))
			r->queue_end = &r->queue;
		pthread_mutex_unlock(&r->lock);
		read_job_run(&r->source, j, &t->hasher, &t->scratch);
		pthread_mutex_lock(&r->lock);
		j->done = true;
		pthread_cond_broadcast(&r->done);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static void submit(struct pages_reader *r, struct read_job *j)
{
	j->next = NULL;
	j->done = false;
	pthread_mutex_lock(&r->lock);
	*r->queue_end = j;
	r->queue_end = &j->next;
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
}

static void await(struct pages_reader *r, struct read_job *j)
{
	pthread_mutex_lock(&r->lock);
	while (!j->done)
		pthread_cond_wait(&r->done, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static int threads_start(struct pages_reader *r, const char *hash, const struct pages_key *key, struct fm_error *err)
{
	for (unsigned i = 0; i < r->threads; i++) {
		r->thread[i].reader = r;
		if (hasher_init(&r->thread[i].hasher, hash, key, err) < 0 ||
		    pack_scratch_init(&r->thread[i].scratch, err) < 0)
			return -1;
	}
	for (; r->running < r->threads; r->running++)
		if (pthread_create(&r->thread[r->running].thread, NULL, thread_run, &r->thread[r->running]) != 0)
			return fm_fail(err, FM_FAILED, "cannot start a thread");
	return 0;
}

static unsigned processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > (long)PAGES_THREADS_MAX ? PAGES_THREADS_MAX : (unsigned)n;
}

struct pages_reader *pages_reader_create(struct pages_store *s, const struct pages_map *m,
					 const struct pages_reader_options *o, struct fm_error *err)
{
	struct pages_reader *r;

	if (m->job != s->job || o->threads > PAGES_THREADS_MAX) {
		fm_fail(err, FM_USAGE, "a page reader: the map is of job %u, the store of %u; %u threads", m->job,
			s->job, o->threads);
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->work, NULL);
	pthread_cond_init(&r->done, NULL);
	r->locks = (struct store_locks)STORE_UNLOCKED;
	r->queue_end = &r->queue;
	r->threads = o->threads ? o->threads : processors();
	if (store_lock_to_read(s, &r->locks, err) == 0 && /* before the packs are looked at */
	    read_source_init(&r->source, s, m, o->cache_bytes ? o->cache_bytes : CACHE_DEFAULT, r->threads, err) == 0 &&
	    threads_start(r, o->hash, s->key, err) == 0)
		return r;
	pages_reader_destroy(r);
	return NULL;
}

void pages_reader_destroy(struct pages_reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_cond_broadcast(&r->work);
	pthread_mutex_unlock(&r->lock);
	for (; r->running > 0; r->running--)
		pthread_join(r->thread[r->running - 1].thread, NULL);
	for (unsigned i = 0; i < r->threads; i++) {
		hasher_dispose(&r->thread[i].hasher);
		pack_scratch_dispose(&r->thread[i].scratch);
	}
	for (size_t i = 0; i < r->rings; i++)
		free(r->ring[i]);
	free(r->ring);
	read_source_dispose(&r->source);
	store_unlock(&r->locks);
	pthread_cond_destroy(&r->done);
	pthread_cond_destroy(&r->work);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* The next pfns into it; without any it is done at once. */
static void ahead_fill(struct pages_reader *r, struct ahead *a)
{
	a->job.count = 0;
	while (a->job.count < PAGES_BATCH &&
	       (r->pfn = map_next(r->source.map, r->pfn)) < PAGES_PFN_END)
		a->pfn[a->job.count++] = r->pfn++;
	a->job.done = true;
	a->job.err.code = FM_OK;
	if (a->job.count > 0)
		submit(r, &a->job);
}

static int ring_make(struct pages_reader *r, struct fm_error *err)
{
	size_t wanted = 2 * r->threads + 1;

	r->ring = calloc(wanted, sizeof(*r->ring));
	for (; r->ring && r->rings < wanted; r->rings++) {
		struct ahead *a = malloc(sizeof(*a));

		if (!a)
			return fm_fail(err, FM_FAILED, "out of memory");
		a->job = (struct read_job){ .pfn = a->pfn, .page = a->page, .data = a->data };
		r->ring[r->rings] = a;
	}
	if (!r->ring)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < r->rings; i++)
		ahead_fill(r, r->ring[i]);
	return 0;
}

int pages_reader_next(struct pages_reader *r, struct pages_batch *batch_r, struct fm_error *err)
{
	struct ahead *a;

	if (!r->ring && ring_make(r, err) < 0)
		return -1;
	if (r->out) {
		ahead_fill(r, r->ring[r->head]);
		r->head = (r->head + 1) % r->rings;
		r->out = false;
	}
	a = r->ring[r->head];
	await(r, &a->job);
	if (a->job.err.code != FM_OK) { /* stays there: the next call says the same */
		*err = a->job.err;
		return -1;
	}
	if (a->job.count == 0)
		return 0;
	r->out = true;
	*batch_r = (struct pages_batch){ .count = a->job.count, .pfn = a->pfn, .page = a->page };
	return 1;
}

int pages_reader_fetch(struct pages_reader *r, const uint64_t *pfn, size_t count, void *data, struct fm_error *err)
{
	size_t jobs = (count + PAGES_BATCH - 1) / PAGES_BATCH;
	FM_AUTO_FREE struct read_job *job = calloc(jobs + 1, sizeof(*job));
	int rc = 0;

	if (!job)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < jobs; i++) {
		size_t first = i * PAGES_BATCH;

		job[i].pfn = pfn + first;
		job[i].count = count - first < PAGES_BATCH ? count - first : PAGES_BATCH;
		job[i].data = (unsigned char *)data + first * PAGES_SIZE;
		submit(r, &job[i]);
	}
	for (size_t i = 0; i < jobs; i++) {
		await(r, &job[i]);
		if (rc == 0 && job[i].err.code != FM_OK) {
			*err = job[i].err;
			rc = -1;
		}
	}
	return rc;
}
