/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.h - holds and hands back the frames of one member's network device.
 *
 * A gate sits between a guest's vif and the bridge.  Open, frames pass. Held
 * out, what the guest sends is taken off the wire in order; held in, what
 * arrives for it is too.  Release re-injects both queues in order, then opens.
 * A hold carries a deadline (CLOCK_MONOTONIC) that the kernel itself enforces:
 * past it frames pass again although the agent may be dead, and gate_expired()
 * tells, so that the member votes to abort.  An agent that is alive also
 * releases by itself at the deadline, so that order is kept then too.  A gate
 * whose agent dies opens at once: the capture devices die with the process,
 * and the kernel passes what it cannot hand to them.
 *
 * A gate can send another a marker: a frame that goes in where the guest's
 * frames do, takes the path they take, and is caught before the other guest.
 * On paths that keep order, what comes after it was sent after it.
 *
 * States: open → out → both → open.  gate_close() starts at `both` (restore).
 * All calls come from the agent's event loop and do not block, but for
 * gate_drain(), which may take up to GATE_DRAIN_MAX_MS.
 */
#ifndef FM_GATE_H
#define FM_GATE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define GATE_DRAIN_MAX_MS 5
/* What one gate holds in memory at most; above it, it releases and reports gate_expired(). */
#define GATE_HELD_MAX (64u << 20)
/* Bytes of a marker's payload at most. */
#define GATE_MARKER_MAX 64

struct gate_system; /* one an agent: programs and maps, loaded once, pinned */
struct gate;        /* one a member */

struct gate_stats {
	uint64_t held_out_frames, held_out_bytes;
	uint64_t held_in_frames, held_in_bytes;
	uint64_t dropped;    /* frames lost since the gate was made: must not grow for a commit */
	uint64_t reinjected; /* frames given back since the gate was made */
};

/* driver: "bpf", "none" (frames always pass; snapshots say so) or "sim".
 * FM_INCOMPATIBLE when this node or this build cannot do it. */
struct gate_system *gate_system_create(const char *driver, struct event_base *base,
				       struct fm_error *err);
/* Opens and detaches every gate, whose pointers are dead then. NULL is fine. */
void gate_system_destroy(struct gate_system *system);
const char *gate_system_driver(const struct gate_system *system);

/*
 * After the agent was killed: open whatever an earlier agent left shut on this
 * node and remove its capture devices.  Called once, before any gate_create().
 * FM_BUSY when another agent still holds some of them.
 */
int gate_system_recover(struct gate_system *system, struct fm_error *err);

/* vif: name of the network device in Dom0. The new gate is open. */
struct gate *gate_create(struct gate_system *system, const char *vif, struct fm_error *err);
/* Frames still held are re-injected first; the vif may already be gone. No callback is called. NULL is fine. */
void gate_destroy(struct gate *gate);

/* Again while held: moves the deadline. FM_BUSY while a release is under way; gate_hold_in(): FM_TIMEOUT unless out is held. */
int gate_hold_out(struct gate *gate, uint64_t deadline_ns, struct fm_error *err);
int gate_hold_in(struct gate *gate, uint64_t deadline_ns, struct fm_error *err);
/* Both at once without a deadline: before a restored guest runs. */
int gate_close(struct gate *gate, struct fm_error *err);
/* Read out what the kernel has queued for us; call it after the guest is suspended, before gate_export(). */
int gate_drain(struct gate *gate, struct fm_error *err);
/* The present or last hold was broken: frames passed, or may have. Stays true until the next hold of an open gate. */
bool gate_expired(const struct gate *gate);
void gate_stats(const struct gate *gate, struct gate_stats *stats_r);

/* The held queues as bytes for the snapshot (format: queue.h, man 5 fermata-snapshot), caller frees. */
int gate_export(const struct gate *gate, void **data_r, size_t *size_r, struct fm_error *err);
/* Put a snapshot's queues into a closed, empty gate. Bytes are checked: FM_CORRUPT, and nothing is taken over. */
int gate_import(struct gate *gate, const void *data, size_t size, struct fm_error *err);

/*
 * Re-inject in order, what arrives meanwhile behind it, then open. done (may be NULL) is called from the loop, also for
 * a gate that was open already. Start it right after the guest was told to run: a paused guest takes only some 0.25 MB of
 * frames, the rest waits for it (5 s at most, then it counts as dropped).
 */
int gate_release(struct gate *gate, void (*done)(void *arg), void *arg, struct fm_error *err);

/* Has this driver markers? `none` has not, nor has `sim` without a network. */
bool gate_marks(const struct gate_system *system);
/*
 * From our guest's MAC to a peer's guest, behind everything that this gate has let pass (but for what another CPU has in
 * hand in that microsecond). Open or shut, a gate gives every marker that arrives to its agent: none is held or counted,
 * none reaches a guest, also when the agent is dead. What a guest sends that looks like one is dropped at its own gate.
 * A marker may get lost on its way, as any frame.
 */
int gate_send_marker(struct gate *gate, const uint8_t from[6], const uint8_t to[6], const void *payload, size_t size,
		     struct fm_error *err);
/*
 * fn is called from the loop with what arrived, true or not: who made it, and for which guest (a bridge may have
 * flooded it), is for the payload to prove. at_ns: CLOCK_MONOTONIC when it was read. fn NULL: they are thrown away.
 */
void gate_on_marker(struct gate *gate, void (*fn)(const void *payload, size_t size, uint64_t at_ns, void *arg),
		    void *arg);

/*
 * True when frames sent to the guest will reach it: carrier up, bridge port forwarding, and the Xen backend connected
 * (which follows the frontend). After a restore *every* member's must be true before the first gate_release(): what one
 * member's gate re-injects goes to the others' ports, and a bridge drops what is for a port not yet forwarding.
 */
bool gate_link_ready(const struct gate *gate);

#endif
