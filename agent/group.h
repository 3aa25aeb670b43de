/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * group.h - a job's members come up as one group.
 *
 * On the lead (a deferred one begins to plan when its owner has said what to restart from: LSF knows it only then):
 *
 *	planning, fencing ──▶ waiting ──all ready──▶ releasing ─────────all run──▶ running
 *	     │                   │                      └─all linked──▶ opening ─all run─┘
 *	     └───────────────────┴── one failed, or late ──┴───────────────┴──▶ aborted
 *
 * A member reports `ready` (created and answering, or restored, paused and
 * closed); only when all have does the lead let any restored one run.  A restored
 * one then waits, frozen behind its gate, until its link is up; only when all
 * links are does the lead have any gate opened: what one gives back must find the
 * others' ports.  Once aborted every member is destroyed and says whose fault it was.  `running` ends
 * the same way when a guest dies: a parallel job would wait for it for ever.
 */
#ifndef FM_GROUP_H
#define FM_GROUP_H

#include "agent/job.h"

/* On the lead, when its own member is put: decide the plan, then go on. */
void group_start(struct job *job);
/* On the lead of a deferred group: from what (job 0: afresh). FM_BUSY: that has been said, FM_USAGE: not such a group. */
int group_choose(struct job *job, const struct fm_snapshot_id *from, struct fm_error *err);
/* On the lead, after a restart with the group running. */
void group_resume(struct job *job);
/* The same, while the group was being made: it is given up, and the others are told. */
void group_resume_aborted(struct job *job, const struct fm_error *error);
void group_destroy(struct job *job);
/* The plan is decided, and nobody else is this group. */
bool group_decided(const struct job *job);
bool group_running(const struct job *job);
/* All members have been ready once: whoever asks for the plan now has been put again. */
bool group_was_ready(const struct job *job);

/* A member's report, from here or from a peer; error NULL: ready. */
void group_report(struct job *job, unsigned rank, const struct fm_error *error);

/* On any member: tell the lead (which may be here) and try again until it has heard. */
void group_tell(struct job *job, const struct fm_error *error);

/* group_plan.c. Those who wait for the plan get it, if it is decided. */
void group_answer_plans(struct job *job);
/* GET plan: answered now or when the lead's own member of that incarnation was put. */
void group_plan_request(struct request *req, uint32_t job, unsigned restart_count);
/* The lead's member was put: those who came too early wait on it now. */
void group_adopt_early(struct job *job);

#endif
