/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listing.h - the objects of a level whose names begin alike, in memory: asked for once, looked at often. */
#ifndef FM_STORE_COPIES_LISTING_H
#define FM_STORE_COPIES_LISTING_H

#include "agent/store/folder.h"
#include "agent/store/levels/level.h"

struct listing_object {
	char *name;
	uint64_t bytes;
};

struct listing {
	struct listing_object *object; /* by name */
	size_t count, room;
};

/* Never FM_NOT_FOUND: a place without such objects has an empty listing. Dispose in any case. */
int listing_read(struct listing *l, struct level *level, const char *prefix, struct fm_error *err);
void listing_dispose(struct listing *l);

/* NULL: it is not there. */
const struct listing_object *listing_find(const struct listing *l, const char *name);
/* The first whose name begins so; they follow each other. l->count: none. */
size_t listing_first(const struct listing *l, const char *prefix);

/* Numbers n of a job for which there is an object "<job>/<n>/<name>", ascending. Dispose in any case. */
int listing_numbers(const struct listing *l, uint32_t job, const char *name, struct folder_numbers *numbers_r,
		    struct fm_error *err);

#endif
