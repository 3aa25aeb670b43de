/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep.h - a job's packs without the pages that no map needs: mark and sweep.
 *
 * Marked is what any map in any numbered folder of the job names, whether there is a manifest beside it or not: a
 * snapshot may be under way whose members have finished. Only a folder that is being removed (folder.h) does not count.
 * A map that cannot be read stops everything: what it needs is not known. A pack that a marked map names stays, if only for
 * the hashes of pages that are left in another pack alone; it loses the rest.
 *
 * It is alone with the packs (pages.h, sweeping): no writer and no reader is under way, on any node, and one that comes
 * is let through, after a frame's work at most. Each step is a removal of a pack, or the replacement of one by its
 * rewritten self, both at once and durable, and every map stays valid between them: it may be killed anywhere, and
 * the next one goes on. Blocks, and may end by SIGBUS on a broken disk (pages/pack.h): in a process of its own.
 */
#ifndef FM_STORE_SWEEP_H
#define FM_STORE_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

#define SWEEP_SHARE 50u

struct sweep_options {
	const char *key_file; /* KeyFile=; NULL or "": none. An encrypted job's maps cannot be read without */
	unsigned share;       /* a pack of which less than that, in %, is needed is rewritten; 0: SWEEP_SHARE */
	bool compact;         /* of each page one copy, and all by zstd: the pass behind the hot one; share: 0: 100 */
	bool background;      /* it gives way to other sweeps, too; else it waits for one that is at it, for some seconds */
	/*
	 * No page goes from a pack that stays: nodes have such packs on their own disks (agent/local), and take one that is
	 * here by that name for the same.
	 */
	bool whole_packs;
	bool dry_run;         /* count only; what a rewrite frees is then an estimate */
	const uint32_t *gone; /* with dry_run: numbers of snapshots to be taken for removed */
	size_t gone_count;
};

struct sweep_result {
	uint64_t maps;            /* read */
	uint64_t packs, bytes;    /* there were, before */
	uint64_t removed;         /* packs */
	uint64_t rewritten;
	uint64_t freed;           /* bytes */
	uint64_t damaged;         /* packs that do not verify: removed when no map names them, else left */
	char damaged_text[256];   /* one of them */
	bool given_way;           /* to a writer or a reader: not all was done */
};

/*
 * FM_BUSY: a writer or a reader is under way: leave it for the next time. FM_CORRUPT, FM_INCOMPATIBLE, …: a map, named,
 * cannot be read: nothing was removed. FM_FAILED later (disk full, …): what was done is in *result_r.
 */
int store_sweep(const char *store, uint32_t job, const struct sweep_options *o, struct sweep_result *result_r,
		struct fm_error *err);

/* {packs, bytes, removed, rewritten, freed, damaged, damaged_text?, given_way?}. Caller puts it. */
struct json_object *sweep_to_json(const struct sweep_result *r);

/*
 * For who failed to read a member's map, or its packs: when the snapshot was removed since its manifest was read, *err
 * becomes FM_NOT_FOUND "snapshot 7.1 was removed meanwhile". map_path: "<store>/7/1/member-0.map". Returns -1.
 */
int store_removed_meanwhile(const char *map_path, struct fm_error *err);

#endif
