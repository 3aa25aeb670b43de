/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_pages.h - which of a simulated domain's pages were written to, and how often: tests of dirty tracking.
 *
 * A page's content follows from the domain's seed, its number and its version.  All versions are 0, but for what
 * <rundir>/sim/<name>.pages says, lines of "PAGE VERSION": a test's (by rename), or from the stream after a restore.  A
 * stream says at its end which versions the domain had at the cut: a page that comes with another one was lost.
 */
#ifndef FM_SIM_PAGES_H
#define FM_SIM_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct hypervisor;

struct sim_pages {
	uint32_t *version; /* of each page */
	uint64_t count;
};

/* As they are now. Dispose in any case. */
int sim_pages_load(struct hypervisor *hv, const char *name, uint64_t count, struct sim_pages *p, struct fm_error *err);
int sim_pages_store(struct hypervisor *hv, const char *name, const struct sim_pages *p, struct fm_error *err);
void sim_pages_dispose(struct sim_pages *p);

/* What a stream has of them: le32 version of each page. Caller frees; *size_r 0 and NULL: all are 0. */
void *sim_pages_encode(const struct sim_pages *p, size_t *size_r, struct fm_error *err);
int sim_pages_compare(const struct sim_pages *p, const void *encoded, size_t size, struct fm_error *err);

#endif
