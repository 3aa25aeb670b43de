/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidy.h - this node's disk without what no snapshot needs.
 *
 * Needed is what the records of the job's snapshots say, and, of a snapshot without a record (it may be under way), what
 * its maps name. A record with a needed pack keeps all of its packs, and its shards: without one of them the others' parity
 * would be less than was promised. So a record may outlive its snapshot; the last one to see that nothing of it is
 * needed removes it.
 *
 * Alone with the node's packs, as a sweep of StoreDir is with its own. Each step is one removal, and what is left is as
 * good as before: it may be killed anywhere. What cannot be read stops it: what it needs is not known. So does a StoreDir
 * that is not the one (place.h).
 */
#ifndef FM_LOCAL_TIDY_H
#define FM_LOCAL_TIDY_H

#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"

struct tidied {
	uint64_t packs, shards, bytes; /* removed */
	uint64_t records;              /* in StoreDir */
};

/* FM_BUSY: packs are being written or read here. FM_INCOMPATIBLE: not our StoreDir. A job without a folder here is fine. */
int local_tidy(const struct fm_conf *conf, uint32_t job, struct tidied *tidied_r, struct fm_error *err);

#endif
