/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - the life of one member's VM on this node.
 *
 * create:   plan ─ prepare ─ build ─ start ─ probe ─ ready ─(release)─▶ running
 * restore:  plan ─ prepare ─ build ─ held ─(release)─ start ─ link ─ linked ─(open)─ re-inject ─ thaw ─ probe ─▶ running
 * any step that fails, an abort, or the time running out: torn down, `failed`.
 *
 * The gate is attached before the guest runs: open for a new one, closed and
 * filled with the snapshot's frames for a restored one.  A restored guest whose
 * network is not connected is deaf, and loses what it sends: its job stands still
 * until its link is up and its frames are back, and no member's gate opens before
 * all links are up, since a frame for a port that is down is lost too.
 *
 * With Hypervisor=sim tests strike at each step: guest.starting, guest.linking,
 * guest.linked, guest.reinjecting, guest.thawing, guest.probing (cut_inject.h); as long
 * as there is a failing guest.link, the link is not up.
 */
#ifndef FM_GUEST_H
#define FM_GUEST_H

#include "agent/job.h"

/* Called once. error NULL: it is done. */
typedef void (*guest_done)(struct job *job, const struct fm_error *error, void *arg);

/* The job's state is creating or restoring from here on; the plan follows. */
void guest_start(struct job *job);
/* The plan is known: job->identity and the rest are set. */
void guest_planned(struct job *job);
/* The whole group is ready. done(): a new one runs; a restored one is linked, frozen behind its gate. */
void guest_release(struct job *job, guest_done done, void *arg);
/* All members are linked. done(): it runs. */
void guest_open(struct job *job, guest_done done, void *arg);
/* The group will not be: destroy the VM, state failed. Nothing happens twice. */
void guest_abort(struct job *job, const struct fm_error *error);
/* The watch says the domain has ended by itself. */
void guest_died(struct job *job, uint32_t domid, const char *reason);
/* A domain is left of a member that has ended: it goes. */
void guest_clear(struct job *job);
/* Whatever there is of it goes; done() when the domain is no more (error: it may be). */
void guest_destroy(struct job *job, guest_done done, void *arg);

/* For job.identity etc. from the plan's JSON. */
int guest_take_plan(struct job *job, struct json_object *plan, struct fm_error *err);

#endif
