/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack.h - a finished pack: its index verified and mapped, its frames read on demand (page store only).
 *
 * A pack that pack_open() returned has an index that hashes to its trailer's digest and an id that hashes to its file
 * name; so what the index says is what its writer said, and a frame or a page that differs from it is damaged.
 * The index is mapped from the file: it takes memory only as long as nothing else needs it more. Should the disk fail
 * later under the mapping, the process gets SIGBUS; a worker's death is a failed operation, not a wrong page.
 */
#ifndef FM_STORE_PAGES_PACK_H
#define FM_STORE_PAGES_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "agent/store/key_private.h"
#include "agent/store/pages/codec.h"
#include "agent/store/pages/format.h"

#define PACK_SUFFIX ".pack"
#define PACK_PART_SUFFIX ".part"

struct pack {
	char *path;
	uint8_t id[32];
	uint32_t job;
	bool sealed;
	uint8_t key[SEAL_KEY]; /* the file's, when it is */
	int fd; /* -1 until frames are wanted */
	void *mapping;
	size_t mapping_size;
	dev_t device; /* which file: one that is written anew is another */
	ino_t inode;
	struct timespec written;
	uint64_t bytes; /* of the file */
	uint32_t frames, slots, present;
	const struct disk_frame *frame;
	const uint8_t (*hash)[32];      /* of each slot */
	const struct disk_order *order; /* slots by hash */
	const uint32_t *location;       /* of each slot: DISK_LOCATION(frame, place) or DISK_ABSENT */
};

/* Thread's own room for frames. */
struct pack_scratch {
	struct codec codec;
	struct seal seal;
	unsigned char *stored; /* header and payload as on disk */
};
int pack_scratch_init(struct pack_scratch *scratch, struct fm_error *err);
unsigned char *pack_scratch_room(void); /* another `stored`; NULL without memory */
void pack_scratch_dispose(struct pack_scratch *scratch);

/* "<dir>/<id>.pack"; FM_CORRUPT when missing, cut short, another job's, or damaged; FM_DENIED when it is whole, and not
 * by this key (NULL: none). keep_fd: frames will be read. */
struct pack *pack_open(const char *dir, const uint8_t id[32], uint32_t job, const struct pages_key *key, bool keep_fd,
		       struct fm_error *err);
/* Is the file of its name still the one that was opened? */
bool pack_is_current(const struct pack *p);
void pack_close(struct pack *p); /* NULL is fine */

/* The slot that holds this page, or -1. Absent ones are not found. From any thread. */
long pack_find(const struct pack *p, const uint8_t hash[32]);

/* Decompress one frame to data_r (frame's pages × PAGES_SIZE). From any thread, each with its own scratch. The pages
 * in it are not compared with their hashes. */
int pack_frame_read(const struct pack *p, uint32_t frame, struct pack_scratch *scratch, void *data_r,
		    struct fm_error *err);

/* What of a frame's header is bound to its ciphertext. */
#define PACK_BOUND_SIZE (sizeof(uint32_t) + offsetof(struct disk_frame_header, checksum))
struct seal_bound pack_bound(uint32_t job, const struct disk_frame_header *header, uint8_t room[PACK_BOUND_SIZE]);

/* What a pack's id is: SHA-256 of the job and the hashes of all its slots. */
int pack_id(uint32_t job, uint32_t slots, const uint8_t (*hash)[32], uint8_t id_r[32], struct fm_error *err);

#endif
