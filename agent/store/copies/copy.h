/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy.h - a whole snapshot's copy on a level: whatever of it is not there yet.
 *
 * In this order: the list of its packs (contents.h), packs, maps, held files, the job's script and key, the list again if
 * it has changed, the manifest. So a copy that has its manifest has all. Packs are looked up as by a reader, no sweep
 * beside it (pages.h), and linked into a folder of work: what is copied then is not taken away by a sweep, nor does it
 * keep one waiting; each pack is verified before it goes. It may be killed anywhere, and the next one goes on.
 *
 * Nothing is overwritten that another job of the same number has left there: FM_BUSY naming it.
 */
#ifndef FM_STORE_COPIES_COPY_H
#define FM_STORE_COPIES_COPY_H

#include "agent/store/copies/site.h"
#include "common/snapshot_id.h"

struct copy_progress {
	uint64_t done, total; /* bytes that had to be sent; total 0: not known yet */
	uint64_t bytes;       /* of all the objects that the snapshot needs there */
};

struct copy_calls {
	void (*progress)(void *arg, const struct copy_progress *progress); /* may be NULL */
	void *arg;
	/* Put these packs anew though they are there, because they are damaged: ids, NULL-terminated; NULL: none. */
	const char *const *again;
};

/*
 * The caller has record_lock(). 0: it is whole there, progress_r says of how many bytes. FM_NOT_FOUND: StoreDir does not
 * have the snapshot (any more); FM_CORRUPT: what StoreDir has is damaged, and is not copied; else as level.h.
 */
int copy_snapshot(struct site *site, size_t level, const struct fm_snapshot_id *id, const struct copy_calls *calls,
		  struct copy_progress *progress_r, struct fm_error *err);

/* The next of the job that a level does not have yet, by the records: newest first, then nearest. 1; 0: none; -1. */
typedef bool (*copy_skip)(void *arg, const struct fm_snapshot_id *id, size_t level);
int copy_next(struct site *site, uint32_t job, copy_skip skip, void *arg, struct fm_snapshot_id *id_r, size_t *level_r,
	      struct fm_error *err);

#endif
