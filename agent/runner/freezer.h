/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * freezer.h - stops the job's processes around a cut, at the host's word.
 *
 *	fermata/freeze    the host's: absent or empty: run. "TOKEN [MS]": stand still, for MS of the
 *	                  guest's own time at most (none said: until told to go on)
 *	fermata/frozen    the guest's, who may write it: TOKEN once every process of the job stands
 *	                  still, "-" while they run
 *
 * A restored guest whose network is not connected yet drops what its processes
 * send; a process that stands still sends nothing.  Every event has the key read
 * anew, and after a restore, in another domain's folder, the kernel itself makes
 * one.  The limit is for a host that forgets: the job is never left standing.
 *
 *	RUNS ──freeze──▶ FREEZING ──all stand──▶ FROZEN
 *	  ▲─────── cleared, or MS are over ─────────┘
 */
#ifndef FM_RUNNER_FREEZER_H
#define FM_RUNNER_FREEZER_H

#include "agent/runner/loop.h"
#include "common/error.h"

#define FREEZER_KEY "fermata/freeze"
#define FREEZER_ANSWER "fermata/frozen"

struct freezer;

/* device: xenstore's. FM_INCOMPATIBLE: this guest has no cgroups, or no xenstore, to do it with. */
struct freezer *freezer_create(struct loop *loop, const char *device, struct fm_error *err);
/* The job runs afterwards. Takes NULL. */
void freezer_destroy(struct freezer *freezer);

#endif
