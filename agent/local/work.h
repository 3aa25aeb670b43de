/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work.h - what a node does about a whole snapshot whose packs are on its disk. All blocks: for helper processes.
 *
 *	local_list()     what there is, for the record (placement.h)
 *	local_protect()  this node's codes: parity of the nodes' bundles, onto other nodes
 *	local_flush()    this node's packs, into StoreDir
 *
 * The latter two keep their state beside the record, move at most Bandwidth= bytes a second, and may be begun again
 * after any death: what is whole is not done twice.
 */
#ifndef FM_LOCAL_WORK_H
#define FM_LOCAL_WORK_H

#include <stdint.h>

#include "agent/local/placement.h"
#include "agent/local/state.h"
#include "common/conf.h"
#include "common/snapshot_id.h"

/* Of the member of that rank, which has to be on this node: {node, rack, needs, packs} as in the record. Caller puts it. */
struct json_object *local_list(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank,
			       struct fm_error *err);

/* The record out of what all members said, by rank (each local_list()'s); by the lead. */
int local_record(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *members,
		 struct fm_error *err);

/* As the member of that rank. 0: also where it has nothing to do. -1: the state says so, too. */
int local_protect(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank, struct fm_error *err);
int local_flush(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank, struct fm_error *err);

/* What this node should have done about whole snapshots, and has not: a copy is not whole, or, as the lead, no record is there. */
struct local_undone {
	struct fm_snapshot_id id;
	unsigned rank;            /* nodes 0: this member's copies … */
	size_t nodes;             /* … else the record, of these, by rank */
	const char *const *node;
};
typedef void (*local_undone_fn)(void *arg, const struct local_undone *undone);
int local_undone(const struct fm_conf *conf, local_undone_fn each, void *arg, struct fm_error *err);

#endif
