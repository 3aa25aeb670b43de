/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash.c - libcrypto's SHA-256, and which implementation to take. */
#include "config.h"

#include "agent/store/pages/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/pages.h"
#include "common/hex.h"

static const struct hash_ops *const implementations[] = {
	&hash_ipsec_mb, /* best first */
	&hash_libcrypto,
};

static void *libcrypto_create(struct fm_error *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	/* Once: to look SHA-256 up costs as much as to hash a page. */
	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(context);
		fm_fail(err, FM_FAILED, "SHA-256 is not available (libcrypto or memory)");
		return NULL;
	}
	return context;
}

static void libcrypto_destroy(void *hasher)
{
	EVP_MD_CTX_free(hasher);
}

static int libcrypto_pages(void *hasher, const void *const *page, size_t count, uint8_t (*hash_r)[32],
			   struct fm_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!EVP_DigestInit_ex(hasher, NULL, NULL) || !EVP_DigestUpdate(hasher, page[i], PAGES_SIZE) ||
		    !EVP_DigestFinal_ex(hasher, hash_r[i], NULL))
			return fm_fail(err, FM_FAILED, "SHA-256 failed");
	return 0;
}

const struct hash_ops hash_libcrypto = {
	.name = "libcrypto",
	.create = libcrypto_create,
	.destroy = libcrypto_destroy,
	.pages = libcrypto_pages,
};

int hasher_init(struct hasher *h, const char *name, struct fm_error *err)
{
	fm_fail(err, FM_USAGE, "there is no SHA-256 implementation called %s", name ? name : "");
	for (size_t i = 0; i < sizeof(implementations) / sizeof(*implementations); i++) {
		if (name && strcmp(name, implementations[i]->name) != 0)
			continue;
		h->ops = implementations[i];
		h->state = h->ops->create(err);
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
