/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify.h - read a whole snapshot in StoreDir and on every level, each file from its first byte to its last, and say
 * what is damaged; on request make it good from a place that has it.
 *
 * A pack is read once, whichever members need it, and all of it, also what no snapshot needs any more.  Bad files of
 * StoreDir come back from the nearest level that has them (fetch.h); what a level has bad, or not, is put there again
 * from StoreDir (copy.h), which must be good for that.
 */
#ifndef FM_STORE_COPIES_VERIFY_H
#define FM_STORE_COPIES_VERIFY_H

#include "agent/store/copies/site.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/*
 * *result_r: {snapshot, ok, members:[{rank, node, ok, error?}], seconds, levels:[{name:"store" or a level's, where, ok,
 * state:"whole"|"damaged"|"absent"|"unreachable", files, bytes, seconds, error?, damaged:[{file, error, repaired?: from
 * where}]}]}. ok: StoreDir has it whole (again), and so has each level that is said to; a level where it is only to
 * come is "absent", and no failure. id->n 0: the newest whole one. -1: there is no manifest to go by, anywhere.
 */
int verify_snapshot(struct site *site, struct fm_snapshot_id *id, bool repair, struct json_object **result_r,
		    struct fm_error *err);

#endif
