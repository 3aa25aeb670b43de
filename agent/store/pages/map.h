/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.h - pfn -> where the page is, in memory (page store only).
 *
 * A page is a ref: 4 bytes. 0: the map has it not; 1: zeros; else a slot of a pack: each pack of the map has a range
 * of refs, from its base on. Chunks of 1024 pfns are made when first needed: a guest's pfns are mostly holes.
 */
#ifndef FM_STORE_PAGES_MAP_H
#define FM_STORE_PAGES_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "agent/store/pages/format.h"
#include "agent/store/pages/pages.h"

#define REF_NONE 0u
#define REF_ZERO 1u
#define REF_FIRST 2u /* of a pack */
#define MAP_CHUNK 1024u

struct map_pack {
	uint8_t id[32]; /* zeros while it is being written */
	uint32_t base, slots;
};

struct pages_map {
	uint32_t job;
	uint32_t **chunk;
	size_t chunks; /* room for so many; not all are made */
	size_t chunks_made;
	struct map_pack *pack; /* by base */
	size_t packs;
	uint64_t next_base;
	uint64_t pages, zero_pages;
	void *skeleton;
	size_t skeleton_size;
};

struct pages_map *map_create(uint32_t job, struct fm_error *err);

static inline uint32_t map_get(const struct pages_map *m, uint64_t pfn)
{
	uint64_t chunk = pfn / MAP_CHUNK;

	return chunk < m->chunks && m->chunk[chunk] ? m->chunk[chunk][pfn % MAP_CHUNK] : REF_NONE;
}

/* FM_USAGE: the pfn is out of bounds. Keeps the counts. */
int map_set(struct pages_map *m, uint64_t pfn, uint32_t ref, struct fm_error *err);

/* The next pfn from `from` on that has a page; PAGES_PFN_END when there is none. */
uint64_t map_next(const struct pages_map *m, uint64_t from);

/* Give a pack a range of refs; its index in m->pack, or -1. */
long map_pack_add(struct pages_map *m, const uint8_t id[32], uint32_t slots, struct fm_error *err);
/* Of a ref from REF_FIRST on: its pack's index. */
size_t map_pack_of(const struct pages_map *m, uint32_t ref);

/* Copy packs and pages. */
int map_inherit(struct pages_map *m, const struct pages_map *parent, struct fm_error *err);

/* map_file.c: write to path, atomically and durably; raw_bytes, too. Packs that no page is in are left out. key NULL:
 * not encrypted. */
int map_write(const struct pages_map *m, const char *path, const struct pages_key *key, const void *skeleton,
	      size_t skeleton_size, struct store_file *file_r, struct fm_error *err);

/* map_seal.c: file has the header and what follows it. *_stored are with tags; there is room for these. */
int map_seal(const struct disk_map_header *h, const struct pages_key *key, uint8_t *file, struct fm_error *err);
/* key NULL: none. FM_DENIED. h->*_stored are without tags from then on; of a file that is not encrypted all stays. */
int map_unseal(struct disk_map_header *h, const struct pages_key *key, uint8_t *file, struct fm_error *err);

/* map_runs.c: the entries as runs. Caller frees; *runs_r: their number. number[i]: of m->pack[i] in the file. */
void *map_runs_encode(const struct pages_map *m, const uint32_t *number, size_t *size_r, uint32_t *runs_r,
		      struct fm_error *err);
/* Into an empty map that has its packs. No more than `most` pages: a few bytes can say that there are 2^32. */
int map_runs_decode(struct pages_map *m, const void *data, size_t size, uint32_t runs, uint64_t most, struct fm_error *err);

#endif
