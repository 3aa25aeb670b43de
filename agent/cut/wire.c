/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire.c - see wire.h. */
#include "agent/cut/wire.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hex.h"

#define MAGIC 0x466d4331u
#define ORDER_SIZE 16u
#define ANSWER_SIZE 48u /* before text and entries */

/* ---- numbers ---------------------------------------------------------------------- */

static void put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

/* ---- frames ------------------------------------------------------------------------- */

int wire_size(const uint8_t *data, size_t have, size_t *size_r)
{
	*size_r = 0;
	if (have >= 4 && get32(data) != MAGIC)
		return -1;
	if (have < 8)
		return 0;
	*size_r = get32(data + 4);
	return *size_r < WIRE_HEADER + WIRE_MAC ? -1 : 0;
}

int wire_decode(struct wire_frame *frame_r, const uint8_t *data, size_t size, struct fm_error *err)
{
	size_t said;

	if (size < WIRE_HEADER + WIRE_MAC || wire_size(data, size, &said) || said != size)
		return fm_fail(err, FM_USAGE, "not a frame of a cut");
	if (data[8] < WIRE_OPEN || data[8] > WIRE_REFUSAL || data[9] >= CUT_ROUNDS || get16(data + 10))
		return fm_fail(err, FM_USAGE, "a frame of a kind that is not known here (%u, %u)", data[8], data[9]);
	*frame_r = (struct wire_frame){
		.type = (enum wire_type)data[8], .round = (enum cut_round)data[9],
		.job = get32(data + 12), .n = get32(data + 16), .from = get32(data + 20), .to = get32(data + 24),
		.number = get64(data + 28), .body = data + WIRE_HEADER, .size = size - WIRE_HEADER - WIRE_MAC,
	};
	return 0;
}

static bool mac(const uint8_t *data, size_t size, const uint8_t key[WIRE_KEY], uint8_t mac_r[WIRE_MAC])
{
	unsigned n = WIRE_MAC;

	return HMAC(EVP_sha256(), key, WIRE_KEY, data, size, mac_r, &n) && n == WIRE_MAC;
}

bool wire_proven(const uint8_t *data, size_t size, const uint8_t key[WIRE_KEY])
{
	uint8_t want[WIRE_MAC];

	return size >= WIRE_HEADER + WIRE_MAC && mac(data, size - WIRE_MAC, key, want) &&
	       CRYPTO_memcmp(want, data + size - WIRE_MAC, WIRE_MAC) == 0;
}

/* Room for a frame with a body of that size, the header written. */
static uint8_t *frame_new(const struct wire_frame *frame, size_t body, size_t *size_r)
{
	size_t size = WIRE_HEADER + body + WIRE_MAC;
	uint8_t *data = size <= UINT32_MAX ? calloc(1, size) : NULL;

	if (!data)
		return NULL;
	put32(data, MAGIC);
	put32(data + 4, (uint32_t)size);
	data[8] = (uint8_t)frame->type;
	data[9] = (uint8_t)frame->round;
	put32(data + 12, frame->job);
	put32(data + 16, frame->n);
	put32(data + 20, frame->from);
	put32(data + 24, frame->to);
	put64(data + 28, frame->number);
	*size_r = size;
	return data;
}

static uint8_t *frame_seal(uint8_t *data, size_t size, const uint8_t key[WIRE_KEY])
{
	if (mac(data, size - WIRE_MAC, key, data + size - WIRE_MAC))
		return data;
	free(data);
	return NULL;
}

uint8_t *wire_encode_end(const struct wire_frame *frame, const uint8_t key[WIRE_KEY], size_t *size_r)
{
	uint8_t *data = frame_new(frame, 0, size_r);

	return data ? frame_seal(data, *size_r, key) : NULL;
}

/* It goes into logs. size is at most WIRE_TEXT_MAX. */
static void copy_text(char text_r[WIRE_TEXT_MAX + 1], const uint8_t *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		text_r[i] = text[i] < ' ' || text[i] == 127 ? '?' : (char)text[i];
	text_r[size] = '\0';
}

uint8_t *wire_encode_refusal(const struct wire_frame *frame, const char *text, size_t *size_r)
{
	size_t size = strnlen(text, WIRE_TEXT_MAX);
	uint8_t *data = frame_new(frame, size, size_r);

	if (data)
		memcpy(data + WIRE_HEADER, text, size);
	return data;
}

void wire_refusal_text(const struct wire_frame *frame, char text_r[WIRE_TEXT_MAX + 1])
{
	copy_text(text_r, frame->body, frame->size < WIRE_TEXT_MAX ? frame->size : WIRE_TEXT_MAX);
}

/* ---- orders ------------------------------------------------------------------------------ */

uint8_t *wire_encode_order(const struct wire_frame *frame, const struct wire_order *order,
			   const uint8_t key[WIRE_KEY], size_t *size_r)
{
	size_t credential = order->credential ? strlen(order->credential) : 0;
	uint8_t *data = frame_new(frame, ORDER_SIZE + credential, size_r), *body;

	if (!data)
		return NULL;
	body = data + WIRE_HEADER;
	put32(body, order->within_ms);
	put32(body + 4, order->lease_ms);
	put32(body + 8, order->arity);
	put32(body + 12, order->members);
	if (credential)
		memcpy(body + ORDER_SIZE, order->credential, credential);
	return frame_seal(data, *size_r, key);
}

int wire_decode_order(struct wire_order *order_r, const struct wire_frame *frame, struct fm_error *err)
{
	size_t credential = frame->size - ORDER_SIZE;

	if (frame->size < ORDER_SIZE || (frame->type == WIRE_OPEN) != (credential > 0) ||
	    memchr(frame->body + ORDER_SIZE, '\0', credential))
		return fm_fail(err, FM_USAGE, "a malformed order");
	*order_r = (struct wire_order){
		.within_ms = get32(frame->body), .lease_ms = get32(frame->body + 4),
		.arity = get32(frame->body + 8), .members = get32(frame->body + 12),
	};
	if (!order_r->arity || order_r->members <= frame->to || order_r->members <= frame->from)
		return fm_fail(err, FM_USAGE, "an order to a tree that cannot be");
	if (credential && !(order_r->credential = strndup((const char *)frame->body + ORDER_SIZE, credential)))
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

/* ---- answers ------------------------------------------------------------------------------- */

uint8_t *wire_encode_answer(const struct wire_frame *frame, const struct wire_answer *answer,
			    const uint8_t key[WIRE_KEY], size_t *size_r)
{
	size_t text = answer->yes ? 0 : strnlen(answer->text, WIRE_TEXT_MAX);
	size_t entries = answer->yes ? answer->sum.entries_size : 0;
	uint8_t *data = frame_new(frame, ANSWER_SIZE + text + entries, size_r), *body;

	if (!data)
		return NULL;
	body = data + WIRE_HEADER;
	body[0] = answer->yes;
	body[1] = (uint8_t)answer->code;
	put16(body + 2, (uint16_t)text);
	put32(body + 4, answer->rank);
	put32(body + 8, answer->sum.drain_us);
	put32(body + 12, answer->sum.drain_bound);
	put64(body + 16, answer->sum.stopped_bytes);
	put64(body + 24, (uint64_t)answer->sum.first_ns);
	put64(body + 32, (uint64_t)answer->sum.last_ns);
	put32(body + 40, (uint32_t)entries);
	memcpy(body + ANSWER_SIZE, answer->text, text);
	if (entries)
		memcpy(body + ANSWER_SIZE + text, answer->sum.entries, entries);
	return frame_seal(data, *size_r, key);
}

int wire_decode_answer(struct wire_answer *answer_r, const struct wire_frame *frame, struct fm_error *err)
{
	const uint8_t *body = frame->body;
	size_t text, entries;

	if (frame->size < ANSWER_SIZE || body[0] > 1 || body[1] > FM_BUSY || (body[0] == 0) != (body[1] != FM_OK))
		return fm_fail(err, FM_USAGE, "a malformed answer");
	text = get16(body + 2);
	entries = get32(body + 40);
	if (text > WIRE_TEXT_MAX || text + entries != frame->size - ANSWER_SIZE || (body[0] ? text : entries))
		return fm_fail(err, FM_USAGE, "a malformed answer");
	*answer_r = (struct wire_answer){
		.yes = body[0], .code = (enum fm_code)body[1], .rank = get32(body + 4),
		.sum = { .drain_us = get32(body + 8), .drain_bound = get32(body + 12),
			 .stopped_bytes = get64(body + 16), .first_ns = (int64_t)get64(body + 24),
			 .last_ns = (int64_t)get64(body + 32), .entries_size = entries },
	};
	copy_text(answer_r->text, body + ANSWER_SIZE, text);
	if (!entries)
		return 0;
	answer_r->sum.entries = malloc(entries);
	if (!answer_r->sum.entries)
		return fm_fail(err, FM_FAILED, "out of memory");
	memcpy(answer_r->sum.entries, body + ANSWER_SIZE + text, entries);
	return 0;
}

/* ---- the key -------------------------------------------------------------------------------- */

void wire_grant_format(char text_r[WIRE_GRANT_MAX], const struct wire_frame *frame, const uint8_t key[WIRE_KEY])
{
	int n = snprintf(text_r, WIRE_GRANT_MAX, "cut %u.%u %u %u ", frame->job, frame->n, frame->from, frame->to);

	fm_hex(key, WIRE_KEY, text_r + n);
}

int wire_grant_parse(const char *text, size_t size, const struct wire_frame *frame, uint8_t key_r[WIRE_KEY],
		     struct fm_error *err)
{
	const size_t hex = (size_t)2 * WIRE_KEY;
	char want[WIRE_GRANT_MAX];
	size_t before;

	memset(key_r, 0, WIRE_KEY);
	wire_grant_format(want, frame, key_r);
	before = strlen(want) - hex;
	if (size != before + hex || memcmp(text, want, before))
		return fm_fail(err, FM_DENIED, "the credential is for something else");
	if (!fm_unhex(text + before, hex, key_r, WIRE_KEY))
		return fm_fail(err, FM_DENIED, "the credential holds no key");
	return 0;
}
