/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cutter.h - one member's part in a snapshot: does what cut/member says, with
 * its gate, a save worker, the store and the clock.
 *
 * It stays after its end, to answer for it, until the next snapshot is armed.
 */
#ifndef FM_CUTTER_H
#define FM_CUTTER_H

#include "agent/cut/marks.h"
#include "agent/cut/member.h"
#include "agent/cut/reduce.h"
#include "agent/job.h"

struct cutter;

/* error NULL: yes, and what is to be known. round: the order's. May be called from within cutter_order(). */
typedef void (*cutter_done)(enum cut_round round, const struct cut_sum *sum, const struct fm_error *error, void *arg);

/* The lead's order to this member; one answer, unless another order takes its place. lease_ms: with
 * CUT_GATE, how long the gate may stay shut; 0: GateMax. key: the snapshot's, with CUT_ARM; proves the markers. */
void cutter_order(struct job *job, const struct fm_snapshot_id *id, enum cut_round round, int64_t lease_ms,
		  const uint8_t key[MARK_KEY], cutter_done done, void *arg);
/* The guest is gone or going: whatever is under way ends with this error. */
void cutter_stop(struct job *job, const struct fm_error *error);

/* If it does not end well, that is why; the first to be blamed stays. */
void cutter_blame_for(struct job *job, const struct fm_snapshot_id *id, const struct fm_error *error);

/* How far the member's save is: {pages, zero_pages, known_pages, stored_pages, stored_bytes, raw_bytes}; NULL: none is
 * under way, or nothing is known yet. The cutter's. */
struct json_object *cutter_progress(const struct job *job);

/* Nobody waits for this snapshot's answers here any more. */
void cutter_forget(struct job *job, const struct fm_snapshot_id *id);

/* Deadlines that grow with the guest: memory is copied and written at 20 MiB/s or better. */
int64_t cutter_copy_ms(const struct job *job);
/* How long a guest of that size stands still when it cannot be copied while it runs. */
int64_t cutter_stop_ms(int64_t raw_bytes);

#endif
