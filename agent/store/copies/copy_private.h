/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copy_private.h - between copy.c (sends) and copy_plan.c (finds out what). */
#ifndef FM_STORE_COPIES_COPY_PRIVATE_H
#define FM_STORE_COPIES_COPY_PRIVATE_H

#include "agent/store/access.h"
#include "agent/store/copies/contents.h"
#include "agent/store/copies/copy.h"
#include "agent/store/copies/listing.h"
#include "agent/store/copies/record.h"
#include "agent/store/pages/pages.h"

/* A pack to be sent; it lies in the stage as "<id>.pack". */
struct planned {
	char id[65];
	bool again;    /* it is there, damaged */
	bool in_place; /* it lies in the job's pages */
};

struct copy {
	struct site *site;
	struct level *level;
	struct fm_snapshot_id id;
	const struct copy_calls *calls;
	struct json_object *manifest;
	struct store_access access;
	struct pages_store *pages;
	struct listing listing;   /* of the job, on the level */
	struct contents list;     /* what the level needs of packs, and in which sizes */
	struct contents there;    /* the list that is there */
	struct contents known;    /* what all lists of the job on the level say, as far as they were read */
	struct planned *planned;
	size_t planned_count;
	struct stage stage;
	int hold; /* -1; else no sweep until it is closed: where files cannot be linked */
	struct copy_progress progress;
};

/* All of the above. FM_NOT_FOUND: the snapshot is gone. */
int copy_plan(struct copy *c, struct fm_error *err);
void copy_dispose(struct copy *c);

/* What failed because a file was not found: if the snapshot has gone, that is it. -1. */
int copy_gone(const struct copy *c, struct fm_error *err);

/* Its name is this snapshot's alone, and an object is whole or not there: in its size it is the one. */
bool copy_has_file(const struct copy *c, const char *object, const struct store_file *file);

int copy_put(struct copy *c, const char *object, const char *path, const struct level_object *what, struct fm_error *err);

#endif
