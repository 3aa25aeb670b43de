/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * folder.h - the numbered folders of a job and of the store (store only).
 *
 * A snapshot's folder is in one of four states: whole (it has a manifest),
 * left over (it has none), removed (its manifest is called manifest.removed; what
 * is left is to go), or gone (renamed to ".<n>.gone" and being removed, which no
 * listing sees).  The highest number of a job is never removed, only
 * emptied: it is what keeps numbers from being given twice.
 */
#ifndef FM_STORE_FOLDER_H
#define FM_STORE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/snapshot_id.h"

struct folder_numbers {
	uint32_t *values; /* ascending */
	size_t count;
};

/* "<store>/<job>"; caller frees. */
char *folder_job(const char *store, uint32_t job, struct fm_error *err);
/* "<store>/<job>/<n>/<name>"; caller frees. */
char *folder_path(const char *store, const struct fm_snapshot_id *id, const char *name,
		  struct fm_error *err);

/* The sub-folders of path whose names are plain decimal numbers; none when path is missing. Dispose in any case. */
int folder_numbers(const char *path, struct folder_numbers *numbers_r, struct fm_error *err);
void folder_numbers_dispose(struct folder_numbers *numbers);

/* 1 whole, 0 not, -1 cannot tell. */
int folder_is_whole(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);
/* 1 removed: nothing in it is needed; 0 not, -1 cannot tell. */
int folder_is_removed(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

/* Finish the removals in this job that a crash has cut short. */
int folder_settle(const char *store, uint32_t job, struct fm_error *err);
/* The job's folder with all that is in it, out of sight at once. */
int folder_remove_job(const char *store, uint32_t job, struct fm_error *err);

#endif
