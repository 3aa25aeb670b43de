/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify_private.h - between verify.c (StoreDir, and what is made of it) and verify_level.c (a level). */
#ifndef FM_STORE_COPIES_VERIFY_PRIVATE_H
#define FM_STORE_COPIES_VERIFY_PRIVATE_H

#include "agent/store/access.h"
#include "agent/store/copies/contents.h"
#include "agent/store/copies/verify.h"
#include "agent/store/pages/pages.h"

/* One place as it is being looked at. */
struct verdict {
	struct json_object *o, *damaged;
	uint64_t bytes;
	int64_t files, begun_ms;
	bool bad;
};

struct verify {
	struct site *site;
	struct fm_snapshot_id id;
	bool repair;
	struct json_object *manifest;
	struct store_access access;
	struct pages_store *pages; /* StoreDir's */
	struct contents packs;     /* that the members need, as far as their maps say */
	struct json_object *levels;
	const struct verify_beside *beside; /* NULL: there are none */
	size_t to_come;  /* packs */
	bool store_good; /* StoreDir has all of it */
	bool store_bad;  /* something that it is said to have is not as it was */
	bool good;
};

struct verdict verdict_begin(const char *name, const char *where);
void verdict_read(struct verdict *v, uint64_t bytes);
/* file: as levels name it, "<job>/…". The entry; the verdict's. */
struct json_object *verdict_damaged(struct verdict *v, const char *file, const struct fm_error *why);
/* Into list, with the state: NULL: "whole" or "damaged". */
void verdict_end(struct verdict *v, const char *state, const struct fm_error *why, struct json_object *list);

/* Look at level i; repair it, if that is wanted. */
void verify_level(struct verify *v, size_t i);

#endif
