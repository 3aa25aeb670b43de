/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * read_job.h - some pages to be read, and what it needs: the packs, open for frames (page store only).
 */
#ifndef FM_STORE_PAGES_READ_JOB_H
#define FM_STORE_PAGES_READ_JOB_H

#include "agent/store/pages/cache.h"
#include "agent/store/pages/hash.h"
#include "agent/store/pages/map.h"
#include "agent/store/pages/store_private.h"

struct read_job {
	struct read_job *next;
	const uint64_t *pfn;
	size_t count;        /* at most PAGES_BATCH */
	unsigned char *data; /* room for them */
	const void **page;   /* each page, within data or pages_zero; NULL: all into data, zeros too */
	bool done;
	struct fm_error err; /* FM_OK: the pages are there, and right */
};

/* What all threads of a reader share; not changed while they run, but for the cache. */
struct read_source {
	const struct pages_map *map;
	struct pack **pack; /* of each of the map's packs */
	size_t packs;
	struct pack **other; /* all others of the job, where pages of these have moved; usually none */
	size_t others;
	struct cache cache;
};

/* Open and check the packs. */
int read_source_init(struct read_source *s, const struct pages_store *store, const struct pages_map *m,
		     size_t cache_bytes, unsigned threads, struct fm_error *err);
void read_source_dispose(struct read_source *s);

/* Run it; the verdict is in j->err. */
void read_job_run(struct read_source *s, struct read_job *j, struct hasher *hasher, struct pack_scratch *scratch);

#endif
