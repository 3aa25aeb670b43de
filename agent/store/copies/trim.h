/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trim.h - what was removed from StoreDir on purpose (record.h, removed.<n>) goes from the levels.
 *
 * On each level the manifests first, then the other files of those snapshots, then the packs that no list (contents.h)
 * of what is left there names. A list that cannot be read keeps all packs of the job where they are. It may be killed
 * anywhere: removed.<n> stays until every level has obeyed. Only what was removed on purpose is: a snapshot that
 * StoreDir has lost stays where it is.
 */
#ifndef FM_STORE_COPIES_TRIM_H
#define FM_STORE_COPIES_TRIM_H

#include "agent/store/copies/site.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/*
 * The caller has record_lock(). Nothing to do is done at once, without asking any level. report (an array) gets
 * {name, where, removed: snapshots, objects, freed, error?, code?} a level. -1 with the first error, when the others are done.
 */
int trim_job(struct site *site, uint32_t job, struct json_object *report, struct fm_error *err);

/* What that would be, if these numbers were removed. Needs no lock. */
int trim_dry_run(struct site *site, uint32_t job, const uint32_t *gone, size_t count, struct json_object *report,
		 struct fm_error *err);

#endif
