/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h - packs and maps as bytes; man 5 fermata-store says the same, and a test compares them.
 *
 * Numbers are little-endian, and so are the machines this is for. No struct has a hole; bytes called zero are.
 *
 *	pack: header | frame header, payload | … | 0-7 zero bytes | index | trailer
 *	index: disk_frame × frames | hash × slots | disk_order × slots | u32 location × slots
 *	map: header | disk_map_pack × packs | entries (zstd) | skeleton (zstd) | SHA-256 of all before
 *
 * Encrypted (cipher 1): a frame's payload, the entries and the skeleton each are ciphertext and a tag of 16 bytes, under
 * a key derived from the job's and the file's salt; the nonce is the frame's number, 0, and 1 (agent/store/seal.h).
 * Pages are named by HMAC-SHA-256 then, so `hash` is that. Bound to a frame are the job and its header up to the
 * checksum; to entries and skeleton, all before them. A frame cannot be bound to its pack's id, which is known when the
 * last page is: its key is the file's, and the salt is under the digest, with the id.
 */
#ifndef FM_STORE_PAGES_FORMAT_H
#define FM_STORE_PAGES_FORMAT_H

#include <assert.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the page store's format is little-endian"
#endif

#define DISK_VERSION 2
#define DISK_PACK_MAGIC "fm-pack\n"
#define DISK_END_MAGIC "fm-pend\n"
#define DISK_MAP_MAGIC "fm-pmap\n"
#define DISK_FRAME_MAGIC 0x6d726646u /* "Ffrm" */
#define DISK_ID_TEXT "fermata pack 1\n" /* what a pack's id begins to hash with */

struct disk_pack_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint32_t job;
	uint32_t page_size;
	uint32_t cipher;   /* key_format.h; 0: none, and the next three are zero */
	uint8_t zero[4];
	uint8_t key[8];    /* the id of the job's key */
	uint8_t salt[32];
};
static_assert(sizeof(struct disk_pack_header) == 72, "pack header");

struct disk_frame_header {
	uint32_t magic;
	uint32_t frame;
	uint32_t stored;
	uint16_t pages;
	uint8_t codec;
	uint8_t zero;
	uint64_t checksum; /* XXH3, 64 bits, of the payload as it lies there: to tell a frame's damage from a page's */
};
static_assert(sizeof(struct disk_frame_header) == 24, "frame header");

struct disk_frame {
	uint64_t offset; /* of the frame's header, in the file */
	uint32_t stored;
	uint16_t pages;
	uint8_t codec;
	uint8_t zero;
	uint64_t checksum;
};
static_assert(sizeof(struct disk_frame) == 24, "frame entry");

/* Ascending by the whole hash. Slots with the same hash, if ever: in any order. */
struct disk_order {
	uint32_t prefix; /* the hash's first four bytes, big-endian */
	uint32_t slot;
};
static_assert(sizeof(struct disk_order) == 8, "order entry");

#define DISK_ABSENT UINT32_MAX
#define DISK_LOCATION(frame, place) ((uint32_t)(frame) << 8 | (place))
#define DISK_LOCATION_FRAME(location) ((location) >> 8)
#define DISK_LOCATION_PLACE(location) ((location) & 0xff)

struct disk_pack_trailer {
	char magic[8];
	uint32_t version;
	uint32_t frames;
	uint32_t slots;
	uint32_t present;
	uint64_t index_offset;
	uint64_t index_size;
	uint8_t id[32];
	uint8_t zero[24];
	uint8_t digest[32]; /* SHA-256 of header, index and the trailer up to here */
};
static_assert(sizeof(struct disk_pack_trailer) == 128, "pack trailer");

struct disk_map_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint32_t job;
	uint32_t page_size;
	uint64_t pages;
	uint64_t zero_pages;
	uint64_t pfn_end;
	uint32_t packs;
	uint32_t runs;
	uint64_t entries_raw;
	uint64_t entries_stored;
	uint64_t skeleton_raw;
	uint64_t skeleton_stored;
	uint32_t cipher; /* as a pack's */
	uint8_t zero[4];
	uint8_t key[8];
	uint8_t salt[32];
};
static_assert(sizeof(struct disk_map_header) == 136, "map header");

struct disk_map_pack {
	uint8_t id[32];
	uint32_t slots;
	uint32_t zero;
};
static_assert(sizeof(struct disk_map_pack) == 40, "map's pack");

#endif
