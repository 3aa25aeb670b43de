/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - the life of one member's VM on this node.
 *
 * create:   plan ─ prepare ─ build ─ start ─ probe ─ ready ─(release)─▶ running
 * restore:  plan ─ prepare ─ build ─ held ─(release)─ start ─ link ─ re-inject ─ probe ─▶ running
 * any step that fails, an abort, or the time running out: torn down, `failed`.
 *
 * The gate is attached before the guest runs: open for a new one, closed and
 * filled with the snapshot's frames for a restored one.
 */
#ifndef FM_GUEST_H
#define FM_GUEST_H

#include "agent/job.h"

/* Called once. error NULL: the member runs. */
typedef void (*guest_done)(struct job *job, const struct fm_error *error, void *arg);

/* The job's state is creating or restoring from here on; the plan follows. */
void guest_start(struct job *job);
/* The plan is known: job->identity and the rest are set. */
void guest_planned(struct job *job);
/* The whole group is ready. */
void guest_release(struct job *job, guest_done done, void *arg);
/* The group will not be: destroy the VM, state failed. Nothing happens twice. */
void guest_abort(struct job *job, const struct fm_error *error);
/* The watch says the domain has ended by itself. */
void guest_died(struct job *job, const char *reason);
/* A domain is left of a member that has ended: it goes. */
void guest_clear(struct job *job);
/* Whatever there is of it goes; done() when the domain is no more (error: it may be). */
void guest_destroy(struct job *job, guest_done done, void *arg);

/* For job.identity etc. from the plan's JSON. */
int guest_take_plan(struct job *job, struct json_object *plan, struct fm_error *err);

#endif
