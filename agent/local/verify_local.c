/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify_local.c - the packs that are here already, before a restore relies on them: obtain_verify(). */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/local/obtain_private.h"
#include "common/cleanup.h"

#define THREADS_MAX 64u

struct verifying {
	struct obtain *o;
	const struct missing *packs;
	size_t count, next; /* under the lock */
	bool *good;
	struct fm_error err; /* the first that is no damage; code FM_OK: none */
	pthread_mutex_t lock;
};

static void take_verdict(struct verifying *v, size_t i, int rc, const struct fm_error *err)
{
	pthread_mutex_lock(&v->lock);
	v->good[i] = rc == 0;
	if (rc && err->code == FM_CORRUPT)
		obtain_note(v->o, v->o->conf->node_name, err->text);
	else if (rc && v->err.code == FM_OK)
		v->err = *err;
	pthread_mutex_unlock(&v->lock);
}

static bool next(struct verifying *v, size_t *i_r)
{
	bool more;

	pthread_mutex_lock(&v->lock);
	more = v->next < v->count && v->err.code == FM_OK;
	*i_r = v->next;
	v->next += more;
	pthread_mutex_unlock(&v->lock);
	return more;
}

/* A store is one thread's. */
static void *run(void *arg)
{
	struct verifying *v = arg;
	struct fm_error err;
	struct pages_store *pages = pages_store_open(v->o->access.pages, v->o->job, v->o->access.key, &err);
	struct pages_verdict verdict;
	size_t i;

	while (next(v, &i)) {
		int rc = pages ? pages_pack_verify(pages, v->packs[i].id, &verdict, &err) : -1;

		take_verdict(v, i, rc, &err);
	}
	pages_store_close(pages);
	return NULL;
}

int obtain_verify(struct obtain *o, const struct missing *packs, size_t count, bool *good_r, struct fm_error *err)
{
	struct verifying v = { .o = o, .packs = packs, .count = count, .good = good_r, .lock = PTHREAD_MUTEX_INITIALIZER };
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread[THREADS_MAX];
	unsigned running = 0;

	while (running + 1 < count && running + 1 < THREADS_MAX && (long)running + 1 < processors &&
	       pthread_create(&thread[running], NULL, run, &v) == 0)
		running++;
	run(&v);
	while (running > 0)
		pthread_join(thread[--running], NULL);
	pthread_mutex_destroy(&v.lock);
	if (v.err.code == FM_OK)
		return 0;
	*err = v.err;
	return -1;
}
