/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_map.h - the content of a member's disk at the cut, in the job's page store.
 *
 * A disk is its blocks of 4096 bytes, which are pages like any other (pages/pages.h): kept once whichever disk, member or
 * snapshot they are of, compressed, encrypted with the job, swept. The pfn is the block's number. A block of zeros is not
 * in the map, and what is not in the map is zeros. The map's skeleton says that it is a disk, and its size:
 *
 *	8  "fm-disk\n"    4  version, 1    4  bytes of a block, 4096    8  bytes of the disk        all little-endian
 *
 * All of the disk is in it, whatever the image's template was: a restore needs nothing but the store.
 */
#ifndef FM_STORE_DISK_MAP_H
#define FM_STORE_DISK_MAP_H

#include <stdbool.h>

#include "agent/store/stream.h"

/* "member-0.map", in "a/b/member-0.map", too, to that of the member's disk: "member-0.disk-xvdb.map". Caller frees. */
char *disk_map_name(const char *map, const char *vdev, struct fm_error *err);

struct disk_map_options {
	const char *parent; /* this disk's map in an earlier snapshot: makes it faster; may be NULL, or gone */
	int nice;           /* of the threads that hash and compress */
	/* Asked between two pieces: is there no use in going on? The error is then the caller's to make. May be NULL. */
	bool (*stop)(void *data);
	void *data;
};

struct disk_map_saved {
	struct store_file map; /* raw_bytes: of the blocks that are kept, and the skeleton */
	uint64_t size;         /* of the disk */
	uint64_t count;        /* blocks in the map */
	struct pages_progress pages;
	uint64_t stored; /* bytes that were written for it: packs and map */
};

/* The first size bytes (a multiple of 4096) that fd reads as, which nobody changes meanwhile. All is durable then. After a
 * failure, or a stop (1), there is no map. FM_BUSY: packs are being swept at the moment. */
int disk_map_write(const struct stream_place *at, int fd, uint64_t size, const struct disk_map_options *o,
		   struct disk_map_saved *saved_r, struct fm_error *err);

/*
 * Into fd, which must read as zeros and be of the disk's size. fd -1: only verify. Every block is verified before it is
 * written; what is wrong or missing is FM_CORRUPT, and then nothing may use fd. The caller syncs.
 * expected: the manifest's entry for the map; size: what it says the disk has. stop as above: 1.
 */
int disk_map_read(const struct stream_place *at, const struct store_file *expected, uint64_t size, int fd,
		  const struct disk_map_options *o, struct fm_error *err);

/* disk_map_read() without the blocks: the map is there, as expected, of a disk of that size. */
int disk_map_check(const struct stream_place *at, const struct store_file *expected, uint64_t size, struct fm_error *err);

#endif
