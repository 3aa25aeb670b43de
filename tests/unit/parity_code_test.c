/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_code_test - the code itself: any k of k + m shards give the rest, for every pattern of small codes and for
 * chosen ones of all others; and the ways that save work (copy, XOR) give what the matrix says.
 */
#include "config.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/parity/code.h"
#include "tests/unit/parity_fixture.h"

#define SIZE 192u /* of a shard: vectors, and not a power of two */

static unsigned char *shard[PARITY_SHARDS_MAX], *is[PARITY_SHARDS_MAX];

static int buffers(void **state)
{
	for (unsigned i = 0; i < PARITY_SHARDS_MAX; i++) {
		shard[i] = aligned_alloc(CODE_ALIGN, SIZE);
		is[i] = aligned_alloc(CODE_ALIGN, SIZE);
	}
	return 0;
}

static int buffers_free(void **state)
{
	for (unsigned i = 0; i < PARITY_SHARDS_MAX; i++) {
		free(shard[i]);
		free(is[i]);
	}
	return 0;
}

/* By the formula of code.h, in the slow way. */
static uint8_t coefficient(unsigned k, unsigned i, unsigned j)
{
	uint8_t above = gf_mul((uint8_t)(k + i), (uint8_t)(k ^ j)), below = gf_mul((uint8_t)((k + i) ^ j), (uint8_t)k);

	return gf_mul(above, gf_inv(below));
}

static void encode(struct code *c, unsigned k, unsigned m)
{
	uint8_t number[PARITY_SHARDS_MAX];
	struct code_plan plan;
	struct fm_error err;

	assert_ok(code_init(c, k, m, &err), err);
	for (unsigned i = 0; i < k + m; i++) {
		number[i] = (uint8_t)i;
		fixture_bytes(shard[i], SIZE, i < k ? k * 100 + i : 0);
	}
	assert_ok(code_plan(c, number, number + k, m, &plan, &err), err);
	code_run(&plan, shard, SIZE);
	for (unsigned i = 0; i < m; i++)
		for (unsigned n = 0; n < SIZE; n += 37) {
			uint8_t sum = 0;

			for (unsigned j = 0; j < k; j++)
				sum ^= gf_mul(coefficient(k, i, j), shard[j][n]);
			assert_int_equal(sum, shard[k + i][n]);
		}
}

/* All that have no bit in kept are made of the first k that have. */
static void decode(const struct code *c, const uint64_t kept[2])
{
	uint8_t source[PARITY_K_MAX], target[PARITY_M_MAX];
	unsigned found = 0, wanted = 0;
	struct code_plan plan;
	struct fm_error err;

	for (unsigned i = 0; i < c->k + c->m; i++) {
		if (bit_is(kept, i) && found < c->k) {
			source[found++] = (uint8_t)i;
			memcpy(is[i], shard[i], SIZE);
		} else {
			target[wanted++] = (uint8_t)i;
			memset(is[i], 0xee, SIZE);
		}
	}
	assert_int_equal(found, c->k);
	assert_ok(code_plan(c, source, target, wanted, &plan, &err), err);
	code_run(&plan, is, SIZE);
	for (unsigned i = 0; i < c->k + c->m; i++)
		if (memcmp(is[i], shard[i], SIZE) != 0)
			fail_msg("%u+%u: shard %u is wrong", c->k, c->m, i);
}

static void all_patterns_of_small_codes(void **state)
{
	unsigned patterns = 0;

	for (unsigned k = 1; k <= 8; k++)
		for (unsigned m = 1; m <= 4; m++) {
			struct code c;

			encode(&c, k, m);
			for (unsigned bits = 0; bits < 1u << (k + m); bits++)
				if (__builtin_popcount(bits) == (int)k) {
					decode(&c, (uint64_t[2]){ bits, 0 });
					patterns++;
				}
		}
	assert_int_equal(patterns, 1988); /* the sum of all k + m over k */
}

/* The matrix is another for each k: of each k, m a random pattern, and one that needs as much parity as there is. */
static void any_code_within_bounds(void **state)
{
	uint64_t seed = 20261123;

	for (unsigned k = 1; k <= PARITY_K_MAX; k++)
		for (unsigned m = 1; m <= PARITY_M_MAX; m++) {
			struct code c;

			encode(&c, k, m);
			for (unsigned n = 0; n < 2; n++) {
				uint64_t kept[2] = { 0, 0 };

				for (unsigned i = k + m; n == 0 && i-- > m;)
					bit_set(kept, i);
				for (unsigned found = 0; n > 0 && found < k;) {
					unsigned i = (unsigned)(fixture_random(&seed) % (k + m));

					found += !bit_is(kept, i);
					bit_set(kept, i);
				}
				decode(&c, kept);
			}
		}
}

static void one_parity_is_xor_and_one_data_a_copy(void **state)
{
	struct code c;

	for (unsigned k = 1; k <= PARITY_K_MAX; k++) {
		encode(&c, k, 3);
		for (unsigned n = 0; n < SIZE; n++) {
			uint8_t sum = 0;

			for (unsigned j = 0; j < k; j++)
				sum ^= shard[j][n];
			assert_int_equal(sum, shard[k][n]);
		}
	}
	encode(&c, 1, PARITY_M_MAX);
	for (unsigned i = 1; i <= PARITY_M_MAX; i++)
		assert_memory_equal(shard[i], shard[0], SIZE);
}

static void what_is_no_code_is_refused(void **state)
{
	const uint8_t twice[] = { 0, 1, 1 }, three[] = { 0, 1, 2 }, target[] = { 3, 4, 2 };
	struct code_plan plan;
	struct fm_error err;
	struct code c;

	assert_code(code_init(&c, 0, 1, &err), err, FM_USAGE);
	assert_code(code_init(&c, 1, 0, &err), err, FM_USAGE);
	assert_code(code_init(&c, PARITY_K_MAX + 1, 1, &err), err, FM_USAGE);
	assert_code(code_init(&c, 1, PARITY_M_MAX + 1, &err), err, FM_USAGE);
	assert_ok(code_init(&c, 3, 2, &err), err);
	assert_code(code_plan(&c, twice, target, 1, &plan, &err), err, FM_USAGE);
	assert_code(code_plan(&c, three, target, 3, &plan, &err), err, FM_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_patterns_of_small_codes),
		cmocka_unit_test(any_code_within_bounds),
		cmocka_unit_test(one_parity_is_xor_and_one_data_a_copy),
		cmocka_unit_test(what_is_no_code_is_refused),
	};

	return cmocka_run_group_tests_name("parity code", tests, buffers, buffers_free);
}
