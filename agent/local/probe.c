/* SPDX-License-Identifier: GPL-2.0-or-later */
/* probe.c - see probe.h. */
#include "config.h"

#include "agent/local/probe.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/local/place.h"
#include "agent/local/remote.h"
#include "common/cleanup.h"
#include "common/io.h"

#define THREADS 64u

struct probe {
	const struct fm_conf *conf;
	const struct placement *record;
	size_t next, bad; /* under the lock */
	struct fm_error why;
	pthread_mutex_t lock;
};

/* A repair may have taken it from StoreDir, where it had been written anew; not where there is parity of its bytes. */
static bool is_right(const struct probe *p, const struct placement_pack *pack, uint64_t bytes)
{
	FM_AUTO_FREE char *shared = NULL;
	struct stat st;

	if (bytes == pack->bytes)
		return true;
	shared = fm_format("%s/%" PRIu32 "/pages/%s" LOCAL_PACK_SUFFIX, p->conf->store_dir, p->record->job, pack->id);
	return !p->record->k && shared && lstat(shared, &st) == 0;
}

static int look_here(const struct probe *p, const struct placement_pack *pack, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/pages/%s" LOCAL_PACK_SUFFIX, p->conf->local_dir, p->record->job, pack->id);
	struct stat st;

	if (path && lstat(path, &st) == 0 && is_right(p, pack, (uint64_t)st.st_size))
		return 0;
	return fm_fail(err, FM_NOT_FOUND, "node %s: pack %.16s… is missing", p->conf->node_name, pack->id);
}

static int ask(const struct probe *p, struct remotes *remotes, const struct placement_member *m, const struct placement_pack *pack,
	       struct fm_error *err)
{
	FM_AUTO_FREE char *name = fm_format("%s" LOCAL_PACK_SUFFIX, pack->id);
	uint64_t bytes;

	if (!name)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (strcmp(m->node, p->conf->node_name) == 0)
		return look_here(p, pack, err);
	if (remote_size(remotes, m->node, p->record->job, "pages", name, &bytes, err))
		return -1;
	return is_right(p, pack, bytes) ? 0 : fm_fail(err, FM_CORRUPT, "node %s: pack %.16s… has %" PRIu64 " bytes, not %" PRIu64,
						 m->node, pack->id, bytes, pack->bytes);
}

/* needs of 0 bytes are other nodes'. */
static int ask_member(const struct probe *p, const struct placement_member *m, struct fm_error *err)
{
	struct remotes *remotes = remotes_create(p->conf, err);
	int rc = remotes ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < m->needs.count; i++)
		if (m->needs.pack[i].bytes)
			rc = ask(p, remotes, m, &m->needs.pack[i], err);
	remotes_destroy(remotes);
	return rc;
}

static void *run(void *arg)
{
	struct probe *p = arg;

	for (;;) {
		struct fm_error err;
		size_t i;

		pthread_mutex_lock(&p->lock);
		i = p->next++;
		pthread_mutex_unlock(&p->lock);
		if (i >= p->record->members)
			return NULL;
		if (ask_member(p, &p->record->member[i], &err) == 0)
			continue;
		pthread_mutex_lock(&p->lock);
		if (p->bad++ == 0)
			p->why = err;
		pthread_mutex_unlock(&p->lock);
	}
}

void local_probe(const struct fm_conf *conf, const struct placement *r, struct level_progress *level)
{
	struct probe p = { .conf = conf, .record = r, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread[THREADS];
	unsigned running = 0;

	if (r->members > PROBE_NODES_MAX)
		return;
	while (running < THREADS && running + 1 < r->members && pthread_create(&thread[running], NULL, run, &p) == 0)
		running++;
	run(&p);
	while (running > 0)
		pthread_join(thread[--running], NULL);
	pthread_mutex_destroy(&p.lock);
	if (!p.bad)
		return;
	level->state = LEVEL_FAILED;
	snprintf(level->error, sizeof(level->error), "%.400s%s", p.why.text, p.bad > 1 ? ", and others" : "");
}
