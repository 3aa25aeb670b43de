/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.c - SHA-256 through OpenSSL's EVP, which uses the processor's SHA instructions. */
#include "config.h"

#include "common/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "common/hex.h"

struct digest {
	EVP_MD_CTX *context, *copy;
};

struct digest *digest_create(struct fm_error *err)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (d) {
		d->context = EVP_MD_CTX_new();
		d->copy = EVP_MD_CTX_new();
	}
	if (!d || !d->context || !d->copy || !EVP_DigestInit_ex(d->context, EVP_sha256(), NULL)) {
		digest_destroy(d);
		fm_fail(err, FM_FAILED, "SHA-256 is not available (libcrypto or memory)");
		return NULL;
	}
	return d;
}

int digest_add(struct digest *d, const void *data, size_t size, struct fm_error *err)
{
	if (!EVP_DigestUpdate(d->context, data, size))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	return 0;
}

int digest_so_far(const struct digest *d, uint8_t sha256_r[32], struct fm_error *err)
{
	if (!EVP_MD_CTX_copy_ex(d->copy, d->context) || !EVP_DigestFinal_ex(d->copy, sha256_r, NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	return 0;
}

int digest_hex(const struct digest *d, char hex_r[65], struct fm_error *err)
{
	uint8_t sha256[32];

	if (digest_so_far(d, sha256, err) < 0)
		return -1;
	fm_hex(sha256, sizeof(sha256), hex_r);
	return 0;
}

void digest_destroy(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	EVP_MD_CTX_free(d->copy);
	free(d);
}
