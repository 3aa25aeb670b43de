/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cut's frames as bytes: what is encoded is decoded, and nothing else is taken:
 * no frame that is cut short, longer than it says, or has one bit changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cut/wire.h"

static const uint8_t key[WIRE_KEY] = "0123456789abcdef0123456789abcde";

static struct wire_frame frame_of(enum wire_type type, enum cut_round round)
{
	return (struct wire_frame){ .type = type, .round = round, .job = 4711, .n = 3, .from = 1, .to = 6, .number = 1ull << 40 };
}

static uint8_t *an_open(size_t *size_r)
{
	struct wire_frame frame = frame_of(WIRE_OPEN, CUT_ARM);
	const struct wire_order order = { 5000, 2000, 2, 7, (char *)"MUNGE:abc:" };

	return wire_encode_order(&frame, &order, key, size_r);
}

static uint8_t *a_no(size_t *size_r)
{
	struct wire_frame frame = frame_of(WIRE_ANSWER, CUT_CUT);
	struct wire_answer no = { .code = FM_TIMEOUT, .rank = 14, .text = "no \x1b[2Janswer" };

	return wire_encode_answer(&frame, &no, key, size_r);
}

static uint8_t *a_yes(size_t *size_r)
{
	struct wire_frame frame = frame_of(WIRE_ANSWER, CUT_COMMIT);
	struct wire_answer yes = { .yes = true, .sum = { 1, 2, 3, -4, 5, (char *)"{\"rank\":6}", 10 } };

	return wire_encode_answer(&frame, &yes, key, size_r);
}

static void test_order(void **state)
{
	struct wire_frame frame;
	struct wire_order order;
	struct fm_error err;
	size_t size, said;
	uint8_t *data = an_open(&size);

	(void)state;
	assert_int_equal(wire_size(data, 8, &said), 0);
	assert_int_equal(said, size);
	assert_int_equal(wire_decode(&frame, data, size, &err), 0);
	assert_true(wire_proven(data, size, key));
	assert_int_equal(frame.type, WIRE_OPEN);
	assert_int_equal(frame.round, CUT_ARM);
	assert_int_equal(frame.job, 4711);
	assert_int_equal(frame.n, 3);
	assert_int_equal(frame.from, 1);
	assert_int_equal(frame.to, 6);
	assert_true(frame.number == 1ull << 40);
	assert_int_equal(wire_decode_order(&order, &frame, &err), 0);
	assert_int_equal(order.within_ms, 5000);
	assert_int_equal(order.lease_ms, 2000);
	assert_int_equal(order.arity, 2);
	assert_int_equal(order.members, 7);
	assert_string_equal(order.credential, "MUNGE:abc:");
	free(order.credential);
	free(data);
}

static void test_answers(void **state)
{
	struct wire_frame frame;
	struct wire_answer answer;
	struct fm_error err;
	size_t size;
	uint8_t *data = a_no(&size);

	(void)state;
	assert_int_equal(wire_decode(&frame, data, size, &err), 0);
	assert_int_equal(wire_decode_answer(&answer, &frame, &err), 0);
	assert_false(answer.yes);
	assert_int_equal(answer.code, FM_TIMEOUT);
	assert_int_equal(answer.rank, 14);
	assert_string_equal(answer.text, "no ?[2Janswer"); /* nothing that a terminal obeys */
	free(data);

	data = a_yes(&size);
	assert_int_equal(wire_decode(&frame, data, size, &err), 0);
	assert_int_equal(wire_decode_answer(&answer, &frame, &err), 0);
	assert_true(answer.yes);
	assert_int_equal(answer.sum.stopped_bytes, 1);
	assert_int_equal(answer.sum.drain_us, 2);
	assert_int_equal(answer.sum.drain_bound, 3);
	assert_int_equal(answer.sum.first_ns, -4);
	assert_int_equal(answer.sum.last_ns, 5);
	assert_int_equal(answer.sum.entries_size, 10);
	assert_memory_equal(answer.sum.entries, "{\"rank\":6}", 10);
	cut_sum_dispose(&answer.sum);
	free(data);
}

static void test_refusal(void **state)
{
	struct wire_frame frame = frame_of(WIRE_REFUSAL, CUT_ARM);
	char text[WIRE_TEXT_MAX + 1], endless[2000];
	struct fm_error err;
	size_t size;
	uint8_t *data = wire_encode_refusal(&frame, "no\n", &size);

	(void)state;
	assert_int_equal(wire_decode(&frame, data, size, &err), 0);
	assert_false(wire_proven(data, size, key));
	wire_refusal_text(&frame, text);
	assert_string_equal(text, "no?");
	free(data);
	memset(endless, 'x', sizeof(endless));
	frame.body = (const uint8_t *)endless;
	frame.size = sizeof(endless);
	wire_refusal_text(&frame, text);
	assert_int_equal(strlen(text), WIRE_TEXT_MAX);
}

/* Whatever the bytes are: an error, or a frame within them; and proven only when whole and unchanged. */
static void feed(const uint8_t *data, size_t size, bool original)
{
	uint8_t *copy = malloc(size ? size : 1); /* so that a sanitizer sees every byte too far */
	struct wire_frame frame;
	struct wire_order order;
	struct wire_answer answer;
	struct fm_error err;
	size_t said;

	memcpy(copy, data, size);
	assert_int_equal(wire_proven(copy, size, key), original);
	wire_size(copy, size, &said);
	if (wire_decode(&frame, copy, size, &err) == 0) {
		assert_true(said == size && frame.body + frame.size <= copy + size);
		if (wire_decode_order(&order, &frame, &err) == 0)
			free(order.credential);
		if (wire_decode_answer(&answer, &frame, &err) == 0)
			cut_sum_dispose(&answer.sum);
	}
	free(copy);
}

static void test_damage(void **state)
{
	uint8_t *(*const makers[])(size_t *) = { an_open, a_no, a_yes };

	(void)state;
	for (size_t m = 0; m < sizeof(makers) / sizeof(makers[0]); m++) {
		size_t size;
		uint8_t *data = makers[m](&size), *longer;

		feed(data, size, true);
		for (size_t n = 0; n < size; n++)
			feed(data, n, false);
		for (size_t bit = 0; bit < 8 * size; bit++) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			feed(data, size, false);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		longer = calloc(1, size + 1);
		memcpy(longer, data, size);
		feed(longer, size + 1, false);
		free(longer);
		free(data);
	}
}

static void test_sizes(void **state)
{
	uint8_t begin[8] = { 0x46, 0x6d, 0x43, 0x31, 0xff, 0xff, 0xff, 0xff };
	size_t said;

	(void)state;
	assert_int_equal(wire_size(begin, 8, &said), 0);
	assert_int_equal(said, 0xffffffff); /* the link refuses it, unread */
	assert_int_equal(wire_size(begin, 7, &said), 0);
	assert_int_equal(said, 0);
	memset(begin + 4, 0, 4);
	assert_int_equal(wire_size(begin, 8, &said), -1);
	assert_int_equal(wire_size((const uint8_t *)"GET / HTTP/1.1", 14, &said), -1);
}

static void test_other_key(void **state)
{
	uint8_t other[WIRE_KEY];
	size_t size;
	uint8_t *data = a_yes(&size);

	(void)state;
	memcpy(other, key, sizeof(other));
	other[31] ^= 1;
	assert_false(wire_proven(data, size, other));
	free(data);
}

static void test_grant(void **state)
{
	struct wire_frame frame = frame_of(WIRE_OPEN, CUT_ARM), other = frame;
	char text[WIRE_GRANT_MAX];
	uint8_t got[WIRE_KEY];
	struct fm_error err;

	(void)state;
	wire_grant_format(text, &frame, key);
	assert_int_equal(wire_grant_parse(text, strlen(text), &frame, got, &err), 0);
	assert_memory_equal(got, key, WIRE_KEY);
	other.to = 5;
	assert_int_equal(wire_grant_parse(text, strlen(text), &other, got, &err), -1);
	assert_int_equal(err.code, FM_DENIED);
	assert_int_equal(wire_grant_parse(text, strlen(text) - 1, &frame, got, &err), -1);
	text[strlen(text) - 3] = 'g';
	assert_int_equal(wire_grant_parse(text, strlen(text), &frame, got, &err), -1);
	assert_int_equal(wire_grant_parse("GET /v1/jobs 00", 15, &frame, got, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order), cmocka_unit_test(test_refusal), cmocka_unit_test(test_answers), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_other_key), cmocka_unit_test(test_grant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
