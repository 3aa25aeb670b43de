/* SPDX-License-Identifier: GPL-2.0-or-later */
/* obtain_private.h - what obtain.c, obtain_get.c, reconstruct.c and check.c share; nobody else. */
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
	uint64_t exact; /* so many bytes it must have: there is parity of them; 0: any */
	char from[64];  /* got: "store", a node's name, or the record's kind */
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

/* To be disposed of in any case; nothing is looked for yet. */
int obtain_open(struct obtain *o, struct fm_error *err);
void obtain_dispose(struct obtain *o);
int obtain_add(struct obtain *o, const char *id, struct fm_error *err);
bool obtain_there(const char *dir, const char *id);
/*
 * All that are missing: got, or what each place said is noted. exact_only: no pack of which there is parity may come back in
 * other bytes; else that is done where nothing else helps. -1: it could not begin.
 */
int obtain_missing(struct obtain *o, bool exact_only, struct fm_error *err);

/* Verify incoming/<id>.pack and give it its name; -1: it is removed. */
int obtain_admit(struct obtain *o, const char *id, struct fm_error *err);
/* "n2: no connection; ", once for each text. */
void obtain_note(struct obtain *o, const char *place, const char *why);
/* The farthest stays. */
void obtain_note_level(struct obtain *o, const char *level);

/* Whatever of the missing packs is in a bundle of this record: by parity. What could not be is noted. */
void obtain_rebuild(struct obtain *o, const struct placement *r);

#endif
