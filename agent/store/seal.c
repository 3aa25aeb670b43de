/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seal.c - see seal.h. */
#include "config.h"

#include "agent/store/seal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#define PIECE ((size_t)1 << 30) /* libcrypto counts in int */

/* All but the end: key, nonce, bound, data. */
static int run(struct seal *s, int closing, const uint8_t key[SEAL_KEY], uint64_t number,
	       const struct seal_bound *bound, uint8_t *data, size_t size)
{
	uint8_t nonce[12] = { 0 };
	int n;

	for (unsigned i = 0; i < 8; i++)
		nonce[i] = (uint8_t)(number >> 8 * i);
	if (!s->context) {
		s->context = EVP_CIPHER_CTX_new();
		if (!s->context || !EVP_CipherInit_ex(s->context, EVP_aes_256_gcm(), NULL, NULL, NULL, closing))
			return 0;
	}
	if (!EVP_CipherInit_ex(s->context, NULL, NULL, key, nonce, closing))
		return 0;
	for (size_t at = 0; at < bound->size; at += PIECE)
		if (!EVP_CipherUpdate(s->context, NULL, &n, (const uint8_t *)bound->data + at,
				      (int)(bound->size - at < PIECE ? bound->size - at : PIECE)))
			return 0;
	for (size_t at = 0; at < size; at += PIECE)
		if (!EVP_CipherUpdate(s->context, data + at, &n, data + at,
				      (int)(size - at < PIECE ? size - at : PIECE)))
			return 0;
	return 1;
}

int seal_close(struct seal *s, const uint8_t key[SEAL_KEY], uint64_t number, const struct seal_bound *bound, void *data,
	       size_t size, uint8_t tag_r[SEAL_TAG], struct fm_error *err)
{
	uint8_t rest[16];
	int n;

	if (!run(s, 1, key, number, bound, data, size) || !EVP_CipherFinal_ex(s->context, rest, &n) ||
	    !EVP_CIPHER_CTX_ctrl(s->context, EVP_CTRL_GCM_GET_TAG, (int)SEAL_TAG, tag_r))
		return fm_fail(err, FM_FAILED, "AES-256-GCM failed (libcrypto or memory)");
	return 0;
}

int seal_open(struct seal *s, const uint8_t key[SEAL_KEY], uint64_t number, const struct seal_bound *bound, void *data,
	      size_t size, const uint8_t tag[SEAL_TAG], struct fm_error *err)
{
	uint8_t wanted[SEAL_TAG], rest[16];
	int n;

	memcpy(wanted, tag, SEAL_TAG);
	if (!run(s, 0, key, number, bound, data, size) ||
	    !EVP_CIPHER_CTX_ctrl(s->context, EVP_CTRL_GCM_SET_TAG, (int)SEAL_TAG, wanted))
		return fm_fail(err, FM_FAILED, "AES-256-GCM failed (libcrypto or memory)");
	if (!EVP_CipherFinal_ex(s->context, rest, &n))
		return fm_fail(err, FM_CORRUPT, "it is not what was encrypted: its authentication tag is wrong");
	return 0;
}

void seal_dispose(struct seal *s)
{
	EVP_CIPHER_CTX_free(s->context);
	s->context = NULL;
}

int seal_derive(const uint8_t key[SEAL_KEY], const char *purpose, const uint8_t *salt, uint8_t key_r[SEAL_KEY],
		struct fm_error *err)
{
	uint8_t info[64 + SEAL_SALT + 1];
	size_t size = strlen(purpose);
	unsigned n = 0;

	if (size > 64)
		return fm_fail(err, FM_USAGE, "a purpose of %zu bytes", size);
	memcpy(info, purpose, size);
	if (salt) {
		memcpy(info + size, salt, SEAL_SALT);
		size += SEAL_SALT;
	}
	info[size++] = 1; /* the first block; one is all that is needed */
	if (!HMAC(EVP_sha256(), key, (int)SEAL_KEY, info, size, key_r, &n) || n != SEAL_KEY)
		return fm_fail(err, FM_FAILED, "HMAC-SHA-256 failed (libcrypto or memory)");
	return 0;
}

int seal_random(void *data_r, size_t size, struct fm_error *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = getrandom((char *)data_r + done, size - done, 0);

		if (n < 0 && errno != EINTR)
			return fm_fail(err, FM_FAILED, "no random numbers: %s", strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void seal_wipe(void *data, size_t size)
{
	OPENSSL_cleanse(data, size);
}
