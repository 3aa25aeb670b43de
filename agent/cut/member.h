/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * member.h - one member's side of a cut: a pure machine, no I/O, no clock.
 *
 *  order arm: start the worker
 *  ARMING ─worker armed▶ ARMED ─order gate: hold out▶ GATED ─order drain: drain▶ DRAINING ─drained▶ DRAINED
 *                                                                                                      │
 *     ┌──────────────────────────────────────────────────────────── order cut: hold in, tell cut ──────┘
 *  CUTTING ─worker cut: export; exported▶ CUT ─order release: open▶ RELEASING ─guest runs▶ SAVING
 *                  (gate opened first, then, or soon after, the guest resumed)                │
 *                          VOTED ◀─order commit: yes─ SAVED ◀─stream and frames durable───────┘
 *
 *  any but VOTED: an order abort (the lead's, or because the way to the lead is
 *  broken), an order out of turn, a failure, the lease or the time over, the
 *  worker's death
 *     ──▶ UNDOING (open the gate, worker aborts or is killed, guest resumed) ──▶ ABORTED
 *
 * Drained: nothing that was sent before the gates were shut is still under way
 * to this guest.  The held queues are exported in CUT, before its yes: nobody is
 * released before all have said it, so nothing sent after a cut is in them.
 *
 * Promises: once not IDLE it ends in VOTED or ABORTED; in both the gate is open
 * and the guest runs.  An order gets one answer, unless another
 * takes its place. Yes to commit is said only when the gate held without a
 * break from `gate` to `release` and everything is durable.  The lease runs from
 * `gate` until the guest runs again, whatever the lead does.
 */
#ifndef FM_CUT_MEMBER_H
#define FM_CUT_MEMBER_H

#include "agent/cut/lead.h"

enum member_state {
	MEMBER_IDLE,
	MEMBER_ARMING,
	MEMBER_ARMED,
	MEMBER_GATED,
	MEMBER_DRAINING,
	MEMBER_DRAINED,
	MEMBER_CUTTING,
	MEMBER_CUT,
	MEMBER_RELEASING,
	MEMBER_SAVING,
	MEMBER_SAVED,
	MEMBER_VOTED,
	MEMBER_UNDOING,
	MEMBER_ABORTED,
	MEMBER_STATES, /* how many */
};
const char *member_state_name(enum member_state state);

enum member_event {
	MEMBER_EV_ORDER,          /* the lead's: see `round` */
	MEMBER_EV_ARMED,          /* worker */
	MEMBER_EV_CUT,            /* worker: suspended, its state is out */
	MEMBER_EV_RELEASED,       /* worker: the guest runs */
	MEMBER_EV_SAVED,          /* worker: the stream is durable */
	MEMBER_EV_WORKER_ENDED,   /* it ended in order */
	MEMBER_EV_WORKER_DIED,    /* it did not: the guest may be suspended */
	MEMBER_EV_HELD,           /* what the guest sends is held */
	MEMBER_EV_DRAINED,        /* nothing is under way to it any more */
	MEMBER_EV_EXPORTED,       /* what is held is in memory */
	MEMBER_EV_GATE_OPEN,      /* all frames given back */
	MEMBER_EV_GATE_LOST,      /* frames passed, were dropped, or came too late to be held, up to the vote */
	MEMBER_EV_FRAMES_STORED,
	MEMBER_EV_GUEST_RUNS,     /* after a recovery */
	MEMBER_EV_FAILED,         /* an action could not be done */
	MEMBER_EV_LEASE,          /* GateMax is over */
	MEMBER_EV_TIME,           /* the state's deadline */
};

/* Bits, to be done from the lowest to the highest; one that fails ends the list and is reported. */
enum member_action {
	MEMBER_DO_START = 1 << 0,         /* the worker */
	MEMBER_DO_HOLD_OUT = 1 << 1,      /* and start the lease; HELD follows */
	MEMBER_DO_DRAIN = 1 << 2,         /* DRAINED follows */
	MEMBER_DO_HOLD_IN = 1 << 3,
	MEMBER_DO_TELL_CUT = 1 << 4,
	MEMBER_DO_EXPORT = 1 << 5,        /* both queues into memory; EXPORTED or GATE_LOST follows */
	MEMBER_DO_OPEN = 1 << 6,          /* the gate; GATE_OPEN follows */
	MEMBER_DO_TELL_RELEASE = 1 << 7,
	MEMBER_DO_TELL_ABORT = 1 << 8,
	MEMBER_DO_KILL = 1 << 9,          /* the worker */
	MEMBER_DO_RESUME = 1 << 10,       /* recover the guest; GUEST_RUNS follows, or FAILED */
	MEMBER_DO_STOP_LEASE = 1 << 11,
	MEMBER_DO_STORE_FRAMES = 1 << 12,
	MEMBER_DO_DISCARD = 1 << 13,      /* this member's files */
	MEMBER_DO_YES = 1 << 14,          /* answer the order that waits */
	MEMBER_DO_NO = 1 << 15,
};

struct member {
	enum member_state state;
	bool waiting;         /* an order waits for its answer: */
	enum cut_round order;
	bool lost;            /* the gate did not hold */
	bool shut, opening;   /* the gate */
	bool told, runs;      /* the guest: to go on; goes on */
	bool worker;          /* there is one */
	bool resuming;        /* a recovery is under way */
	bool stream, frames;  /* durable */
};

void member_init(struct member *m);
/* round matters for ORDER only. Returns the actions. The timer of the new state is set whenever the
 * state has changed. */
unsigned member_step(struct member *m, enum member_event event, enum cut_round round);
static inline bool member_over(const struct member *m)
{
	return m->state == MEMBER_VOTED || m->state == MEMBER_ABORTED;
}

#endif
