/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proof.c - how the two sides of the runner's protocol prove that they hold the token.
 *
 * HMAC is put together here from libcrypto's SHA-256: its HMAC() would bring the
 * whole provider machinery, 3.6 MB, into the static runner.
 */
#include "config.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>
#include <errno.h>
#include <stdlib.h>

#include "agent/runner/protocol.h"

#define BLOCK 64

void fm_hmac_sha256(const uint8_t *key, size_t key_size, const void *data, size_t size,
		    uint8_t mac_r[FM_MAC_SIZE])
{
	uint8_t pad[BLOCK] = { 0 };
	uint8_t inner[SHA256_DIGEST_LENGTH];
	SHA256_CTX sha;

	memcpy(pad, key, key_size < BLOCK ? key_size : BLOCK);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	SHA256_Init(&sha);
	SHA256_Update(&sha, pad, BLOCK);
	SHA256_Update(&sha, data, size);
	SHA256_Final(inner, &sha);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&sha);
	SHA256_Update(&sha, pad, BLOCK);
	SHA256_Update(&sha, inner, sizeof(inner));
	SHA256_Final(mac_r, &sha);
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(&sha, sizeof(sha));
}

void fm_auth_mac(const uint8_t token[FM_TOKEN_SIZE], enum fm_side side,
		 const uint8_t server_nonce[FM_NONCE_SIZE], const uint8_t client_nonce[FM_NONCE_SIZE],
		 uint8_t mac_r[FM_MAC_SIZE])
{
	static const char label[2][16] = { "fermata server\n", "fermata client\n" };
	uint8_t text[sizeof(label[0]) + 2 * FM_NONCE_SIZE];

	memcpy(text, label[side == FM_SIDE_CLIENT], sizeof(label[0]));
	memcpy(text + sizeof(label[0]), server_nonce, FM_NONCE_SIZE);
	memcpy(text + sizeof(label[0]) + FM_NONCE_SIZE, client_nonce, FM_NONCE_SIZE);
	fm_hmac_sha256(token, FM_TOKEN_SIZE, text, sizeof(text), mac_r);
}

bool fm_mac_equal(const uint8_t a[FM_MAC_SIZE], const uint8_t b[FM_MAC_SIZE])
{
	return CRYPTO_memcmp(a, b, FM_MAC_SIZE) == 0;
}

void fm_random(void *buf, size_t size)
{
	uint8_t *p = buf;

	while (size) {
		ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		p += n;
		size -= (size_t)n;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int fm_token_parse(const char *hex, uint8_t token_r[FM_TOKEN_SIZE], struct fm_error *err)
{
	if (strlen(hex) != 2 * FM_TOKEN_SIZE)
		return fm_fail(err, FM_USAGE, "the token is not %d hex digits", 2 * FM_TOKEN_SIZE);
	for (size_t i = 0; i < FM_TOKEN_SIZE; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return fm_fail(err, FM_USAGE, "the token is not %d hex digits", 2 * FM_TOKEN_SIZE);
		token_r[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
