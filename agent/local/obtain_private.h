/* SPDX-License-Identifier: GPL-2.0-or-later */
/* obtain_private.h - what obtain.c and reconstruct.c share; nobody else. */
#ifndef FM_LOCAL_OBTAIN_PRIVATE_H
#define FM_LOCAL_OBTAIN_PRIVATE_H

#include <stdbool.h>

#include "agent/local/obtain.h"
#include "agent/local/placement.h"
#include "agent/local/remote.h"
#include "agent/store/access.h"
#include "agent/store/pages/pages.h"

struct missing {
	char id[65];
	bool got;
};

struct obtain {
	const struct fm_conf *conf;
	uint32_t job;
	struct store_access access;  /* pages: here; also: in StoreDir */
	struct pages_store *here;    /* both */
	char *incoming;
	int lock_fd;                 /* -1: not needed so far */
	struct pages_store *arrived; /* incoming/, to verify what came */
	struct remotes *remotes;
	struct placement *record;       /* all there are of the job */
	size_t records;
	struct missing *missing;
	size_t missings;
	struct obtained *result;
	char asked[600];             /* each place, and what it said */
};

/*
 * Read these packs of this node from end to end, all processors at once: good_r[i]. A damaged one is as good as missing,
 * but told.
 */
int obtain_verify(struct obtain *o, const struct missing *packs, size_t count, bool *good_r, struct fm_error *err);

/* Verify incoming/<id>.pack and give it its name; -1: it is removed. */
int obtain_admit(struct obtain *o, const char *id, struct fm_error *err);
/* "n2: no connection; ", once for each text. */
/* The farthest stays. */
void obtain_note_level(struct obtain *o, const char *level);
void obtain_note(struct obtain *o, const char *place, const char *why);

/* Whatever of the missing packs is in a bundle of this record: by parity. What could not be is noted. */
void obtain_rebuild(struct obtain *o, const struct placement *r);

#endif
