/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retain.h - retention: remove a job's snapshots by rule (retain_plan.h), then sweep its packs (sweep.h).
 *
 * Whole is here a snapshot whose manifest verifies and whose files are there in their sizes: one that lost a file must
 * not push out the last good one. Everything blocks; in a process of its own, as a sweep.
 */
#ifndef FM_STORE_RETAIN_H
#define FM_STORE_RETAIN_H

#include "agent/store/retain_plan.h"
#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

struct retain_options {
	const char *key_file;     /* KeyFile=; NULL or "": none */
	struct retain_rules site; /* fermata.conf's */
	bool given;               /* `rules` are the caller's: neither the job's nor the site's count */
	struct retain_rules rules;
	bool ended;   /* the job has, the caller says: its folder goes, too, when no snapshot is left in it */
	bool damaged; /* remove them, too */
	bool compact, whole_packs; /* sweep.h */
	bool dry_run; /* only say what would be done */
	bool sweep_only_if_removed;
	int64_t now;  /* seconds since 1970; 0: the clock's */
	/*
	 * May the caller touch a snapshot, by its manifest (NULL: it cannot be read)? Others are neither shown, counted nor
	 * removed. NULL: all.
	 */
	bool (*allowed)(void *arg, struct json_object *manifest);
	bool (*in_use)(void *arg, const struct fm_snapshot_id *id); /* NULL: none is */
	/* Told before a snapshot is removed; -1: it is not. NULL: nobody is. */
	int (*removing)(void *arg, const struct fm_snapshot_id *id, struct fm_error *err);
	/* Told after the sweep what was removed, or would be; adds to the report. -1: the job's folder stays. NULL: nobody is. */
	int (*removed)(void *arg, uint32_t job, const uint32_t *gone, size_t count, struct json_object *report,
		       struct fm_error *err);
	void *arg;
};

/*
 * *report_r: {job, keep, max_age_s, snapshots:[{snapshot, state:"whole"|"damaged"|"unknown", removed, reason, bytes,
 * created?, pinned?, error?}], removed, freed, sweep?:{…, sweep.h}, sweep_error?: text, sweep_code?, folder_removed?,
 * folder_reason?}.
 * freed: bytes, snapshots' files and pages. What could not be removed has its error there; 0 all the same. -1: the job
 * cannot be looked at. A job that is not there has no snapshots. Caller puts the report.
 */
int store_retain(const char *store, uint32_t job, const struct retain_options *o, struct json_object **report_r,
		 struct fm_error *err);

/* What the manifest says that its job wants. */
struct retain_rules retain_rules_of(struct json_object *manifest);

/* Numbers of the jobs that have a folder: {values, count} as folder.h; *values_r is the caller's to free. */
int store_jobs(const char *store, uint32_t **values_r, size_t *count_r, struct fm_error *err);

#endif
