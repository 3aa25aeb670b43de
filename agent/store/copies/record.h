/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - what StoreDir knows of a job's copies on its levels.
 *
 *	<store>/<job>/levels.lock	held by whoever changes the job's objects on levels: one at a time, on any node
 *	<store>/<job>/<n>/levels.json	{levels:[{name, where, state, since, bytes, done?, total?, error?, code?}]}
 *	<store>/<job>/removed.<n>	snapshot n was removed on purpose: it is to go from the levels, too
 *	<store>/<job>/.stage.XXXXXX	a folder of work, locked by its owner
 *
 * A record is what was true when it was written, for people and to know what is left to do; what a level has is for the
 * level to say. A snapshot that StoreDir has not, and that has no removed.<n>, was lost, not removed: nothing of it is
 * ever taken from a level.
 */
#ifndef FM_STORE_COPIES_RECORD_H
#define FM_STORE_COPIES_RECORD_H

#include <stdbool.h>

#include "agent/store/copies/site.h"
#include "agent/store/folder.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/* ---- the lock ---- */

/* A descriptor to close; FM_BUSY: somebody has it; FM_NOT_FOUND: there is no folder of this job. */
int record_lock(const char *store, uint32_t job, struct fm_error *err);

/* ---- what was copied ---- */

/* The entry of a level, NULL: there is none. where: what it must be of (NULL: any). The record's. */
struct json_object *record_entry(struct json_object *record, const char *name, const char *where);
/* An object; empty where there is none, or none that can be read. Caller puts it. */
struct json_object *record_read(const char *store, const struct fm_snapshot_id *id);
/* Set one level's entry, which is taken. FM_NOT_FOUND: the snapshot is not there (any more). */
int record_write(const char *store, const struct fm_snapshot_id *id, struct json_object *entry, struct fm_error *err);
/* {name, where, state, since: now}; caller adds to it. */
struct json_object *record_new(const struct site *site, size_t i, const char *state);

/*
 * For the API: [{name, where, state:"waiting"|"copying"|"whole"|"failed"|"damaged", since?, bytes?, done?, total?, error?}],
 * one for each configured level. Caller puts it; NULL without levels.
 */
struct json_object *record_describe(const struct fm_conf *conf, const struct fm_snapshot_id *id);

/* ---- what was removed ---- */

/* Durable. Before the snapshot is removed from StoreDir; makes the job's folder if there is none. */
int record_removing(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);
/* 1: it was removed, and is to go from the levels; 0; -1. */
int record_is_removed(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);
/* Those for which that is so; void ones (the removal did not come to pass) go. Dispose in any case. */
int record_removed(const char *store, uint32_t job, struct folder_numbers *numbers_r, struct fm_error *err);
int record_removed_done(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

/* ---- a folder of work in the job's folder, so on StoreDir's file system ---- */

struct stage {
	char *path; /* NULL: none */
	int fd;     /* holds its lock */
};

/* The job's folder must be there. What dead owners have left is removed. */
int stage_make(struct stage *stage, const char *store, uint32_t job, struct fm_error *err);
void stage_remove(struct stage *stage); /* twice is fine */

#endif
