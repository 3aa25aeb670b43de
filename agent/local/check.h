/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - what a snapshot depends on that is on this node's own disk: read, and put right. For helper processes.
 *
 * What there is to be, records.h says; where the snapshot has no record yet, what its members' maps name and is here.
 */
#ifndef FM_LOCAL_CHECK_H
#define FM_LOCAL_CHECK_H

#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/*
 * Every pack and every shard, from the first byte to the last, into o: {packs:{<id>: {ok, bytes, error?}…}, pack_seconds,
 * shards:{<file name>: {ok, bytes, id (of the code), error?}…}, shard_seconds}. bytes: read. Shards that are not made (yet) are not among
 * them; a pack whose bytes are not those of which parity was made is damaged.
 */
int local_check_disk(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *o, struct fm_error *err);

/*
 * These packs (an array of ids) of this node's disk, damaged or missing, from StoreDir, other nodes or parity (obtain.h), into
 * o: {packs:{<id>: {repaired: "store"|node|kind} or {repair_error}…}}. One that is good by now is repaired from "".
 */
int local_mend(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *packs, struct json_object *o,
	       struct fm_error *err);

#endif
