/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.h - what of a job is on this node's own disk, and that it belongs to the store.
 *
 *	LocalDir/store.id                     which StoreDir it goes with: the same as StoreDir/store.id
 *	LocalDir/<job>/pages/<id>.pack        packs this node wrote, or got for a restore
 *	LocalDir/<job>/parity/<n>-<set>-<code>-<shard>.parity   shards of other nodes' packs
 *	LocalDir/<job>/incoming/              packs on their way here, not verified yet
 *
 * What is here is needed or not by what StoreDir says. So nothing is removed while StoreDir is not the one it belongs to:
 * an empty mount point would say that nothing is needed.
 */
#ifndef FM_LOCAL_PLACE_H
#define FM_LOCAL_PLACE_H

#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"

#define LOCAL_PACK_SUFFIX ".pack"
#define LOCAL_SHARD_SUFFIX ".parity"

/* "<LocalDir>/<job>", and with "/what" behind it. NULL without memory. Caller frees. */
char *local_job(const struct fm_conf *conf, uint32_t job);
char *local_path(const struct fm_conf *conf, uint32_t job, const char *what);

/* Before anything else: make LocalDir, and note which store it belongs to. FM_INCOMPATIBLE: another one's. Durable. */
int local_claim(const struct fm_conf *conf, struct fm_error *err);
/* Is StoreDir there, and the one? FM_INCOMPATIBLE: not now. */
int local_check(const struct fm_conf *conf, struct fm_error *err);

/* Numbers of the jobs that have a folder here; caller frees. */
int local_jobs(const struct fm_conf *conf, uint32_t **jobs_r, size_t *count_r, struct fm_error *err);

/* A name that is one plain file of a job's `what`, "pages" or "parity"; else nothing of ours. */
int local_name_ok(const char *what, const char *name);

#endif
