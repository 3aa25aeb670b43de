/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cut.pml - the protocol of the cut (agent/cut/lead.h, member.h; HACKING.md), for SPIN.
 *
 * N members; rank 0's agent is the lead, too: both die together.  A guest
 * FROM may send guest TO one message, at any moment.  Anything may go wrong at
 * any step: an order or an answer is lost or late, a deadline or a lease is
 * over, a worker fails or is killed (with its guest suspended), an agent is
 * killed and perhaps comes back, the store cannot be written.
 *
 * Checked
 *  - the manifest is written once, only with every member's vote, every file
 *    durable, every gate shut at every member's suspension; no file that it
 *    names is ever removed; a snapshot that failed has none;
 *  - conservation: sent in the sender's state == received in the receiver's
 *    state + exported from both gates;
 *  - it ends: the model has no cycle, and where nothing more can happen every gate is
 *    open, every guest runs, every member whose agent lives is through (ready for
 *    the next snapshot), and so is the lead.  (SETTLES says the same in LTL.)
 *    Exempt is only the guest of an agent and a worker that were both killed
 *    where that agent is never started again: nobody is left to resume it.
 *
 * How the world is made simpler, and why what is found true here is true there
 *  - The tree is a broadcast with loss.  A member may get an order at any time or
 *    never, an abort may overtake an order (a grandparent speaks for a parent that
 *    hangs), and the lead may give up at any moment: what a branch that breaks,
 *    hangs or reports a NO does to those above and below it is among these.  The one thing the lead
 *    needs from the tree is that a YES stands for every member's YES to this very
 *    round: that is assumed here and tested in the tree's own unit tests.
 *  - Time is left out: every deadline may be over at any moment, from the first;
 *    so whatever their lengths, the order of events is among those looked at.
 *    A guest's lease is the kernel's: it fires with the agent alive or dead.
 *  - A NO is not sent: the lead that hears one gives up, and it may do so anyhow.
 *  - One snapshot.  Orders and answers carry the snapshot's number, are authenticated,
 *    and a member that is through is as good as new (cutter.c's find()); what is said
 *    of a second snapshot is that it can be begun.
 *  - One message: each is judged alone, and a frame given back, which could be counted
 *    twice, is that same message again.  Losses on the network and what a killed
 *    agent had captured are losses as on any wire: no snapshot may claim them.
 *  - What can matter no more is forgotten (forget(), give_up(), moot), so that states that differ
 *    in nothing else are one: an answer to a round that is over, an order to one who is undoing,
 *    what was noted to judge a manifest that will not be written.
 *  - Not here: the death of a whole host (its guest is gone with it; the rest
 *    sees an agent that is dead for ever), forged frames (HMAC), the restore.
 *
 * cpp:  N members (2); KILLS: workers and agents that may be killed, and agents started again,
 *       in all (2); FROM, TO: the message's ends, none when FROM is not defined; BOUND: drain
 *       by a bound that holds; LATE: by one that does not, where markers must show it;
 *       MUT_…: the protocol with a fault in it: each must be found.
 */
#ifndef N
#define N 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifdef FROM
#define MESSAGE
#define MESSAGES true
#else
#define MESSAGES false
#define FROM 0
#define TO 1
#endif
#if N == 2
#define EVERY(p) (p(0) && p(1))
#elif N == 3
#define EVERY(p) (p(0) && p(1) && p(2))
#else
#define EVERY(p) (p(0) && p(1) && p(2) && p(3))
#endif

/* rounds: what is ordered, and what a member has last said yes to */
#define ARM 1
#define GATE 2
#define DRAIN 3
#define CUT 4
#define RELEASE 5
#define COMMIT 6
/* the lead: 0, the round it collects, or */
#define STORING 7
#define STORED 8 /* the manifest is there; nobody has noted it */
#define ABORTING 9
#define RECOVERING 10
#define WHOLE 11
#define FAILED 12
/* a member */
#define IDLE 0
#define ARMING 1
#define ARMED 2
#define GATED 3
#define DRAINING 4
#define DRAINED 5
#define CUTTING 6
#define HAS_CUT 7
#define RELEASING 8
#define SAVING 9
#define SAVED 10
#define VOTED 11
#define UNDOING 12
#define ABORTED 13
#define over(i) (st[i] == IDLE || st[i] == VOTED || st[i] == ABORTED)
/* its worker: what it has said last */
#define NONE 0
#define BEGUN 1
#define HOLDING 2
#define STOPPED 3
#define WRITING 4
#define SAID_SAVED 5
#define DEAD 6
/* what the worker was told */
#define TOLD_CUT 1
#define TOLD_RELEASE 2
#define TOLD_ABORT 3 /* or its agent is dead: EOF */
/* where the message is */
#define UNSENT 0
#define NET 1
#define HELD_OUT 2
#define HELD_IN 3
#define RECEIVED 4
#define LOST 5

byte lead, st[N], order[N], worker[N], told[N], kills = KILLS;
bool yes[N];     /* its answer to the lead's present round, said or on its way */
bool aborted[N]; /* an abort is on its way */
bool up[N], suspended[N], shut[N], shut_in[N], expired[N], file[N], must_vote[N];
bool manifest, torn;

byte message = UNSENT, marker; /* 1: on its way, 2: there */
bool ahead;                    /* the message is on the wire before the marker */
bool sent_in_state, received_in_state, in_held_out, in_held_in, late;

#define said_yes(i) yes[i]
#define moot (lead >= ABORTING && lead != WHOLE) /* there will be no manifest, if there is none */
#define shut_now(i) shut[i]
#define has_file(i) file[i]
#define settled(i) (!shut[i] && (!suspended[i] || (!up[i] && worker[i] == DEAD)) && (over(i) || !up[i]))
#define lead_over (lead == 0 || lead == WHOLE || lead == FAILED || !up[0])

#define holds(i) ((i == FROM && message == HELD_OUT) || (i == TO && message == HELD_IN))

/* ---- the gate ------------------------------------------------------------------- */

/* Frames held are given back: the guest's own to the wire, those for it when it runs. */
inline open_gate(i)
{
	shut[i] = false;
	shut_in[i] = false;
	if
	:: (i == FROM && message == HELD_OUT) || (i == TO && message == HELD_IN) -> message = NET
	:: else
	fi
}

inline export(i)
{
	if
#ifndef MUT_NO_EXPORT
	:: i == FROM && message == HELD_OUT -> in_held_out = !moot
	:: i == TO && message == HELD_IN -> in_held_in = !moot
#endif
	:: else
	fi
}

/* The kernel: past the lease it lets pass, whoever is dead. The agent, if there is one, gives back its queue when it undoes. */
#ifdef MUT_NO_LEASE
#define LEASE false
#else
#define LEASE true
#endif
proctype lease(byte i)
{
end:	do
	:: atomic { shut[i] && LEASE -> shut[i] = false; shut_in[i] = false; expired[i] = (st[i] >= GATED && st[i] <= HAS_CUT) }
	od
}

#ifdef MESSAGE
proctype network()
{
end:	do
	:: atomic { message == UNSENT && !suspended[FROM] && !moot && lead < STORED ->
		if
		:: shut[FROM] && up[FROM] -> message = HELD_OUT
		:: else -> message = NET; ahead = (marker == 0)
		fi }
	:: atomic { message == NET && shut_in[TO] && up[TO] -> message = HELD_IN; ahead = false }
	:: atomic { message == NET && !shut_in[TO] && !suspended[TO] -> message = RECEIVED; ahead = false }
	/* the path is FIFO */
	:: atomic { marker == 1 && !(message == NET && ahead) ->
		marker = 2;
		if
		:: st[TO] > DRAINING && st[TO] < UNDOING -> late = true
		:: else
		fi }
	od
}
#endif

/* ---- a member's worker and guest --------------------------------------------------- */

inline suspend(i)
{
	suspended[i] = true;
	torn = !moot && (torn || !EVERY(shut_now));
	if
	:: i == FROM -> sent_in_state = (message != UNSENT && !moot)
	:: i == TO -> received_in_state = (message == RECEIVED && !moot)
	:: else
	fi
}
proctype work(byte i)
{
end:	do
	:: atomic { worker[i] == BEGUN && told[i] != TOLD_ABORT -> worker[i] = HOLDING }
	:: atomic { worker[i] == HOLDING && told[i] == TOLD_CUT -> worker[i] = STOPPED; suspend(i) }
	:: atomic { worker[i] == STOPPED && told[i] == TOLD_RELEASE -> worker[i] = WRITING; suspended[i] = false }
	:: atomic { worker[i] == WRITING && told[i] != TOLD_ABORT -> worker[i] = SAID_SAVED; file[i] = true }
	:: atomic { worker[i] == SAID_SAVED -> worker[i] = NONE; told[i] = 0 }
	/* told, or its agent is dead */
	:: atomic { worker[i] >= BEGUN && worker[i] <= WRITING && told[i] == TOLD_ABORT ->
		worker[i] = NONE; told[i] = 0; suspended[i] = false }
	/* it fails in order, the guest runs; or it is killed and the guest stays as it is */
	:: atomic { worker[i] >= BEGUN && worker[i] <= SAID_SAVED && kills > 0 ->
		kills--;
		worker[i] = DEAD;
		told[i] = 0;
		if
		:: suspended[i] -> suspended[i] = false
		:: skip
		fi }
	od
}

/* ---- a member ------------------------------------------------------------------------ */

#ifdef MUT_LEASE_IGNORED
#define kept(i) true
#else
#define kept(i) (!expired[i])
#endif

/* May it go on to the cut?  The message has but one path; all else is drained. */
#if defined(MUT_NO_DRAIN) || defined(LATE)
#define drained(i) true
#elif defined(BOUND)
#define drained(i) (i != TO || !(message == NET && ahead))
#else
#define drained(i) (i != TO || marker == 2 || !MESSAGES)
#endif
/* By when it votes a late marker has come: the network's bound is only wrong, it is not infinite. */
#if defined(LATE)
#define vote_due(i) (i != TO || marker == 2)
#else
#define vote_due(i) true
#endif
#ifdef MUT_LATE_IGNORED
#define in_time(i) true
#else
#define in_time(i) (i != TO || !late)
#endif

/* What matters no more to a member that is through: an ARM alone could still begin something. */
inline forget(i)
{
	must_vote[i] = false;
	expired[i] = false;
	aborted[i] = false;
	late = late && i != TO;
	if
	:: order[i] != ARM -> order[i] = 0
	:: else
	fi
}

inline undo(i)
{
#ifdef MUT_ABORT_NOT_UNDONE
	st[i] = ABORTED;
#else
	st[i] = UNDOING;
	forget(i);
	if
	:: worker[i] >= BEGUN && worker[i] <= WRITING -> told[i] = TOLD_ABORT
	:: else
	fi
#endif
}

inline obey(i, round)
{
	if
	:: round == ARM && (st[i] == IDLE || st[i] == ABORTED) && worker[i] == NONE ->
		st[i] = ARMING;
		worker[i] = BEGUN;
		told[i] = 0;
		must_vote[i] = false
	:: round == GATE && st[i] == ARMED ->
		st[i] = GATED;
		shut[i] = true;
		expired[i] = false;
		yes[i] = (lead == GATE)
	:: round == DRAIN && st[i] == GATED ->
		st[i] = DRAINING;
		if
		:: i == FROM -> marker = 1
		:: else
		fi
	:: round == CUT && st[i] == DRAINED ->
		st[i] = CUTTING;
		shut_in[i] = shut[i];
		told[i] = TOLD_CUT
	:: round == RELEASE && st[i] == HAS_CUT ->
#ifdef MUT_EXPORT_AT_RELEASE
		export(i);
#endif
		if
		:: kept(i) -> st[i] = RELEASING; expired[i] = false
		:: else -> undo(i)
		fi
	:: round == COMMIT && (st[i] == SAVING || st[i] == SAVED) -> must_vote[i] = true
	:: st[i] == IDLE || st[i] == VOTED || st[i] == ABORTED || st[i] == UNDOING /* no */
	:: else -> undo(i)
	fi
}

proctype member(byte i)
{
end:	do
	:: atomic { up[i] && order[i] != 0 -> obey(i, order[i]); order[i] = 0 }
	:: atomic { order[i] != 0 -> order[i] = 0 } /* lost */
	:: atomic { up[i] && aborted[i] ->
		aborted[i] = false;
		if
		:: !over(i) && st[i] != UNDOING -> undo(i)
		:: else
		fi }
	:: atomic { aborted[i] -> aborted[i] = false } /* lost */
	/* what its worker said */
	:: atomic { st[i] == ARMING && worker[i] == HOLDING -> st[i] = ARMED; yes[i] = (lead == ARM) }
	:: atomic { st[i] == CUTTING && worker[i] == STOPPED ->
#ifndef MUT_EXPORT_AT_RELEASE
		export(i);
#endif
		if
		:: kept(i) -> st[i] = HAS_CUT; yes[i] = (lead == CUT)
		:: else -> undo(i)
		fi }
	:: atomic { worker[i] == DEAD && !over(i) && st[i] != UNDOING -> undo(i) }
#ifdef MUT_VOTED_UNDONE
	:: atomic { worker[i] == DEAD && st[i] == VOTED -> undo(i) }
#else
	/* the vote stands; the guest is looked after all the same */
	:: atomic { worker[i] == DEAD && st[i] == VOTED -> worker[i] = NONE; told[i] = 0; suspended[i] = false }
#endif
	/* what takes time */
	:: atomic { st[i] == DRAINING && drained(i) -> st[i] = DRAINED; yes[i] = (lead == DRAIN) }
	:: atomic { st[i] == RELEASING && (shut[i] || holds(i)) -> open_gate(i) }
	:: atomic { st[i] == RELEASING && told[i] == TOLD_CUT -> told[i] = TOLD_RELEASE }
	:: atomic { st[i] == RELEASING && !shut[i] && !holds(i) && worker[i] >= WRITING && worker[i] <= SAID_SAVED ->
		st[i] = SAVING; yes[i] = (lead == RELEASE) }
	:: atomic { st[i] == SAVING && file[i] -> st[i] = SAVED }
	:: atomic { st[i] == SAVED && must_vote[i] && vote_due(i) ->
		if
		:: in_time(i) -> st[i] = VOTED; must_vote[i] = false; yes[i] = (lead == COMMIT)
		:: else -> undo(i)
		fi }
	/* a deadline, the lease, its link to the parent, an action that failed: all at any time */
	:: atomic { !over(i) && st[i] != UNDOING -> undo(i) }
	:: atomic { st[i] == UNDOING && (shut[i] || holds(i)) -> open_gate(i) }
	:: atomic { st[i] == UNDOING && worker[i] >= BEGUN && worker[i] <= SAID_SAVED -> worker[i] = DEAD; told[i] = 0 } /* it hangs */
	:: atomic { st[i] == UNDOING && worker[i] == DEAD -> worker[i] = NONE; told[i] = 0; suspended[i] = false }
	:: atomic { st[i] == UNDOING && worker[i] == NONE && !suspended[i] && !shut[i] && !holds(i) ->
		st[i] = ABORTED;
		assert(!manifest); /* what it names stays */
		file[i] = false }
	od
}


/* ---- what the lead says ------------------------------------------------------------------ */

#if N == 2
#define TO_ALL(a, v) a[0] = v; a[1] = v
#define ABORT_ALL tell_abort(0); tell_abort(1)
#elif N == 3
#define TO_ALL(a, v) a[0] = v; a[1] = v; a[2] = v
#define ABORT_ALL tell_abort(0); tell_abort(1); tell_abort(2)
#else
#define TO_ALL(a, v) a[0] = v; a[1] = v; a[2] = v; a[3] = v
#define ABORT_ALL tell_abort(0); tell_abort(1); tell_abort(2); tell_abort(3)
#endif

inline send(round)
{
	lead = round;
	TO_ALL(order, lead);
	TO_ALL(yes, false)
}

/* What is known only to be judged with the manifest is forgotten. */
inline give_up(state)
{
	lead = state;
	TO_ALL(yes, false);
	torn = false;
	sent_in_state = false;
	received_in_state = false;
	in_held_out = false;
	in_held_in = false
}

/* To whom it can matter. */
#define tell_abort(i) aborted[i] = (!over(i) && st[i] != UNDOING) || order[i] == ARM

/* ---- agents die, and may come back ------------------------------------------------------ */

proctype fate(byte i)
{
end:	do
	:: atomic { up[i] && kills > 0 ->
		kills--;
		up[i] = false;
		st[i] = IDLE; /* nobody remembers it */
		forget(i);
		if
		:: worker[i] >= BEGUN && worker[i] <= WRITING -> told[i] = TOLD_ABORT
		:: else
		fi;
		if
		:: i == 0 && lead > 0 && lead < WHOLE -> give_up(RECOVERING)
		:: else
		fi;
		if
		:: holds(i) -> message = LOST
		:: else
		fi }
	:: atomic { !up[i] && kills > 0 && (worker[i] == NONE || worker[i] == DEAD) ->
		kills--;
		up[i] = true;
		shut[i] = false;
		shut_in[i] = false;
#ifndef MUT_RESTART_FORGETS_GUEST
		suspended[i] = false;
#endif
		worker[i] = NONE;
		told[i] = 0 }
	od
}

/* ---- the lead ------------------------------------------------------------------------------- */

inline write_manifest()
{
	assert(!manifest);
	manifest = true;
#ifdef REACH_WHOLE
	assert(false);
#endif
#ifdef REACH_HELD
	assert(!in_held_out && !in_held_in);
#endif
	assert(EVERY(has_file));
	assert(!torn);
#ifdef MESSAGE
	assert(sent_in_state == received_in_state + in_held_out + in_held_in);
#endif
}

#ifdef MUT_VOTES_MISSING
#define all_said_yes (said_yes(0) && (lead == COMMIT || EVERY(said_yes)))
#elif defined(MUT_CUT_BARRIER_MISSING)
#define all_said_yes (lead == CUT && said_yes(0) || EVERY(said_yes))
#else
#define all_said_yes EVERY(said_yes)
#endif

active proctype conduct()
{
end:	do
	:: atomic { up[0] && lead == 0 -> send(ARM) }
	:: atomic { up[0] && lead >= ARM && lead < COMMIT && all_said_yes -> send(lead + 1) }
	:: atomic { up[0] && lead == COMMIT && all_said_yes -> lead = STORING }
	:: atomic { up[0] && lead >= ARM && lead <= STORING -> give_up(ABORTING); ABORT_ALL }
	:: atomic { up[0] && lead == STORING -> lead = STORED; write_manifest() }
	:: atomic { up[0] && lead == STORED -> lead = WHOLE }
	/* all have answered, or have not in time */
	:: atomic { up[0] && lead == ABORTING -> lead = FAILED; assert(!manifest) }
	:: atomic { up[0] && lead == RECOVERING ->
		ABORT_ALL;
		if
#ifdef MUT_RECOVERY_DISCARDS
		:: true -> lead = FAILED; assert(!manifest)
#elif defined(MUT_RECOVERY_GOES_ON)
		:: true -> lead = STORED; write_manifest()
#else
		:: manifest -> lead = WHOLE
		:: !manifest -> lead = FAILED
#endif
		fi }
	od
}

/* ---- all of it ---------------------------------------------------------------------------------- */

init
{
	byte i;

	atomic {
		for (i : 0 .. N - 1) {
			up[i] = true;
			run member(i);
			run work(i);
			run lease(i);
			run fate(i)
		}
#ifdef MESSAGE
		run network()
#endif
	}
	/* Troubles end at some time; then, when nothing more can happen: */
end:	do
	:: atomic { kills > 0 -> kills = 0 }
	:: timeout ->
#ifndef SETTLES
		assert(EVERY(settled));
		assert(lead_over);
#endif
		assert(!manifest || EVERY(has_file));
		break
	od
}

#ifdef SETTLES
ltl settles { <> [] (EVERY(settled) && lead_over) }
#endif
