/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seal.h - pieces of a file encrypted and authenticated (store and its pages only).
 *
 * AES-256-GCM (NIST SP 800-38D) by libcrypto. Two pieces under the same key and nonce would give both away, so:
 *  - every file that is written has a random salt of 256 bits, and by it a key of its own (HKDF-Expand, RFC 5869, with
 *    HMAC-SHA-256, from the key of the job). What is written anew gets another salt, and so another key;
 *  - within a file each piece has a number, used once; that is the nonce.
 * Nonces need not be remembered anywhere, and random ones, which meet after some 2^32 pieces of a key, are not used.
 */
#ifndef FM_STORE_SEAL_H
#define FM_STORE_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define SEAL_KEY 32u
#define SEAL_SALT 32u
#define SEAL_TAG 16u

/* What is not encrypted, but must be what it was. */
struct seal_bound {
	const void *data;
	size_t size;
};

/* One thread's; zeros to begin with. */
struct seal {
	void *context;
};

/*
 * In place; *bound may be of size 0. number: the piece's in the file. seal_open() fails with FM_CORRUPT when key,
 * number, bound, data and tag do not belong together; the data is overwritten all the same.
 */
int seal_close(struct seal *s, const uint8_t key[SEAL_KEY], uint64_t number, const struct seal_bound *bound, void *data,
	       size_t size, uint8_t tag_r[SEAL_TAG], struct fm_error *err);
int seal_open(struct seal *s, const uint8_t key[SEAL_KEY], uint64_t number, const struct seal_bound *bound, void *data,
	      size_t size, const uint8_t tag[SEAL_TAG], struct fm_error *err);
void seal_dispose(struct seal *s);

/* A key for this purpose (a text that is no other's beginning) and salt; salt NULL: none. */
int seal_derive(const uint8_t key[SEAL_KEY], const char *purpose, const uint8_t *salt, uint8_t key_r[SEAL_KEY],
		struct fm_error *err);

int seal_random(void *data_r, size_t size, struct fm_error *err);
/* Not optimised away. */
void seal_wipe(void *data, size_t size);

#endif
