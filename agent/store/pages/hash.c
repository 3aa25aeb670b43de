/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash.c - libcrypto's SHA-256, and which implementation to take. */
#include "config.h"

#include "agent/store/pages/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/key_private.h"
#include "agent/store/pages/pages.h"
#include "common/hex.h"

static const struct hash_ops *const implementations[] = {
	&hash_ipsec_mb, /* best first */
	&hash_libcrypto,
};

/* HMAC out of SHA-256 by hand: to start libcrypto's own anew for each page costs more than the blocks do. */
struct libcrypto {
	EVP_MD_CTX *context;
	bool keyed;
	uint8_t inner[HMAC_BLOCK], outer[HMAC_BLOCK]; /* the key, XORed as RFC 2104 has it */
};

static void libcrypto_destroy(void *hasher)
{
	struct libcrypto *l = hasher;

	if (!l)
		return;
	EVP_MD_CTX_free(l->context);
	seal_wipe(l, sizeof(*l));
	free(l);
}

static void *libcrypto_create(const uint8_t *key, struct fm_error *err)
{
	struct libcrypto *l = calloc(1, sizeof(*l));

	if (l)
		l->context = EVP_MD_CTX_new();
	/* Once: to look SHA-256 up costs as much as to hash a page. */
	if (!l || !l->context || !EVP_DigestInit_ex(l->context, EVP_sha256(), NULL)) {
		libcrypto_destroy(l);
		fm_fail(err, FM_FAILED, "SHA-256 is not available (libcrypto or memory)");
		return NULL;
	}
	l->keyed = key;
	if (key)
		hash_hmac_pads(key, l->inner, l->outer);
	return l;
}

void hash_hmac_pads(const uint8_t key[32], uint8_t inner_r[HMAC_BLOCK], uint8_t outer_r[HMAC_BLOCK])
{
	for (unsigned i = 0; i < HMAC_BLOCK; i++) {
		uint8_t byte = i < 32 ? key[i] : 0;

		inner_r[i] = byte ^ 0x36;
		outer_r[i] = byte ^ 0x5c;
	}
}

/* The hash of `before`, if there is one, and the data. */
static int libcrypto_hash(const struct libcrypto *l, const uint8_t *before, const void *data, size_t size,
			  uint8_t hash_r[32])
{
	return EVP_DigestInit_ex(l->context, NULL, NULL) &&
	       (!before || EVP_DigestUpdate(l->context, before, HMAC_BLOCK)) &&
	       EVP_DigestUpdate(l->context, data, size) && EVP_DigestFinal_ex(l->context, hash_r, NULL);
}

static int libcrypto_pages(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32],
			   struct fm_error *err)
{
	const struct libcrypto *l = hasher;

	for (size_t i = 0; i < count; i++)
		if (!libcrypto_hash(l, l->keyed ? l->inner : NULL, page[i], PAGES_SIZE, hash_r[i]) ||
		    (l->keyed && !libcrypto_hash(l, l->outer, hash_r[i], 32, hash_r[i])))
			return fm_fail(err, FM_FAILED, "SHA-256 failed");
	return 0;
}

const struct hash_ops hash_libcrypto = {
	.name = "libcrypto",
	.create = libcrypto_create,
	.destroy = libcrypto_destroy,
	.pages = libcrypto_pages,
};

int hasher_init(struct hasher *h, const char *name, const struct pages_key *key, struct fm_error *err)
{
	fm_fail(err, FM_USAGE, "there is no SHA-256 implementation called %s", name ? name : "");
	for (size_t i = 0; i < sizeof(implementations) / sizeof(*implementations); i++) {
		if (name && strcmp(name, implementations[i]->name) != 0)
			continue;
		h->ops = implementations[i];
		h->state = h->ops->create(key ? key->name : NULL, err);
		if (h->state)
			return 0;
	}
	h->ops = NULL;
	return -1;
}

void hasher_dispose(struct hasher *h)
{
	if (h->ops)
		h->ops->destroy(h->state);
	h->ops = NULL;
	h->state = NULL;
}

int hasher_pages(struct hasher *h, const void *const *page, size_t count, uint8_t (*hash_r)[32], struct fm_error *err)
{
	return h->ops->pages(h->state, page, count, hash_r, err);
}

void hash_hex(const uint8_t hash[32], char hex_r[65])
{
	fm_hex(hash, 32, hex_r);
}

int hash_parse(const char *hex, uint8_t hash_r[32])
{
	return fm_unhex(hex, strnlen(hex, 65), hash_r, 32);
}
