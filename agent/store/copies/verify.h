/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify.h - read a whole snapshot in StoreDir and on every level, each file from its first byte to its last, and say
 * what is damaged; on request make it good from a place that has it.
 *
 * A pack is read once, whichever members need it, and all of it, also what no snapshot needs any more.  Bad files of
 * StoreDir come back from the nearest place that has them (packs: those before it, then, as all else, fetch.h); what a level has bad, or not, is put there again
 * from StoreDir (copy.h), which must be good for that.
 */
#ifndef FM_STORE_COPIES_VERIFY_H
#define FM_STORE_COPIES_VERIFY_H

#include "agent/store/copies/site.h"
#include "common/json.h"
#include "common/snapshot_id.h"

/* What is known of places before StoreDir (the nodes' own disks); ids of packs. */
struct verify_beside {
	bool (*good)(void *arg, const char *pack);    /* one of them has it, or can make it, and that was read and is right */
	bool (*to_come)(void *arg, const char *pack); /* nobody has said yet that StoreDir has it */
	/* Put the pack at this path, durably; *from_r: whence, in words. NULL: it cannot be done. */
	int (*bring)(void *arg, const char *pack, const char *path, const char **from_r, struct fm_error *err);
	void *arg;
};

/*
 * *result_r: {snapshot, ok, members:[{rank, node, ok, error?}], seconds, levels:[{name:"store" or a level's, where, ok,
 * state:"whole"|"damaged"|"absent"|"unreachable", files, bytes, seconds, error?, to_come? (packs), damaged:[{file, error,
 * repaired?: from where}]}]}. ok: StoreDir has it whole (again), and so has each level that is said to; a level where it is only
 * to come is "absent", and no failure. beside (may be NULL): so is StoreDir, while packs are to come there, and a member is ok
 * when StoreDir or a place before it has each of its packs. id->n 0: the newest whole one. -1: there is no manifest to go by,
 * anywhere.
 */
int verify_snapshot_beside(struct site *site, struct fm_snapshot_id *id, bool repair, const struct verify_beside *beside,
			   struct json_object **result_r, struct fm_error *err);
/* The same where there are no places before StoreDir. */
int verify_snapshot(struct site *site, struct fm_snapshot_id *id, bool repair, struct json_object **result_r,
		    struct fm_error *err);

#endif
