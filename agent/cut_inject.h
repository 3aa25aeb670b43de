/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cut_inject.h - faults in the agent's part of a cut, for tests.
 *
 * With Hypervisor=sim only: when a lead or a member enters a state, before it
 * acts in it, the entries `lead.STATE` and `member.STATE` of <rundir>/sim/inject
 * are obeyed (grammar: hypervisor/sim.h; NAME is the member's domain, for the
 * lead too).  delay stops the whole agent, kill ends it, fail is a failed action
 * of that state; in the states that undo or end, which cannot fail, it is
 * only logged.  `lead.committed`, no state, delays or holds the process that has just written the
 * manifest, before the agent knows of it.
 */
#ifndef FM_CUT_INJECT_H
#define FM_CUT_INJECT_H

#include "agent/job.h"

/* -1: fail here. */
int cut_inject(const struct job *job, const char *role, const char *state, struct fm_error *err);

#endif
