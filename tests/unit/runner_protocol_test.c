/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runner_protocol_test.c - the runner believes nothing it is sent: proofs, frames and requests are exact or refused. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/runner/frames.h"

static struct fm_error err;

static void hex(const uint8_t *data, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		sprintf(text + 2 * i, "%02x", data[i]);
}

/* RFC 4231, test cases 1, 2 and 4 */
static void hmac_as_published(void **state)
{
	uint8_t key[32], data[64], mac[FM_MAC_SIZE];
	char text[2 * FM_MAC_SIZE + 1];

	memset(key, 0x0b, 20);
	fm_hmac_sha256(key, 20, "Hi There", 8, mac);
	hex(mac, sizeof(mac), text);
	assert_string_equal(text, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	fm_hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, mac);
	hex(mac, sizeof(mac), text);
	assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	for (int i = 0; i < 25; i++)
		key[i] = (uint8_t)(i + 1);
	memset(data, 0xcd, 50);
	fm_hmac_sha256(key, 25, data, 50, mac);
	hex(mac, sizeof(mac), text);
	assert_string_equal(text, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
}

static void proofs_cannot_be_reflected(void **state)
{
	uint8_t token[FM_TOKEN_SIZE] = { 1 }, other[FM_TOKEN_SIZE] = { 2 };
	uint8_t a[FM_NONCE_SIZE] = { 3 }, b[FM_NONCE_SIZE] = { 4 };
	uint8_t client[FM_MAC_SIZE], mac[FM_MAC_SIZE];

	fm_auth_mac(token, FM_SIDE_CLIENT, a, b, client);
	fm_auth_mac(token, FM_SIDE_CLIENT, a, b, mac);
	assert_true(fm_mac_equal(client, mac));
	fm_auth_mac(token, FM_SIDE_SERVER, a, b, mac);
	assert_false(fm_mac_equal(client, mac));
	fm_auth_mac(token, FM_SIDE_CLIENT, b, a, mac);
	assert_false(fm_mac_equal(client, mac));
	fm_auth_mac(other, FM_SIDE_CLIENT, a, b, mac);
	assert_false(fm_mac_equal(client, mac));
}

static void tokens(void **state)
{
	uint8_t token[FM_TOKEN_SIZE];
	char text[66];

	memset(text, 'a', 64);
	text[64] = text[65] = 0;
	assert_int_equal(fm_token_parse(text, token, &err), 0);
	assert_int_equal(token[31], 0xaa);
	text[64] = 'a';
	assert_int_equal(fm_token_parse(text, token, &err), -1);
	text[64] = 0;
	text[10] = 'g';
	assert_int_equal(fm_token_parse(text, token, &err), -1);
	assert_null(strstr(err.text, "aaaa")); /* a token is never part of a message */
	assert_int_equal(fm_token_parse("", token, &err), -1);
}

/* ---- requests ------------------------------------------------------------------------- */

static char *argv[] = { (char *)"prog", (char *)"", (char *)"a b", NULL };
static char *env[] = { (char *)"A=1", (char *)"B=", NULL };

static struct fm_request sample(void)
{
	struct fm_request request = { .id = "0.1", .flags = FM_REQUEST_MERGE | FM_REQUEST_FRESH,
				      .client = 0x1122334455667788, .from = { 0, 7, UINT64_MAX }, .umask = 027,
				      .argv = argv, .env = env, .cwd = (char *)"/work",
				      .script = (char *)"#!/bin/sh\n\0x", .script_size = 12 };

	return request;
}

static void request_round_trip(void **state)
{
	struct fm_request in = sample(), out;
	size_t size;
	uint8_t *blob = fm_request_encode(&in, &size, &err);

	assert_non_null(blob);
	assert_int_equal(fm_request_decode(&out, blob, size, &err), 0);
	assert_string_equal(out.id, in.id);
	assert_int_equal(out.flags, in.flags);
	assert_true(out.client == in.client && out.from[1] == 7 && out.from[2] == UINT64_MAX);
	assert_int_equal(out.umask, 027);
	assert_string_equal(out.argv[0], "prog");
	assert_string_equal(out.argv[1], "");
	assert_string_equal(out.argv[2], "a b");
	assert_null(out.argv[3]);
	assert_string_equal(out.env[1], "B=");
	assert_null(out.env[2]);
	assert_string_equal(out.cwd, "/work");
	assert_int_equal(out.script_size, 12);
	assert_memory_equal(out.script, in.script, 12);
	fm_request_dispose(&out);
	fm_request_dispose(&out); /* twice is fine */
	free(blob);
}

/* Each truncation, and each byte changed in turn, is decoded or refused; the sanitizers watch. */
static void damaged_requests(void **state)
{
	struct fm_request in = sample(), out;
	size_t size, refused = 0;
	uint8_t *blob = fm_request_encode(&in, &size, &err);

	for (size_t n = 0; n < size; n++) {
		uint8_t *cut = malloc(n + 1); /* exact, so that a read past it is seen */

		memcpy(cut, blob, n);
		/* without its last field, the script, it happens to be whole */
		if (n != size - 5 - in.script_size)
			assert_int_equal(fm_request_decode(&out, cut, n, &err), -1);
		else
			assert_int_equal(fm_request_decode(&out, cut, n, &err), 0);
		fm_request_dispose(&out);
		free(cut);
	}
	for (size_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++) {
			blob[i] ^= (uint8_t)(1 << bit);
			refused += fm_request_decode(&out, blob, size, &err) != 0;
			fm_request_dispose(&out);
			blob[i] ^= (uint8_t)(1 << bit);
		}
	assert_true(refused > size);
	free(blob);
}

static int decode_changed(void (*change)(struct fm_request *))
{
	struct fm_request in = sample(), out;
	size_t size;
	uint8_t *blob;
	int rc;

	change(&in);
	blob = fm_request_encode(&in, &size, &err);
	assert_non_null(blob);
	rc = fm_request_decode(&out, blob, size, &err);
	fm_request_dispose(&out);
	free(blob);
	return rc;
}

static void id_of_path(struct fm_request *request) { strcpy(request->id, "../x"); }
static void id_hidden(struct fm_request *request) { strcpy(request->id, "..") ; }
static void id_none(struct fm_request *request) { request->id[0] = 0; }
static void id_of_ephemeral(struct fm_request *request) { request->flags |= FM_REQUEST_EPHEMERAL; }
static void no_command(struct fm_request *request) { request->argv = env + 2; }

static void refused_requests(void **state)
{
	assert_int_equal(decode_changed(id_of_path), -1);
	assert_int_equal(decode_changed(id_hidden), -1);
	assert_int_equal(decode_changed(id_none), -1);
	assert_int_equal(decode_changed(id_of_ephemeral), -1);
	assert_int_equal(decode_changed(no_command), -1);
}

static void bounds_of_requests(void **state)
{
	struct fm_request in = sample();
	size_t size;
	char *big = malloc(FM_STRINGS_MAX + 2);
	char *one[] = { big, NULL };

	memset(big, 'x', FM_STRINGS_MAX + 1);
	big[FM_STRINGS_MAX + 1] = 0;
	in.env = one;
	assert_null(fm_request_encode(&in, &size, &err));
	assert_non_null(strstr(err.text, "environment"));
	in = sample();
	in.script_size = FM_SCRIPT_MAX + 1;
	assert_null(fm_request_encode(&in, &size, &err));
	free(big);
}

/* ---- frames ------------------------------------------------------------------------------ */

static struct fm_frames a, b;

static void connect_pair(void)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(fm_frames_init(&a, fd[0]), 0);
	assert_int_equal(fm_frames_init(&b, fd[1]), 0);
}

static void disconnect_pair(void)
{
	fm_frames_dispose(&a);
	fm_frames_dispose(&b);
	fm_frames_dispose(&b);
}

static void frames_of_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 4095, 4096, 65535, 65536 };
	static uint8_t data[FM_FRAME_MAX];
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;

	connect_pair();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 >> 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_int_equal(fm_frames_put(&a, FM_FRAME_OUTPUT, NULL, 0, data, sizes[i]), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		while (!fm_frames_next(&b, &type, &payload, &size)) {
			assert_int_equal(fm_frames_flush(&a), 0);
			assert_int_not_equal(fm_frames_fill(&b), -1);
		}
		assert_int_equal(type, FM_FRAME_OUTPUT);
		assert_int_equal(size, sizes[i]);
		assert_memory_equal(payload, data, size);
	}
	assert_int_equal(fm_frames_pending(&a), 0);
	disconnect_pair();
}

static void frames_too_long(void **state)
{
	uint8_t head[FM_FRAME_HEADER] = { FM_FRAME_AUTH, 0, 0, 1, 1 }; /* 257 bytes to come */
	enum fm_frame_type type;
	const uint8_t *payload;
	size_t size;

	connect_pair();
	b.limit = FM_FRAME_MAX_UNAUTHENTICATED;
	assert_int_equal(write(a.fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(fm_frames_fill(&b), 1);
	assert_int_equal(fm_frames_next(&b, &type, &payload, &size), -1);
	disconnect_pair();
	connect_pair();
	memset(head + 1, 0xff, 4);
	assert_int_equal(write(a.fd, head, sizeof(head)), sizeof(head));
	assert_int_equal(fm_frames_fill(&b), 1);
	assert_int_equal(fm_frames_next(&b, &type, &payload, &size), -1);
	disconnect_pair();
}

static void errors_are_clean_text(void **state)
{
	static const uint8_t payload[] = "\x04no\x1b[31m way\n";
	struct fm_error got;

	assert_int_equal(fm_frames_get_error(payload, sizeof(payload) - 1, &got), -1);
	assert_int_equal(got.code, FM_DENIED);
	assert_string_equal(got.text, "no?[31m way?");
	assert_int_equal(fm_frames_get_error(payload, 0, &got), -1);
	assert_int_equal(got.code, FM_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_as_published),
		cmocka_unit_test(proofs_cannot_be_reflected),
		cmocka_unit_test(tokens),
		cmocka_unit_test(request_round_trip),
		cmocka_unit_test(damaged_requests),
		cmocka_unit_test(refused_requests),
		cmocka_unit_test(bounds_of_requests),
		cmocka_unit_test(frames_of_every_size),
		cmocka_unit_test(frames_too_long),
		cmocka_unit_test(errors_are_clean_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
