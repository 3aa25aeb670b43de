/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lead.h - the lead's side of a cut: a pure machine, no I/O, no clock.
 *
 *  begin: send arm
 *    │
 *  ARMING ──yes: send gate──▶ GATING ──yes: send drain──▶ DRAINING ──yes: send cut──▶ CUTTING
 *    │                          │                            │                         │ yes: send release
 *    ├───── no, time, stop ─────┴────────────────────────────┴──────────────────── RELEASING
 *    │                                                                                 │ yes: send commit
 *    │ ◀──────────────────────── no, time, stop ────────────────────────────────── SAVING
 *    │ send abort                                                                      │ yes: store
 *    │ ◀──────────────────────── could not ─────────────────────────────────────── STORING
 *    ▼                                                                                 │ stored
 *  ABORTING ──answered, or time: discard──▶ DISCARDING ──discarded──▶ FAILED         WHOLE
 *
 * A round goes to all members down the tree, and one answer for all comes up
 * (reduce.h): yes is every member's yes, no is the first member's no.
 *
 * Promises: `store` comes only after every member said yes in every round;
 * whatever else happens, `abort` has been sent before the end.  An answer to a
 * round that is over is no answer.
 */
#ifndef FM_CUT_LEAD_H
#define FM_CUT_LEAD_H

#include <stdbool.h>

/* In the order they are sent, and as on the wire. */
enum cut_round { CUT_ARM, CUT_GATE, CUT_DRAIN, CUT_CUT, CUT_RELEASE, CUT_COMMIT, CUT_ABORT };
#define CUT_ROUNDS 7
const char *cut_round_name(enum cut_round round);
int cut_round_parse(const char *name, enum cut_round *round_r); /* -1: no such round */

enum lead_state {
	LEAD_ARMING,
	LEAD_GATING,
	LEAD_DRAINING,
	LEAD_CUTTING,
	LEAD_RELEASING,
	LEAD_SAVING,
	LEAD_STORING,
	LEAD_WHOLE,
	LEAD_ABORTING,
	LEAD_DISCARDING,
	LEAD_FAILED,
	LEAD_STATES, /* how many */
};
const char *lead_state_name(enum lead_state state);

enum lead_event {
	LEAD_EV_BEGIN,
	LEAD_EV_YES,          /* all members' answer to the round */
	LEAD_EV_NO,           /* one refused, failed, is silent or cannot be reached */
	LEAD_EV_TIME,         /* the state's deadline: the tree itself is silent */
	LEAD_EV_STORED,
	LEAD_EV_STORE_FAILED,
	LEAD_EV_DISCARDED,
	LEAD_EV_STOP,         /* from outside: the job ends, a guest died */
};

/* What to do, in this order. The timer of the new state is set whenever the state has changed. */
struct lead_actions {
	bool send; /* `round`, down the tree */
	enum cut_round round;
	bool store;    /* write the manifest */
	bool discard;  /* remove the folder */
	bool finished; /* state is WHOLE or FAILED: forget the machine */
};

enum lead_blame { BLAME_NONE, BLAME_MEMBER, BLAME_SILENT, BLAME_STORE, BLAME_STOP };

struct lead {
	enum lead_state state;
	enum cut_round round; /* last sent */
	/* The first thing that went wrong. */
	enum lead_blame blame;
	unsigned blame_rank;
	enum lead_state blame_state;
};

void lead_init(struct lead *lead);

/* round matters for YES and NO only, rank, whose it was, for NO. */
void lead_step(struct lead *lead, enum lead_event event, enum cut_round round, unsigned rank,
	       struct lead_actions *actions_r);

#endif
