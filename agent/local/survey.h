/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * survey.h - all of a snapshot that is on the nodes' own disks: read by the nodes that have it, judged and put right here.
 *
 *	survey_ask()     every node that the records name reads its packs and shards (check.h: POST …/disk), all at once
 *	survey_good()    is a pack whole on a node's disk, or can parity give it, as far as what was read is right?
 *	survey_bring()   a pack that StoreDir has damaged or lost, from a node's disk
 *	survey_repair()  packs first, while the parity is as it was; then shards, made anew of packs that are all good
 *	survey_levels()  the verdict, as entries of `levels` in the reply of POST …/verify
 *
 * A code with a damaged shard is noted as "damaged" (placement.h): what parity says it protects is what show and later
 * snapshots go by. Blocks: for helper processes. A node that does not answer costs seconds; one that reads, its time.
 */
#ifndef FM_LOCAL_SURVEY_H
#define FM_LOCAL_SURVEY_H

#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

struct survey;

/*
 * manifest: the snapshot's; NULL: it cannot be read. *survey_r is NULL where nothing of the snapshot is on nodes' disks. -1: it
 * could not be asked at all; a node that did not answer is part of the verdict.
 */
int survey_ask(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *manifest, struct survey **survey_r,
	       struct fm_error *err);
void survey_end(struct survey *s); /* NULL is fine */

/* By a pack's id. */
bool survey_good(const struct survey *s, const char *pack);
/* It is on its way to StoreDir, or is not to come there: nobody has said that it is there. */
bool survey_to_come(const struct survey *s, const char *pack);

/*
 * The pack, from a node's disk that has it whole, to the file `to`: at once and durably, in the place of what is there. *from_r:
 * the node; the survey's. FM_NOT_FOUND: none has it; what only parity has is not made for this.
 */
int survey_bring(const struct survey *s, const char *pack, const char *to, const char **from_r, struct fm_error *err);

/* What could be put right is good after that. */
void survey_repair(struct survey *s);

/*
 * Adds "local" and, for each kind of protection, one more: {name, where, ok, state:"whole"|"damaged"|"unreachable"|"absent",
 * files, bytes, seconds (of the slowest node), error?, damaged:[{node, file, error, repaired?, repair_error?}]}. false: something
 * that was said to be there is not, or a node did not answer.
 */
bool survey_levels(const struct survey *s, struct json_object *levels);

#endif
