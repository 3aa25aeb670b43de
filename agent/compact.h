/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compact.h - the pass behind the hot path, by itself: when a snapshot is whole its job's pages are kept once each, by
 * zstd (store/sweep.h, compact).
 *
 * One at a time for a job on this node, and by the packs' lock one on all. It is in nobody's way: at the lowest
 * priority for processor and disk, it lets writers, readers and other sweeps through after a frame's work, and goes on
 * a while later. It may be killed anywhere. A pack is written anew when it is still as the hot path left it, or less
 * than COMPACT_SHARE % of it is needed: so each snapshot's new packs once, and what is there not again for every one.
 * What went wrong is logged and shown, and no error of anything.
 */
#ifndef FM_COMPACT_H
#define FM_COMPACT_H

#include "agent/agent.h"

#define COMPACT_SHARE 75u

/* On the lead, when a snapshot of the job has become whole; nothing with Compact=no. */
void compact_begin(struct agent *agent, uint32_t job);
/* For the job's JSON: {state: "waiting"|"running"|"done"|"failed", before?, after?, seconds?, when?, error?}; bytes of its
 * packs, `when` in seconds since 1970. NULL: nothing to tell. The caller's to put. */
struct json_object *compact_describe(const struct agent *agent, uint32_t job);
/* The job has no member here any more: what is under way goes on, and nobody asks. */
void compact_forget(struct agent *agent, uint32_t job);
/* The agent ends. */
void compacts_free(struct agent *agent);

#endif
