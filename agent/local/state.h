/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h - how far a record's copies are: kept while they are made, and read by whoever shows it.
 */
#ifndef FM_LOCAL_STATE_H
#define FM_LOCAL_STATE_H

#include "agent/local/placement.h"
#include "agent/store/levels/throttle.h"
#include "common/conf.h"

/* ---- while copying: a pace and a state file ---- */

struct copying {
	const struct placement *record;
	const char *store;
	char name[64];      /* of the state */
	uint64_t done, total, burst;
	int64_t told_ms;
	struct throttle *throttle; /* NULL: as fast as it goes */
};

/* Says "copying" at once. End in any case. */
int copying_begin(struct copying *c, const struct fm_conf *conf, const struct placement *r, const char *name,
		  uint64_t total, struct fm_error *err);
/* So many bytes are about to move: waits for the bandwidth, and says now and then how far it is. */
void copying_move(struct copying *c, uint64_t bytes);
/* more: further fields of the state, taken; NULL: none. why NULL: whole. */
int copying_end(struct copying *c, const struct fm_error *why, struct json_object *more, struct fm_error *err);

/* ---- reading ---- */

enum level_state { LEVEL_NONE, LEVEL_WAITING, LEVEL_COPYING, LEVEL_WHOLE, LEVEL_FAILED };

struct level_progress {
	enum level_state state;
	uint64_t done, total; /* bytes */
	int64_t since;        /* whole: when it was; else of the last word */
	char error[512];
};

/* Of all codes. LEVEL_NONE: there is nothing to make. */
int level_parity(const char *store, const struct placement *r, struct level_progress *p_r, struct fm_error *err);
/* Of all needed packs: those that are in StoreDir are; what its writers say is only why not. */
int level_shared(const char *store, const struct placement *r, struct level_progress *p_r, struct fm_error *err);

/* By its manifest: it has packs on the nodes' own disks, or had when it was made. */
bool local_is(struct json_object *manifest);

/*
 * [{name, kind, state, bytes, done?, percent?, since?, error?}…], nearest first, of a snapshot with packs on the nodes'
 * own disks; NULL: it is none. manifest: its. state: "whole", "copying", "waiting", "failed", "none". Caller puts it.
 * ask: the nodes are asked (probe.h); else "local" is told as it was written.
 */
struct json_object *local_levels(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *manifest,
				 bool ask);

#endif
