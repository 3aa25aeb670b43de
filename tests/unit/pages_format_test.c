/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages_format_test - man 5 fermata-store says what is on the disk: every struct's fields, offsets and sizes compared
 * both ways with format.h, and a pack taken apart by the manual's words alone.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "agent/store/pages/format.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

struct field {
	const char *part, *name;
	size_t offset, size;
	bool seen;
};

#define F(part, type, name) { part, #name, offsetof(struct type, name), sizeof(((struct type *)0)->name), false }
static struct field fields[] = {
	F("Pack header", disk_pack_header, magic), F("Pack header", disk_pack_header, version),
	F("Pack header", disk_pack_header, header_size), F("Pack header", disk_pack_header, job),
	F("Pack header", disk_pack_header, page_size), F("Pack header", disk_pack_header, zero),
	F("Frame header", disk_frame_header, magic), F("Frame header", disk_frame_header, frame),
	F("Frame header", disk_frame_header, stored), F("Frame header", disk_frame_header, pages),
	F("Frame header", disk_frame_header, codec), F("Frame header", disk_frame_header, zero),
	F("Frame header", disk_frame_header, checksum),
	F("Frame entry", disk_frame, offset), F("Frame entry", disk_frame, stored),
	F("Frame entry", disk_frame, pages), F("Frame entry", disk_frame, codec), F("Frame entry", disk_frame, zero),
	F("Frame entry", disk_frame, checksum),
	F("Order entry", disk_order, prefix), F("Order entry", disk_order, slot),
	{ "Location", "location", 0, sizeof(uint32_t), false },
	F("Pack trailer", disk_pack_trailer, magic), F("Pack trailer", disk_pack_trailer, version),
	F("Pack trailer", disk_pack_trailer, frames), F("Pack trailer", disk_pack_trailer, slots),
	F("Pack trailer", disk_pack_trailer, present), F("Pack trailer", disk_pack_trailer, index_offset),
	F("Pack trailer", disk_pack_trailer, index_size), F("Pack trailer", disk_pack_trailer, id),
	F("Pack trailer", disk_pack_trailer, zero), F("Pack trailer", disk_pack_trailer, digest),
	F("Map header", disk_map_header, magic), F("Map header", disk_map_header, version),
	F("Map header", disk_map_header, header_size), F("Map header", disk_map_header, job),
	F("Map header", disk_map_header, page_size), F("Map header", disk_map_header, pages),
	F("Map header", disk_map_header, zero_pages), F("Map header", disk_map_header, pfn_end),
	F("Map header", disk_map_header, packs), F("Map header", disk_map_header, runs),
	F("Map header", disk_map_header, entries_raw), F("Map header", disk_map_header, entries_stored),
	F("Map header", disk_map_header, skeleton_raw), F("Map header", disk_map_header, skeleton_stored),
	F("Pack entry", disk_map_pack, id), F("Pack entry", disk_map_pack, slots), F("Pack entry", disk_map_pack, zero),
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
	size_t tables = 0;

	assert_non_null(page);
	for (char *line = strtok_r(page, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t offset, size;

		if (sscanf(line, "## %63[^,], %zu bytes", part, &size) == 2) {
			tables++;
			if (size_of(part) != size)
				fail_msg("%s: %zu bytes; the manual says %zu", part, size_of(part), size);
		} else if (line[0] == '#') {
			part[0] = '\0';
		} else if (*part && line[0] == ' ' && sscanf(line, "%zu %zu %63[a-z_]", &offset, &size, name) == 3) {
			field_check(part, offset, size, name);
		}
	}
	assert_int_equal(tables, 8);
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

static void sha256(const void *data, size_t size, unsigned char hash_r[32])
{
	assert_true(EVP_Digest(data, size, hash_r, NULL, EVP_sha256(), NULL));
}

/* By the offsets of the manual, not by our structs: the id, and the first page of the second frame. */
static void pack_by_the_manual(const unsigned char *pack, size_t size, const char *name)
{
	static unsigned char raw[256 * 4096];
	const unsigned char *trailer = pack + size - 128, *index = pack + number(trailer + 24, 8);
	size_t frames = number(trailer + 12, 4), slots = number(trailer + 16, 4), length = 15 + 4 + 4 + slots * 32;
	const unsigned char *hashes = index + frames * 24, *order = hashes + slots * 32, *locations = order + slots * 8;
	const unsigned char *frame = pack + number(index + 24, 8); /* the second */
	unsigned char *named = malloc(length), hash[32];
	char hex[65];

	assert_memory_equal(pack, "fm-pack\n", 8);
	assert_memory_equal(trailer, "fm-pend\n", 8);
	assert_int_equal(locations + slots * 4 - index, number(trailer + 32, 8));
	assert_non_null(named);
	memcpy(named, "fermata pack 1\n", 15);
	memcpy(named + 15, pack + 16, 4);
	memcpy(named + 19, trailer + 16, 4);
	memcpy(named + 23, hashes, slots * 32);
	sha256(named, length, hash);
	assert_memory_equal(hash, trailer + 40, 32);
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	assert_memory_equal(hex, name, 64);
	assert_memory_equal(frame, "Ffrm", 4);
	assert_int_equal(number(frame + 4, 4), 1);
	assert_int_equal(frame[14], 2);
	assert_int_equal(ZSTD_decompress(raw, sizeof(raw), frame + 24, number(frame + 8, 4)),
			 number(frame + 12, 2) * 4096);
	for (size_t slot = 0; slot < slots; slot++) /* frame 1, place 3 */
		if (number(locations + slot * 4, 4) == 1 * 256 + 3) {
			sha256(raw + 3 * 4096, 4096, hash);
			assert_memory_equal(hash, hashes + slot * 32, 32);
		}
	for (size_t i = 1; i < slots; i++)
		assert_true(memcmp(hashes + number(order + 8 * i - 4, 4) * 32, hashes + number(order + 8 * i + 4, 4) * 32, 32) < 0);
	free(named);
}

static void a_pack_is_what_the_manual_says(void **state)
{
	char *store = fixture_store(), *dir = fixture_path(store, "pages"), *map = fixture_path(store, "0.map");
	struct fixture_guest g;
	struct pages_saved saved;
	struct fm_error err;
	unsigned char hash[32], *bytes;
	char **packs;
	size_t size;

	fixture_guest_init(&g, 400, 2);
	for (size_t i = 0; i < g.pages; i++) /* nothing that does not compress */
		g.content[i] = g.content[i] != FIXTURE_HOLE && g.content[i] % 3 == 0 && g.content[i] ? g.content[i] + 1 : g.content[i];
	assert_ok(fixture_save(dir, map, &(struct fixture_save){ { .codec = PAGES_ZSTD, .frame_pages = 16 }, &g, NULL, NULL },
			       &saved, &err), err);
	assert_int_equal(fixture_files(dir, ".pack", &packs), 1);
	bytes = (unsigned char *)fm_file_read(packs[0], 1 << 26, &size, &err);
	pack_by_the_manual(bytes, size, strrchr(packs[0], '/') + 1);
	free(bytes);
	bytes = (unsigned char *)fm_file_read(map, 1 << 26, &size, &err);
	assert_memory_equal(bytes, "fm-pmap\n", 8);
	sha256(bytes, size - 32, hash);
	assert_memory_equal(hash, bytes + size - 32, 32);
	assert_int_equal(size, 88 + 40 * number(bytes + 48, 4) + number(bytes + 64, 8) + number(bytes + 80, 8) + 32);
	free(bytes);
	fixture_free(packs, 1);
	fixture_guest_dispose(&g);
	fixture_remove(store);
	free(dir);
	free(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_says_so),
		cmocka_unit_test(a_pack_is_what_the_manual_says),
	};

	return cmocka_run_group_tests_name("pages format", tests, NULL, NULL);
}
