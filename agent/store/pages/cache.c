/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache.c - see cache.h. */
#include "config.h"

#include "agent/store/pages/cache.h"

#include <stdlib.h>
#include <string.h>

int cache_init(struct cache *c, size_t entries, size_t frame_bytes, struct fm_error *err)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->loaded, NULL);
	c->entry = calloc(entries, sizeof(*c->entry));
	if (!c->entry)
		return fm_fail(err, FM_FAILED, "out of memory");
	c->entries = entries;
	c->frame_bytes = frame_bytes;
	return 0;
}

void cache_dispose(struct cache *c)
{
	for (size_t i = 0; i < c->entries; i++)
		free(c->entry[i].data);
	free(c->entry);
	pthread_cond_destroy(&c->loaded);
	pthread_mutex_destroy(&c->lock);
}

static struct cache_frame *find(struct cache *c, const struct pack *p, uint32_t frame)
{
	for (size_t i = 0; i < c->entries; i++)
		if (c->entry[i].pack == p && c->entry[i].frame == frame)
			return &c->entry[i];
	return NULL;
}

/* One that nobody holds: a free one, else the one used longest ago. */
static struct cache_frame *victim(struct cache *c)
{
	struct cache_frame *best = NULL;

	for (size_t i = 0; i < c->entries; i++) {
		struct cache_frame *f = &c->entry[i];

		if (f->holders == 0 && (!best || f->used < best->used))
			best = f;
	}
	return best;
}

/* Locked; the lock is given up meanwhile. */
static int load(struct cache *c, struct cache_frame *f, const struct pack *p, uint32_t frame,
		struct pack_scratch *scratch, struct fm_error *err)
{
	int rc;

	f->pack = p;
	f->frame = frame;
	f->loading = true;
	f->holders = 1;
	pthread_mutex_unlock(&c->lock);
	if (!f->data)
		f->data = malloc(c->frame_bytes);
	rc = f->data ? pack_frame_read(p, frame, scratch, f->data, err) : fm_fail(err, FM_FAILED, "out of memory");
	pthread_mutex_lock(&c->lock);
	f->loading = false;
	if (rc < 0) { /* those who wait try themselves, and get the error, too */
		f->pack = NULL;
		f->used = 0;
		f->holders--;
	}
	pthread_cond_broadcast(&c->loaded);
	return rc;
}

struct cache_frame *cache_hold(struct cache *c, const struct pack *p, uint32_t frame, struct pack_scratch *scratch,
			       struct fm_error *err)
{
	struct cache_frame *f;

	pthread_mutex_lock(&c->lock);
	while ((f = find(c, p, frame)) && f->loading)
		pthread_cond_wait(&c->loaded, &c->lock);
	if (f) {
		f->holders++;
	} else {
		f = victim(c);
		if (load(c, f, p, frame, scratch, err) < 0)
			f = NULL;
	}
	if (f)
		f->used = ++c->clock;
	pthread_mutex_unlock(&c->lock);
	return f;
}

void cache_release(struct cache *c, struct cache_frame *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&c->lock);
	f->holders--;
	pthread_mutex_unlock(&c->lock);
}
