/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h - simulated domains, for tests: no virtual machine is behind them (but a process may be: sim_guest.h).
 *
 * What one has: a name, a number, a state, ports that exist nowhere, memory
 * whose every page follows from a seed, and a clock that runs only while it
 * runs.  State is one file each, so that it outlives the worker as a real
 * domain does:
 *
 *	<rundir>/sim/<name>.json   see struct sim_domain
 *	<rundir>/sim/next-domid
 *	<rundir>/sim/inject        faults, see sim_inject()
 *	<rundir>/sim/<name>.pages  which pages were written to: sim_pages.h
 *	<rundir>/sim/<name>.death  a test writes "poweroff", "reboot", "crash" or
 *	                           "watchdog" here (by rename): it is dead then
 *
 * Its stream is as large as its memory and has the shape of a real domain's (sim_stream.c); its pages are
 * checked one by one when read.
 */
#ifndef FM_SIM_H
#define FM_SIM_H

#include <stdio.h>

#include "agent/hypervisor/hypervisor.h"
#include "agent/hypervisor/sim_pages.h"
#include "common/json.h"

struct hypervisor {
	char *dir;    /* <rundir>/sim */
	char *rundir;
};

struct sim_domain {
	struct domain_info info;
	uint64_t memory_kib;
	uint64_t seed;
	uint64_t alike;   /* so many pages are as every such domain's: $FERMATA_SIM_ALIKE, in %, when it is made */
	int64_t ran_ns;   /* the domain's own clock, up to since_ns */
	int64_t since_ns; /* CLOCK_REALTIME of the last change of state */
	bool frozen;      /* the job's processes inside: from a restore until it is thawed */
	struct json_object *vifs;   /* as in the request */
	struct json_object *params; /* {key: text} */
	struct json_object *disks;  /* ["xvdb", …]: the writable ones; NULL: none */
	bool guest; /* a process is behind it */
	struct json_object *memory; /* the process's, at the cut and in a restore; not in the state file */
};

/* sim_state.c: the files. Dispose in any case; NULL members are fine. */
void sim_dispose(struct sim_domain *d);
int sim_load(struct hypervisor *hv, const char *name, struct sim_domain *d, struct fm_error *err);
int sim_store(struct hypervisor *hv, const struct sim_domain *d, struct fm_error *err);
int sim_remove(struct hypervisor *hv, const char *name, struct fm_error *err); /* 1: was there, 0 */
int sim_new_domid(struct hypervisor *hv, uint32_t *domid_r, struct fm_error *err);
/* Go to another state, the clock kept right; stores it. */
int sim_turn(struct hypervisor *hv, struct sim_domain *d, enum domain_state state, struct fm_error *err);
int sim_set_devices(struct sim_domain *d, const struct domain_spec *spec, struct fm_error *err);
/* Its writable disks by their vdevs; NULL past the last. */
const char *sim_disk(const struct sim_domain *d, size_t i);
void sim_set_disks(struct sim_domain *d, const struct domain_spec *spec); /* a new domain's */
/* Of a restored one: those of the stream are those that were made for it. */
int sim_check_disks(const struct sim_domain *d, const struct domain_spec *spec, struct fm_error *err);
struct json_object *sim_to_json(const struct sim_domain *d);
int sim_from_json(struct sim_domain *d, struct json_object *o, struct fm_error *err);

/* sim_stream.c: the stream. */
/* While it runs: of what was sent, to what is now; NULL: all, from the stream's start. */
int sim_stream_pages(const struct sim_domain *d, const struct sim_pages *sent, const struct sim_pages *now, int fd,
		     struct fm_error *err);
/* At the cut. checkpoint: more of the stream is to follow. */
int sim_stream_end(const struct sim_domain *d, const struct sim_pages *now, bool checkpoint, int fd, struct fm_error *err);
/* Behind a checkpoint: there will be no more. */
int sim_stream_over(int fd, struct fm_error *err);
/* Everything but name and domid comes out of it. Dispose of both in any case. */
int sim_stream_read(struct sim_domain *d, struct sim_pages *pages_r, int fd, struct fm_error *err);
uint64_t sim_page_count(const struct sim_domain *d);

/*
 * sim_inject.c: called at a slot of an operation; does what the test asked for
 * there.  $FERMATA_SIM_INJECT and the file <rundir>/sim/inject hold entries,
 * separated by ';' or line ends:
 *
 *	[NAME/]SLOT=delay:MS | hold | fail[:TEXT] | kill
 *
 * SLOT: create restore release thaw destroy resume list watch save.begin save.armed
 * save.freeze (failing: a guest whose runner does not answer) save.suspend
 * save.suspended save.resume save.end, save.track and save.tracked (failing: what has changed since the last snapshot is
 * not certain, before a tracked one is armed, and at its cut) save.untracked (failing: a domain
 * whose pages cannot be tracked), in the worker; those of its disks: agent/disk/sim.c; lead.STATE, member.STATE and
 * guest.STAGE, in the agent (agent/cut_inject.h, guest.h).  kill: SIGKILL to this
 * process.  hold: stand still until the entry is gone (or says something else, which then
 * counts): what a test does meanwhile is done meanwhile on a slow machine, too.  The first
 * entry that matches counts.
 */
int sim_inject(struct hypervisor *hv, const char *name, const char *slot, struct fm_error *err);
/* The same, for who has no driver open; dir: <rundir>/sim. */
int sim_inject_in(const char *dir, const char *name, const char *slot, struct fm_error *err);

#endif
