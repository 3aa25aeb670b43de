/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drain.h - one member's waiting for what is under way to it, between the gates' shutting and the cut.
 *
 * Every member sends every other a marker (gate.h) down the path its guest's
 * frames take.  Paths keep order: with all markers in, nothing that was sent
 * before the gates were shut is under way any more.  When FlushBound is over
 * first, it goes on by that; markers that come until the held queues are taken
 * (drain_seal()) still prove the same.  One that comes after that proves that
 * frames may have come after it, too: the snapshot must not be.  So the vote
 * waits a while for those that are missing (drain_settle()): the guest runs then.
 *
 * Without markers (Drain=bound, more than MarkerMembers, a gate that has none)
 * it is FlushBound alone.
 */
#ifndef FM_DRAIN_H
#define FM_DRAIN_H

#include "agent/cut/marks.h"
#include "agent/job.h"

struct drain;

struct drain_calls {
	void (*done)(void *arg); /* once, maybe from within drain_begin() */
	/* A marker came too late. Once, from the loop. */
	void (*late)(const struct fm_error *why, void *arg);
	/* See drain_settle(); once. */
	void (*settled)(void *arg);
	void *arg;
};

/* Markers count from now on: a peer may be told earlier than we are. */
struct drain *drain_create(struct job *job, const struct fm_snapshot_id *id, const uint8_t key[MARK_KEY],
			   const struct drain_calls *calls, struct fm_error *err);
void drain_destroy(struct drain *d); /* NULL is fine */
/* The order came: send ours, wait for theirs. */
void drain_begin(struct drain *d);
/* What is held has been taken. */
void drain_seal(struct drain *d);

/*
 * settled() is called when all markers are in, maybe at once, or when so long after the order that one still missing was
 * lost rather than late: a second, or 20 times FlushBound if that is more.
 */
void drain_settle(struct drain *d);

/* From the order until done, and whether that was by the bound alone. */
uint32_t drain_took_us(const struct drain *d);
bool drain_was_bound(const struct drain *d);
/* `drain`, `marker_ms`, `markers_missing`, `marker_missing` of the member's entry in the manifest. */
void drain_describe(const struct drain *d, struct json_object *entry);

#endif
