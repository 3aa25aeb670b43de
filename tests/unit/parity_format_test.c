/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_format_test - man 5 fermata-store says what is in a parity shard: every struct's fields, offsets and sizes
 * compared both ways with format.h, and a shard taken apart by the manual's words alone.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "agent/store/parity/format.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/parity_fixture.h"

struct field {
	const char *part, *name;
	size_t offset, size;
	bool seen;
};

#define F(part, type, name) { part, #name, offsetof(struct type, name), sizeof(((struct type *)0)->name), false }
static struct field fields[] = {
	F("Parity header", disk_parity_header, magic), F("Parity header", disk_parity_header, version),
	F("Parity header", disk_parity_header, header_size), F("Parity header", disk_parity_header, id),
	F("Parity header", disk_parity_header, k), F("Parity header", disk_parity_header, m),
	F("Parity header", disk_parity_header, index), F("Parity header", disk_parity_header, zero),
	F("Parity header", disk_parity_header, stripe), F("Parity header", disk_parity_header, names),
	F("Parity header", disk_parity_header, stripes), F("Parity header", disk_parity_header, length),
	F("Data entry", disk_parity_data, offset), F("Data entry", disk_parity_data, length),
	F("Data entry", disk_parity_data, name), F("Data entry", disk_parity_data, zero),
	F("Parity record", disk_parity_record, magic), F("Parity record", disk_parity_record, payload),
	F("Parity record", disk_parity_record, stripe), F("Parity record", disk_parity_record, id),
	F("Parity record", disk_parity_record, index), F("Parity record", disk_parity_record, zero),
	F("Parity record", disk_parity_record, checksum),
	F("Parity trailer", disk_parity_trailer, magic), F("Parity trailer", disk_parity_trailer, zero),
	F("Parity trailer", disk_parity_trailer, digest), F("Parity trailer", disk_parity_trailer, sha256),
};
#define FIELDS (sizeof(fields) / sizeof(*fields))

/* A line of a table: is it a field of the struct, there? */
static void field_check(const char *part, size_t offset, size_t size, const char *name)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (strcmp(fields[i].part, part) != 0 || strcmp(fields[i].name, name) != 0)
			continue;
		if (fields[i].offset != offset || fields[i].size != size)
			fail_msg("%s: %s is at %zu, %zu bytes; the manual says %zu, %zu", part, name, fields[i].offset,
				 fields[i].size, offset, size);
		fields[i].seen = true;
		return;
	}
	fail_msg("%s: the manual has a field %s that does not exist", part, name);
}

/* Fields in their order fill the struct, and that is its size. */
static size_t size_of(const char *part)
{
	size_t size = 0;

	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].part, part) == 0) {
			assert_int_equal(fields[i].offset, size);
			size += fields[i].size;
		}
	return size;
}

static void the_manual_says_so(void **state)
{
	struct fm_error err;
	FM_AUTO_FREE char *page = fm_file_read(FM_TEST_PAGE, 1 << 20, NULL, &err);
	char part[64] = "", name[64], *rest = NULL;
	bool ours = false;
	size_t tables = 0;

	assert_non_null(page);
	for (char *line = strtok_r(page, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t offset, size;

		if (strncmp(line, "# ", 2) == 0)
			ours = strcmp(line, "# PARITY SHARD") == 0;
		if (!ours)
			continue;
		if (sscanf(line, "## %63[^(] (%zu bytes)", part, &size) == 2) {
			tables++;
			part[strlen(part) - 1] = '\0'; /* the space */
			if (size_of(part) != size)
				fail_msg("%s: %zu bytes; the manual says %zu", part, size_of(part), size);
		} else if (*part && line[0] == ' ' && sscanf(line, "%zu %zu %63[a-z_0-9]", &offset, &size, name) == 3) {
			field_check(part, offset, size, name);
		}
	}
	assert_int_equal(tables, 4);
	for (size_t i = 0; i < FIELDS; i++)
		if (!fields[i].seen)
			fail_msg("%s: the manual lacks the field %s", fields[i].part, fields[i].name);
}

static uint64_t number(const unsigned char *at, unsigned size)
{
	uint64_t value = 0;

	while (size-- > 0)
		value = value << 8 | at[size];
	return value;
}

/* GF(2^8), polynomial 0x11d, the slow way: nothing of the library's. */
static unsigned multiply(unsigned a, unsigned b)
{
	unsigned product = 0;

	for (; b; b >>= 1, a = a << 1 ^ (a & 0x80 ? 0x11d : 0))
		if (b & 1)
			product ^= a;
	return product;
}

static unsigned divide(unsigned a, unsigned b)
{
	unsigned quotient = 0;

	while (multiply(quotient, b) != a)
		quotient++;
	return quotient;
}

static void sha256_is(const EVP_MD_CTX *so_far, const unsigned char *expected)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];

	assert_non_null(context);
	assert_int_equal(EVP_MD_CTX_copy_ex(context, so_far), 1);
	assert_int_equal(EVP_DigestFinal_ex(context, sum, NULL), 1);
	assert_memory_equal(sum, expected, 32);
	EVP_MD_CTX_free(context);
}

/* One stripe of the i-th parity shard, its record at `at`. */
static void stripe_by_the_manual(const struct parity_world *w, unsigned i, const unsigned char *at, uint64_t t, size_t size)
{
	const unsigned char *sums = at + 48, *payload = sums + 8 * (w->k + w->m);
	unsigned char own[48 + 8 * PARITY_SHARDS_MAX];

	assert_memory_equal(at, "Fpar", 4);
	assert_int_equal(number(at + 4, 4), size);
	assert_int_equal(number(at + 8, 8), t);
	assert_memory_equal(at + 16, w->shard[w->k].data + 16, 16);
	assert_int_equal(number(at + 32, 4), w->k + i);
	memcpy(own, at, 40); /* the checksum itself is left out */
	memcpy(own + 40, sums, (size_t)8 * (w->k + w->m));
	assert_int_equal(number(at + 40, 8), XXH3_64bits(own, 40 + (size_t)8 * (w->k + w->m)));
	assert_int_equal(number(sums + 8 * (w->k + i), 8), XXH3_64bits(payload, size));
	for (size_t n = 0; n < size; n++) {
		unsigned sum = 0;

		for (unsigned j = 0; j < w->k; j++) {
			unsigned c = divide(multiply(w->k + i, w->k ^ j), multiply((w->k + i) ^ j, w->k));
			size_t place = t * w->stripe + n;

			sum ^= place < w->shard[j].size ? multiply(c, w->shard[j].data[place]) : 0;
		}
		assert_int_equal(payload[n], sum);
	}
	for (unsigned j = 0; j < w->k; j++) {
		size_t begin = t * w->stripe < w->shard[j].size ? t * w->stripe : w->shard[j].size;
		size_t left = w->shard[j].size - begin;

		assert_int_equal(number(sums + 8 * j, 8), XXH3_64bits(w->shard[j].data + begin, left < w->stripe ? left : w->stripe));
	}
}

static void shard_by_the_manual(const struct parity_world *w, unsigned i)
{
	const struct memory *shard = &w->shard[w->k + i];
	const unsigned char *at = shard->data, *name = at + 64 + 24 * w->k;
	size_t left = number(at + 56, 8), head = number(at + 12, 4);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();

	assert_memory_equal(at, "fm-prty\n", 8);
	assert_int_equal(number(at + 8, 4), 1);
	assert_int_equal(number(at + 32, 2), w->k);
	assert_int_equal(number(at + 34, 2), w->m);
	assert_int_equal(number(at + 36, 2), w->k + i);
	assert_int_equal(number(at + 40, 4), w->stripe);
	for (unsigned j = 0; j < w->k; j++) {
		assert_int_equal(number(at + 64 + 24 * j, 8), 4096 * j);
		assert_int_equal(number(at + 64 + 24 * j + 8, 8), w->shard[j].size);
		assert_int_equal(number(at + 64 + 24 * j + 16, 4), strlen(w->shard[j].name));
		assert_memory_equal(name, w->shard[j].name, strlen(w->shard[j].name));
		name += strlen(w->shard[j].name);
	}
	assert_ptr_equal(name, at + head);
	assert_int_equal(number(at + 44, 4), head - 64 - 24 * w->k);
	assert_int_equal(EVP_DigestInit_ex(digest, EVP_sha256(), NULL), 1);
	EVP_DigestUpdate(digest, at, head);
	at += head;
	for (uint64_t t = 0; t < number(shard->data + 48, 8); t++) {
		size_t size = left < w->stripe ? left : w->stripe;

		stripe_by_the_manual(w, i, at, t, size);
		at += 48 + 8 * (w->k + w->m) + size;
		left -= size;
	}
	assert_int_equal(left, 0);
	EVP_DigestUpdate(digest, at, 32 * w->k + 16);
	at += 32 * w->k;
	assert_memory_equal(at, "fm-pryE\n\0\0\0\0\0\0\0\0", 16);
	sha256_is(digest, at + 16);
	assert_int_equal(EVP_DigestInit_ex(digest, EVP_sha256(), NULL), 1);
	EVP_DigestUpdate(digest, shard->data, shard->size - 32);
	sha256_is(digest, at + 48);
	assert_ptr_equal(at + 80, shard->data + shard->size);
	EVP_MD_CTX_free(digest);
}

static void a_shard_is_what_the_manual_says(void **state)
{
	const size_t length[] = { 700, 300, 0, 511, 64 };

	for (unsigned k = 1; k <= 5; k += 2)
		for (unsigned m = 1; m <= 3; m++) {
			struct parity_world w;

			world_make(&w, k, m, 128, length, k * m);
			for (unsigned i = 0; i < m; i++)
				shard_by_the_manual(&w, i);
			world_dispose(&w);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_says_so),
		cmocka_unit_test(a_shard_is_what_the_manual_says),
	};

	return cmocka_run_group_tests_name("parity format", tests, NULL, NULL);
}
