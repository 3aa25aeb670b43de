/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hash.h - the names of many pages at once, by whichever implementation is there (page store only).
 *
 * A page's name is its SHA-256. In a job that is encrypted that would say which of the world's known pages it has, so
 * there it is HMAC-SHA-256 (RFC 2104) with a key of the job: alike pages of the job still have one name. It takes three
 * blocks of SHA-256 more than the 65 of a page; one, where the state behind each of the key's two is kept.
 *
 * "libcrypto" always is. "ipsec-mb" hashes up to 16 pages side by side where libIPSec_MB is installed in the very
 * version whose headers we were built with, and gives the same as libcrypto for a first try; else it is not there.
 */
#ifndef FM_STORE_PAGES_HASH_H
#define FM_STORE_PAGES_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "agent/store/key.h"
#include "common/error.h"

struct hash_ops {
	const char *name;
	/* A hasher for one thread; FM_NOT_FOUND with the reason when this machine has it not. key: 32 bytes for HMAC;
	 * NULL: plain SHA-256. */
	void *(*create)(const uint8_t *key, struct fm_error *err);
	void (*destroy)(void *hasher); /* NULL is fine */
	/* count pages of PAGES_SIZE bytes at page[i]; hash_r[i] is page i's. */
	int (*pages)(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32], struct fm_error *err);
};

extern const struct hash_ops hash_libcrypto, hash_ipsec_mb;

/* For implementations: the blocks that HMAC-SHA-256 begins its two hashes with. */
#define HMAC_BLOCK 64u
void hash_hmac_pads(const uint8_t key[32], uint8_t inner_r[HMAC_BLOCK], uint8_t outer_r[HMAC_BLOCK]);

struct hasher {
	const struct hash_ops *ops;
	void *state;
};

/* name NULL: the fastest that works here. key NULL: pages are named by their SHA-256. */
int hasher_init(struct hasher *h, const char *name, const struct pages_key *key, struct fm_error *err);
void hasher_dispose(struct hasher *h);
int hasher_pages(struct hasher *h, const void *const *page, size_t count, uint8_t (*hash_r)[32], struct fm_error *err);

/* 64 lower-case digits and a NUL. */
void hash_hex(const uint8_t hash[32], char hex_r[65]);
/* False when it is not that. */
int hash_parse(const char *hex, uint8_t hash_r[32]);

#endif
