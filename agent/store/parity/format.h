/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h - parity shards as bytes; man 5 fermata-store says the same, and a test compares them.
 *
 * Numbers are little-endian, and so are the machines this is for. No struct has a hole; bytes called zero are.
 *
 *	header | data entry × k | names | (record | checksum × (k + m) | payload) × stripes | SHA-256 × k | trailer
 */
#ifndef FM_STORE_PARITY_FORMAT_H
#define FM_STORE_PARITY_FORMAT_H

#include <assert.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the format of parity shards is little-endian"
#endif

#define DISK_PARITY_VERSION 1
#define DISK_PARITY_MAGIC "fm-prty\n"
#define DISK_PARITY_END_MAGIC "fm-pryE\n"
#define DISK_PARITY_RECORD_MAGIC 0x72617046u /* "Fpar" */

struct disk_parity_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size; /* up to the first record */
	uint8_t id[16];
	uint16_t k;
	uint16_t m;
	uint16_t index; /* k … k+m-1 */
	uint16_t zero;
	uint32_t stripe;
	uint32_t names; /* bytes of them */
	uint64_t stripes;
	uint64_t length; /* of the longest data file: so many bytes have the payloads in all */
};
static_assert(sizeof(struct disk_parity_header) == 64, "parity header");

struct disk_parity_data {
	uint64_t offset;
	uint64_t length;
	uint32_t name; /* bytes of it */
	uint32_t zero;
};
static_assert(sizeof(struct disk_parity_data) == 24, "parity data entry");

struct disk_parity_record {
	uint32_t magic;
	uint32_t payload; /* bytes */
	uint64_t stripe;  /* its number */
	uint8_t id[16];
	uint32_t index;
	uint32_t zero;
	uint64_t checksum; /* XXH3, 64 bits, of the record up to here and the checksums behind it */
};
static_assert(sizeof(struct disk_parity_record) == 48, "parity record");

struct disk_parity_trailer {
	char magic[8];
	uint8_t zero[8];
	uint8_t digest[32]; /* SHA-256 of header, data entries, names, SHA-256s of the data, and the trailer up to here */
	uint8_t sha256[32]; /* of all before */
};
static_assert(sizeof(struct disk_parity_trailer) == 80, "parity trailer");

#endif
