/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fetch.h - what StoreDir has lost, back from the nearest level that has it.
 *
 * What is fetched is verified, made durable and put in its place, so it is a repair: the next reader finds it there. Of
 * several that need a file at once, on any nodes, one fetches it. Levels are asked in order; what none has is an error
 * that names the file and says of each level why not. What was removed on purpose (record.h) is not found.
 */
#ifndef FM_STORE_COPIES_FETCH_H
#define FM_STORE_COPIES_FETCH_H

#include "agent/store/access.h"
#include "agent/store/copies/site.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/* What was fetched so far; all zeros at first. */
struct fetched {
	unsigned files;
	uint64_t bytes;
	size_t far; /* 1 + number of the farthest level that something came from; 0: nothing did */
};

/* "store", or the name of the farthest level that something came from. */
const char *fetched_from(const struct site *site, const struct fetched *f);

/* Pack `id` of the job is missing or damaged: get it. Whoever reads packs and misses one comes here. */
int fetch_pack(struct site *site, const struct store_access *access, const char id[65], struct fetched *f,
	       struct fm_error *err);

/* A file of the job's folder, "<job>/<…>", which must be this (NULL: what is there says what it must be). */
int fetch_file(struct site *site, uint32_t job, const char *object, const struct level_object *expected,
	       struct fetched *f, struct fm_error *err);

/* A snapshot's manifest, checked, from the nearest level that has it; nothing is put anywhere. level_r may be NULL. Caller puts it. */
struct json_object *fetch_manifest(struct site *site, const struct fm_snapshot_id *id, size_t *level_r, struct fm_error *err);

/*
 * store_manifest() for who wants to restore: where StoreDir does not have it whole (but for its pages), it is brought
 * back: members' files, the job's script and key, the manifest last. id->n 0: the newest there is, in StoreDir or on a
 * level. FM_NOT_FOUND only when StoreDir and all levels have said that there is none.
 */
struct json_object *fetch_find(struct site *site, struct fm_snapshot_id *id, struct fetched *f, struct fm_error *err);

/* The job's key, if it is missing and a level has one. */
int fetch_key(struct site *site, uint32_t job, struct fetched *f, struct fm_error *err);

/* A member's held frames could not be read: them, and the job's key, if they are missing or damaged. */
struct store_file;
int fetch_held(struct site *site, const struct fm_snapshot_id *id, const struct store_file *held, struct fetched *f,
	       struct fm_error *err);

/* A member could not be read: look at each file that it needs, and fetch what is missing or damaged. f->files counts. */
int fetch_member(struct site *site, const struct fm_snapshot_id *id, unsigned rank, struct fetched *f, struct fm_error *err);

#endif
