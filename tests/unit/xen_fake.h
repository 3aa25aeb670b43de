/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_fake.h - a domain under a Xen that is none, for tests of what saves it.
 *
 * One process, one thread: with every call of the library's or the hypervisor's the clock goes on by a tick, and then the guest,
 * unless it is suspended, writes to some of its pages, and whatever a test has planned for that tick happens: what others
 * on a host may do to the domain.  The log of dirty pages is Xen's: one a domain, nobody's own, cleared by who reads it with
 * CLEAN, thrown away by OFF.  xc_domain_save() does what 4.17's does for an HVM guest, checkpoints included.
 */
#ifndef FM_TEST_XEN_FAKE_H
#define FM_TEST_XEN_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_PAGES 700u       /* populated: 0 … 699, and the canary's */
#define FAKE_CANARY 900u
#define FAKE_FRAMES 1024u

enum fake_deed {
	FAKE_NOTHING,
	FAKE_OFF,       /* the end of somebody's save */
	FAKE_OFF_ON,    /* the begin of a live one */
	FAKE_CLEAN,     /* a round of it */
	FAKE_BALLOON,   /* a page goes */
	FAKE_TARGET,    /* told another size of memory, and back */
	FAKE_GROW,      /* a page beyond the last */
	FAKE_CONFIG,    /* another device */
	FAKE_NO_MARK,   /* calls fail from now on: marking, */
	FAKE_NO_MAP,    /* mapping, */
	FAKE_NO_LOG,    /* reading the log, */
	FAKE_NO_SUSPEND, /* suspending */
	FAKE_DEEDS,
};

struct fake {
	unsigned tick;
	unsigned at; /* the deed's tick; 0: never */
	enum fake_deed deed;
	unsigned seed, writes; /* pages a tick, at most */
	bool canary_busy;      /* the guest writes to that one, too */

	uint32_t memory[FAKE_FRAMES]; /* a page's content: a number */
	bool log_on, dirty[FAKE_FRAMES];
	bool suspended;
	unsigned resumed; /* how often */
	uint64_t kib;
	unsigned frames, config, events;
	bool no_mark, no_map, no_log, no_suspend;
};
extern struct fake fake;

/* A domain that runs. */
void fake_reset(unsigned seed, unsigned writes);
uint32_t fake_content(const void *page); /* the number that all of it says; UINT32_MAX: it is none of ours */

#endif
