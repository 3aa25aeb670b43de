/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetch_private.h - between fetch.c (a file) and fetch_snapshot.c (which files). */
#ifndef FM_STORE_COPIES_FETCH_PRIVATE_H
#define FM_STORE_COPIES_FETCH_PRIVATE_H

#include "agent/store/copies/fetch.h"
#include "agent/store/copies/record.h"
#include "agent/store/pages/pages.h"

/* What is wanted: an object, and the file of the same name below StoreDir. */
struct want {
	const char *object;
	const struct level_object *expected;                                        /* may be NULL */
	int (*check)(void *arg, const char *path, struct fm_error *err);            /* what came; may be NULL */
	int (*is_fine)(const struct want *w, const char *path, struct fm_error *err); /* what another has fetched; may be NULL */
	void *arg;
	bool new_only; /* what is in its place by now stays */
};

/* To a path; nothing else. f is added to. */
int fetch_to(struct site *site, const struct want *w, const char *path, struct fetched *f, struct fm_error *err);
/* To its place, alone; the job's folder must be there. */
int fetch_once(struct site *site, uint32_t job, const struct want *w, struct fetched *f, struct fm_error *err);

/* fetch_find() of one by its number. */
struct json_object *fetch_find_one(struct site *site, const struct fm_snapshot_id *id, struct fetched *f,
				   struct fm_error *err);

/* Why each level did not have it, put together. */
#define BLAME_EACH 240
struct blame {
	enum fm_code code; /* of the first that could not be asked; else of one that is damaged; else FM_NOT_FOUND */
	char text[600];
};
void fetch_blame(struct blame *b, const char *name, const struct fm_error *why);

#endif
