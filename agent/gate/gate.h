/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.h - holds and hands back the frames of one member's network device.
 *
 * A gate sits between a guest's vif and the bridge.  Open, frames pass. Held
 * out, what the guest sends is taken off the wire in order; held in, what
 * arrives for it is too.  Release re-injects both queues in order, then opens.
 * A hold carries a deadline (CLOCK_MONOTONIC) that the kernel itself enforces:
 * past it frames pass again although the agent may be dead, and gate_expired()
 * tells, so that the member votes to abort.
 *
 * States: open → out → both → open.  gate_close() starts at `both` (restore).
 * All calls come from the agent's event loop and do not block.
 */
#ifndef FM_GATE_H
#define FM_GATE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct gate_system; /* one an agent: programs and maps, loaded once, pinned */
struct gate;        /* one a member */

struct gate_stats {
	uint64_t held_out_frames, held_out_bytes;
	uint64_t held_in_frames, held_in_bytes;
	uint64_t dropped;    /* frames a full queue lost: must be 0 for a commit */
	uint64_t reinjected; /* frames given back since the gate was made */
};

/* driver: "bpf", "none" (frames always pass; snapshots say so) or "sim". */
struct gate_system *gate_system_create(const char *driver, struct event_base *base,
				       struct fm_error *err);
void gate_system_destroy(struct gate_system *system); /* opens and detaches every gate */

/*
 * After the agent was killed: open whatever an earlier agent left shut on this
 * node and remove its capture devices.  Called once, before any gate_create().
 */
int gate_system_recover(struct gate_system *system, struct fm_error *err);

/* vif: name of the network device in Dom0. The new gate is open. */
struct gate *gate_create(struct gate_system *system, const char *vif, struct fm_error *err);
/* Frames still held are re-injected first; the vif may already be gone. NULL is fine. */
void gate_destroy(struct gate *gate);

int gate_hold_out(struct gate *gate, uint64_t deadline_ns, struct fm_error *err);
int gate_hold_in(struct gate *gate, uint64_t deadline_ns, struct fm_error *err);
/* Both at once without a deadline: before a restored guest runs. */
int gate_close(struct gate *gate, struct fm_error *err);
/* Read out what the kernel has queued for us; call it after the guest is suspended, before gate_export(). */
int gate_drain(struct gate *gate, struct fm_error *err);
bool gate_expired(const struct gate *gate);
void gate_stats(const struct gate *gate, struct gate_stats *stats_r);

/* The held queues as bytes for the snapshot (format: man 5 fermata-snapshot), caller frees. */
int gate_export(const struct gate *gate, void **data_r, size_t *size_r, struct fm_error *err);
/* Put a snapshot's queues into a closed gate. Bytes are checked. */
int gate_import(struct gate *gate, const void *data, size_t size, struct fm_error *err);

/* Re-inject in order, what arrives meanwhile behind it, then open. done is called from the loop. */
int gate_release(struct gate *gate, void (*done)(void *arg), void *arg, struct fm_error *err);

/* True when frames sent to the guest will reach it (carrier up, bridge port forwarding, frontend connected). */
bool gate_link_ready(const struct gate *gate);

#endif
