/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hash.h - SHA-256 of many pages at once, by whichever implementation is there (page store only).
 *
 * "libcrypto" always is. "ipsec-mb" hashes up to 16 pages side by side where libIPSec_MB is installed in the very
 * version whose headers we were built with, and gives the same as libcrypto for a first try; else it is not there.
 */
#ifndef FM_STORE_PAGES_HASH_H
#define FM_STORE_PAGES_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct hash_ops {
	const char *name;
	/* A hasher for one thread; FM_NOT_FOUND with the reason when this machine has it not. */
	void *(*create)(struct fm_error *err);
	void (*destroy)(void *hasher); /* NULL is fine */
	/* count pages of PAGES_SIZE bytes at page[i]; hash_r[i] is page i's. */
	int (*pages)(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32], struct fm_error *err);
};

extern const struct hash_ops hash_libcrypto, hash_ipsec_mb;

struct hasher {
	const struct hash_ops *ops;
	void *state;
};

/* name NULL: the fastest that works here. */
int hasher_init(struct hasher *h, const char *name, struct fm_error *err);
void hasher_dispose(struct hasher *h);
int hasher_pages(struct hasher *h, const void *const *page, size_t count, uint8_t (*hash_r)[32], struct fm_error *err);

/* 64 lower-case digits and a NUL. */
void hash_hex(const uint8_t hash[32], char hex_r[65]);
/* False when it is not that. */
int hash_parse(const char *hex, uint8_t hash_r[32]);

#endif
