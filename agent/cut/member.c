/* SPDX-License-Identifier: GPL-2.0-or-later */
/* member.c - see member.h. */
#include "agent/cut/member.h"

static const char *const state_names[MEMBER_STATES] = {
	"idle", "arming", "armed", "gated", "draining", "drained", "cutting", "cut", "releasing", "saving", "saved",
	"voted", "undoing", "aborted",
};

const char *member_state_name(enum member_state state)
{
	return state_names[state];
}

void member_init(struct member *m)
{
	*m = (struct member){ .state = MEMBER_IDLE };
}

static unsigned answer(struct member *m, bool yes)
{
	if (!m->waiting)
		return 0;
	m->waiting = false;
	return yes ? MEMBER_DO_YES : MEMBER_DO_NO;
}

/* All that must be undone is. */
static unsigned maybe_aborted(struct member *m)
{
	if (m->state != MEMBER_UNDOING || m->shut || m->worker || m->resuming)
		return 0;
	m->state = MEMBER_ABORTED;
	return MEMBER_DO_STOP_LEASE | MEMBER_DO_DISCARD | answer(m, true);
}

/* Guest and gate first; whoever waits learns it at once unless it asked for just this. */
static unsigned undo(struct member *m)
{
	unsigned actions = 0;

	if (!m->waiting || m->order != CUT_ABORT)
		actions |= answer(m, false);
	m->state = MEMBER_UNDOING;
	if (m->shut && !m->opening) {
		m->opening = true;
		actions |= MEMBER_DO_OPEN;
	}
	if (m->worker)
		actions |= MEMBER_DO_TELL_ABORT;
	return actions | maybe_aborted(m);
}

static unsigned order_in_turn(struct member *m, enum cut_round round)
{
	if (round == CUT_ARM && m->state == MEMBER_IDLE) {
		m->state = MEMBER_ARMING;
		m->worker = true;
		return MEMBER_DO_START;
	}
	if (round == CUT_GATE && m->state == MEMBER_ARMED) {
		m->state = MEMBER_GATED;
		m->shut = true;
		return MEMBER_DO_HOLD_OUT;
	}
	if (round == CUT_DRAIN && m->state == MEMBER_GATED) {
		m->state = MEMBER_DRAINING;
		return MEMBER_DO_DRAIN;
	}
	if (round == CUT_CUT && m->state == MEMBER_DRAINED) {
		m->state = MEMBER_CUTTING;
		return MEMBER_DO_HOLD_IN | MEMBER_DO_TELL_CUT;
	}
	if (round == CUT_RELEASE && m->state == MEMBER_CUT) {
		m->state = MEMBER_RELEASING;
		m->opening = true;
		return MEMBER_DO_OPEN;
	}
	if (round == CUT_COMMIT && m->state == MEMBER_SAVED) {
		m->state = MEMBER_VOTED;
		return answer(m, true);
	}
	if (round == CUT_COMMIT && m->state == MEMBER_SAVING)
		return 0; /* the answer comes when it is durable */
	return undo(m);
}

static unsigned order(struct member *m, enum cut_round round)
{
	m->waiting = true; /* one that still waits is forgotten: the lead has given up on it */
	m->order = round;
	if (m->state == MEMBER_VOTED || m->state == MEMBER_ABORTED)
		return answer(m, round == CUT_ABORT);
	if (m->state == MEMBER_UNDOING)
		return round == CUT_ABORT ? 0 : answer(m, false);
	return order_in_turn(m, round);
}

/* Guest runs and gate open: the rest is the disk's. */
static unsigned maybe_saving(struct member *m)
{
	if (m->lost && m->runs)
		return undo(m);
	if (m->shut || !m->runs)
		return 0;
	m->state = MEMBER_SAVING;
	return MEMBER_DO_STOP_LEASE | MEMBER_DO_STORE_FRAMES | answer(m, true);
}

static unsigned maybe_saved(struct member *m)
{
	if (m->state != MEMBER_SAVING || !m->stream || !m->frames)
		return 0;
	m->state = MEMBER_SAVED;
	if (!m->waiting || m->order != CUT_COMMIT)
		return 0;
	m->state = MEMBER_VOTED;
	return answer(m, true);
}

static unsigned tell_release(struct member *m)
{
	if (m->told)
		return 0;
	m->told = true;
	return MEMBER_DO_TELL_RELEASE;
}

static unsigned gate_open(struct member *m)
{
	m->shut = m->opening = false;
	if (m->state == MEMBER_RELEASING)
		return tell_release(m) | maybe_saving(m);
	return maybe_aborted(m);
}

static unsigned worker_ended(struct member *m, bool in_order)
{
	m->worker = false;
	if (in_order && m->state == MEMBER_UNDOING)
		return maybe_aborted(m);
	if (in_order && m->stream)
		return 0;
	if (m->state == MEMBER_VOTED) /* it is said: the files stay, whatever the worker was still at */
		return MEMBER_DO_RESUME;
	/* The guest may stand still: see to it before anything else is believed. */
	m->resuming = true;
	return MEMBER_DO_RESUME | (m->state == MEMBER_UNDOING ? 0 : undo(m));
}

static unsigned time_over(struct member *m)
{
	if (m->state == MEMBER_UNDOING)
		return m->worker ? MEMBER_DO_KILL : 0;
	if (m->state == MEMBER_RELEASING) /* its frames wait for the guest: let it run to take them */
		return tell_release(m);
	return member_over(m) || m->state == MEMBER_IDLE ? 0 : undo(m);
}

static unsigned gate_said(struct member *m, enum member_event event)
{
	if (event == MEMBER_EV_HELD && m->state == MEMBER_GATED)
		return answer(m, true);
	if (event == MEMBER_EV_DRAINED && m->state == MEMBER_DRAINING) {
		m->state = MEMBER_DRAINED;
		return answer(m, true);
	}
	if (event == MEMBER_EV_EXPORTED && m->state == MEMBER_CUTTING) {
		m->state = MEMBER_CUT;
		return answer(m, true);
	}
	if (event != MEMBER_EV_GATE_LOST && event != MEMBER_EV_LEASE)
		return 0;
	m->lost = true;
	if (m->state >= MEMBER_GATED && m->state <= MEMBER_CUT)
		return undo(m);
	if (event == MEMBER_EV_GATE_LOST && (m->state == MEMBER_SAVING || m->state == MEMBER_SAVED))
		return undo(m); /* heard of only now, by a late marker */
	/* Releasing: only the lease hurries it; the vote will be no in any case. */
	return m->state == MEMBER_RELEASING && event == MEMBER_EV_LEASE ? undo(m) : 0;
}

static unsigned failed(struct member *m)
{
	if (m->state == MEMBER_UNDOING && m->resuming) {
		m->resuming = false; /* said aloud by who tried; there is no more to try */
		return maybe_aborted(m);
	}
	return m->state == MEMBER_UNDOING || m->state == MEMBER_IDLE || member_over(m) ? 0 : undo(m);
}

static unsigned worker_said(struct member *m, enum member_event event)
{
	if (event == MEMBER_EV_ARMED && m->state == MEMBER_ARMING) {
		m->state = MEMBER_ARMED;
		return answer(m, true);
	}
	if (event == MEMBER_EV_CUT && m->state == MEMBER_CUTTING)
		return MEMBER_DO_EXPORT;
	if (event == MEMBER_EV_RELEASED && m->state == MEMBER_RELEASING) {
		m->runs = true;
		return maybe_saving(m);
	}
	if (event == MEMBER_EV_SAVED) {
		m->stream = true;
		return maybe_saved(m);
	}
	/* While undoing, its last words of before do not matter. */
	return m->state == MEMBER_UNDOING || member_over(m) ? 0 : undo(m);
}

unsigned member_step(struct member *m, enum member_event event, enum cut_round round)
{
	switch (event) {
	case MEMBER_EV_ORDER: return order(m, round);
	case MEMBER_EV_ARMED:
	case MEMBER_EV_CUT:
	case MEMBER_EV_RELEASED:
	case MEMBER_EV_SAVED: return worker_said(m, event);
	case MEMBER_EV_WORKER_ENDED: return worker_ended(m, true);
	case MEMBER_EV_WORKER_DIED: return worker_ended(m, false);
	case MEMBER_EV_GATE_OPEN: return gate_open(m);
	case MEMBER_EV_HELD:
	case MEMBER_EV_DRAINED:
	case MEMBER_EV_EXPORTED:
	case MEMBER_EV_GATE_LOST:
	case MEMBER_EV_LEASE: return gate_said(m, event);
	case MEMBER_EV_FRAMES_STORED:
		m->frames = true;
		return maybe_saved(m);
	case MEMBER_EV_GUEST_RUNS:
		m->resuming = false;
		return maybe_aborted(m);
	case MEMBER_EV_FAILED: return failed(m);
	case MEMBER_EV_TIME: return time_over(m);
	}
	return 0;
}
