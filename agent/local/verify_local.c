/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify_local.c - see verify_local.h; and the packs that are here already, before a restore relies on them: obtain_verify(). */
#include "config.h"

#include "agent/local/verify_local.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/local/obtain_private.h"
#include "common/cleanup.h"

#define THREADS_MAX 64u

struct verifying {
	const struct packs_verify *v;
	size_t next; /* under the lock, as `over` */
	bool over;
	pthread_mutex_t lock;
};

static bool next(struct verifying *v, size_t *i_r)
{
	bool more;

	pthread_mutex_lock(&v->lock);
	more = v->next < v->v->count && !v->over;
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
	struct pages_store *pages = pages_store_open(v->v->pages, v->v->job, v->v->key, &err);
	size_t i;

	while (next(v, &i)) {
		struct pages_verdict verdict = { 0 };
		int rc = pages ? pages_pack_verify(pages, v->v->id(v->v->arg, i), &verdict, &err) : -1;

		pthread_mutex_lock(&v->lock);
		v->over = !v->v->each(v->v->arg, i, rc, &verdict, &err) || v->over;
		pthread_mutex_unlock(&v->lock);
	}
	pages_store_close(pages);
	return NULL;
}

void packs_verify(const struct packs_verify *packs)
{
	struct verifying v = { .v = packs, .lock = PTHREAD_MUTEX_INITIALIZER };
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread[THREADS_MAX];
	unsigned running = 0;

	while (running + 1 < packs->count && running + 1 < THREADS_MAX && (long)running + 1 < processors &&
	       pthread_create(&thread[running], NULL, run, &v) == 0)
		running++;
	run(&v);
	while (running > 0)
		pthread_join(thread[--running], NULL);
	pthread_mutex_destroy(&v.lock);
}

/* ---- for a restore ------------------------------------------------------------------------------------- */

struct looking {
	struct obtain *o;
	const struct missing *packs;
	bool *good;
	struct fm_error err; /* the first that is no damage; code FM_OK: none */
};

static const char *missing_id(const void *arg, size_t i)
{
	const struct looking *l = arg;

	return l->packs[i].id;
}

static bool take_verdict(void *arg, size_t i, int rc, const struct pages_verdict *verdict, const struct fm_error *err)
{
	struct looking *l = arg;

	(void)verdict;
	l->good[i] = rc == 0;
	if (rc && err->code == FM_CORRUPT)
		obtain_note(l->o, l->o->conf->node_name, err->text);
	else if (rc)
		l->err = *err;
	return l->err.code == FM_OK;
}

int obtain_verify(struct obtain *o, const struct missing *packs, size_t count, bool *good_r, struct fm_error *err)
{
	struct looking l = { .o = o, .packs = packs, .good = good_r };

	packs_verify(&(struct packs_verify){ o->access.pages, o->job, o->access.key, count, missing_id, take_verdict, &l });
	if (l.err.code == FM_OK)
		return 0;
	*err = l.err;
	return -1;
}
