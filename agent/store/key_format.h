/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key_format.h - a job's key file and a sealed small file as bytes; man 5 fermata-store says the same, and a test
 * compares them. Little-endian, like agent/store/pages/format.h; no struct has a hole, bytes called zero are.
 */
#ifndef FM_STORE_KEY_FORMAT_H
#define FM_STORE_KEY_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define DISK_KEY_VERSION 1
#define DISK_KEY_MAGIC "fm-jkey\n"
#define DISK_BLOB_MAGIC "fm-blob\n"
#define DISK_CIPHER_NONE 0u
#define DISK_CIPHER_AES_256_GCM 1u

/* What keys are derived for: seal_derive(). Each ends in a newline: none is another's beginning. */
#define DISK_WRAP_PURPOSE "fermata wrap\n"    /* from the site's key, with the file's salt */
#define DISK_KEY_ID_PURPOSE "fermata key id\n" /* from the job's: its id, 8 bytes of it */
#define DISK_NAME_PURPOSE "fermata names\n"   /* from the job's: to name pages by */
#define DISK_PACK_PURPOSE "fermata pack\n"    /* from the job's, with the pack's salt */
#define DISK_MAP_PURPOSE "fermata map\n"
#define DISK_BLOB_PURPOSE "fermata blob\n"

struct disk_key {
	char magic[8];
	uint32_t version;
	uint32_t size;
	uint32_t job;
	uint32_t cipher;
	uint8_t site[4];
	uint8_t zero[4];
	uint8_t salt[32];
	uint8_t wrapped[32];
	uint8_t tag[16];
	uint8_t digest[32]; /* to tell damage from a wrong key */
};
static_assert(sizeof(struct disk_key) == 144, "key file");

struct disk_blob {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint32_t job;
	uint32_t cipher;
	uint64_t size; /* of what is sealed: ciphertext and plaintext are as long */
	uint8_t key[8];
	uint8_t salt[32];
	uint8_t tag[16];
};
static_assert(sizeof(struct disk_blob) == 88, "sealed file's header");

#endif
