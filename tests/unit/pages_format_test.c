/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages_format_test - man 5 fermata-store says what is on the disk: every struct's fields, offsets and sizes compared
 * both ways with format.h, and a pack, a map, a key and a sealed file taken apart by the manual's words alone.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "agent/store/key_format.h"
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
	F("Pack header", disk_pack_header, page_size), F("Pack header", disk_pack_header, cipher),
	F("Pack header", disk_pack_header, zero), F("Pack header", disk_pack_header, key),
	F("Pack header", disk_pack_header, salt),
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
	F("Map header", disk_map_header, cipher), F("Map header", disk_map_header, zero),
	F("Map header", disk_map_header, key), F("Map header", disk_map_header, salt),
	F("Pack entry", disk_map_pack, id), F("Pack entry", disk_map_pack, slots), F("Pack entry", disk_map_pack, zero),
	F("Key file", disk_key, magic), F("Key file", disk_key, version), F("Key file", disk_key, size),
	F("Key file", disk_key, job), F("Key file", disk_key, cipher), F("Key file", disk_key, site),
	F("Key file", disk_key, zero), F("Key file", disk_key, salt), F("Key file", disk_key, wrapped),
	F("Key file", disk_key, tag), F("Key file", disk_key, digest),
	F("Sealed file header", disk_blob, magic), F("Sealed file header", disk_blob, version),
	F("Sealed file header", disk_blob, header_size), F("Sealed file header", disk_blob, job),
	F("Sealed file header", disk_blob, cipher), F("Sealed file header", disk_blob, size),
	F("Sealed file header", disk_blob, key), F("Sealed file header", disk_blob, salt),
	F("Sealed file header", disk_blob, tag),
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
	assert_int_equal(tables, 10);
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

/* ---- by the words of the manual, not by our structs and functions ---- */

/* HMAC-SHA-256(key, purpose | salt | byte 1); salt NULL: none */
static void derived(const unsigned char *key, const char *purpose, const unsigned char *salt, unsigned char *key_r)
{
	unsigned char info[128];
	size_t size = strlen(purpose);

	memcpy(info, purpose, size);
	if (salt)
		memcpy(info + size, salt, 32);
	size += salt ? 32 : 0;
	info[size++] = 1;
	assert_non_null(HMAC(EVP_sha256(), key, 32, info, size, key_r, NULL));
}

/* AES-256-GCM; the number is the nonce. */
static void opened(const unsigned char *key, uint64_t number, const void *bound, size_t bound_size,
		   const unsigned char *data, size_t size, const unsigned char *tag, unsigned char *data_r)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char nonce[12] = { 0 }, expected[16];
	int n;

	memcpy(nonce, &number, 8);
	memcpy(expected, tag, 16);
	assert_true(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce));
	assert_true(EVP_DecryptUpdate(c, NULL, &n, bound, (int)bound_size));
	assert_true(EVP_DecryptUpdate(c, data_r, &n, data, (int)size));
	assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, 16, expected));
	assert_true(EVP_DecryptFinal_ex(c, data_r + size, &n));
	EVP_CIPHER_CTX_free(c);
}

/* The job's key out of its file. */
static void key_by_the_manual(const char *path, unsigned char key_r[32])
{
	static const char hex[] = FIXTURE_SITE_KEY;
	unsigned char site[32], own[32], hash[32], *file;
	struct fm_error err;
	size_t size;

	for (size_t i = 0; i < 32; i++)
		assert_int_equal(sscanf(&hex[2 * i], "%2hhx", &site[i]), 1);
	file = (unsigned char *)fm_file_read(path, 1 << 20, &size, &err);
	assert_non_null(file);
	assert_int_equal(size, 144);
	assert_memory_equal(file, "fm-jkey\n", 8);
	assert_int_equal(number(file + 16, 4), JOB);
	sha256(site, 32, hash);
	assert_memory_equal(file + 24, hash, 4);
	sha256(file, 112, hash);
	assert_memory_equal(file + 112, hash, 32);
	derived(site, "fermata wrap\n", file + 32, own);
	opened(own, 0, file, 64, file + 64, 32, file + 96, key_r);
	free(file);
}

/* The frame's pages to raw_r. key: the job's, or NULL. */
static size_t frame_by_the_manual(const unsigned char *pack, const unsigned char *frame, const unsigned char *key,
				  unsigned char *raw_r, size_t room)
{
	size_t stored = number(frame + 8, 4), pages = number(frame + 12, 2);
	unsigned char *zstd = malloc(stored + 16), own[32], bound[20];

	assert_non_null(zstd);
	assert_int_equal(number(pack + 24, 4), key ? 1 : 0);
	memcpy(zstd, frame + 24, stored);
	if (key) {
		stored -= 16;
		derived(key, "fermata pack\n", pack + 40, own);
		memcpy(bound, pack + 16, 4);
		memcpy(bound + 4, frame, 16);
		opened(own, number(frame + 4, 4), bound, 20, frame + 24, stored, frame + 24 + stored, zstd);
	}
	assert_int_equal(ZSTD_decompress(raw_r, room, zstd, stored), pages * 4096);
	free(zstd);
	return pages;
}

/* The id, and the first page of the second frame. */
static void pack_by_the_manual(const unsigned char *pack, size_t size, const char *name, const unsigned char *key)
{
	static unsigned char raw[256 * 4096];
	const unsigned char *trailer = pack + size - 128, *index = pack + number(trailer + 24, 8);
	size_t frames = number(trailer + 12, 4), slots = number(trailer + 16, 4), length = 15 + 4 + 4 + slots * 32;
	const unsigned char *hashes = index + frames * 24, *order = hashes + slots * 32, *locations = order + slots * 8;
	const unsigned char *frame = pack + number(index + 24, 8); /* the second */
	unsigned char *named = malloc(length), hash[32], names[32];
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
	assert_true(frame_by_the_manual(pack, frame, key, raw, sizeof(raw)) > 3);
	if (key)
		derived(key, "fermata names\n", NULL, names);
	for (size_t slot = 0; slot < slots; slot++) /* frame 1, place 3 */
		if (number(locations + slot * 4, 4) == 1 * 256 + 3) {
			if (key)
				assert_non_null(HMAC(EVP_sha256(), names, 32, raw + 3 * 4096, 4096, hash, NULL));
			else
				sha256(raw + 3 * 4096, 4096, hash);
			assert_memory_equal(hash, hashes + slot * 32, 32);
		}
	for (size_t i = 1; i < slots; i++)
		assert_true(memcmp(hashes + number(order + 8 * i - 4, 4) * 32, hashes + number(order + 8 * i + 4, 4) * 32, 32) < 0);
	free(named);
}

/* Its size, and the skeleton. */
static void map_by_the_manual(const unsigned char *map, size_t size, const unsigned char *key)
{
	unsigned char hash[32], own[32], id[32], zstd[256], bones[64];
	size_t before = 136 + 40 * number(map + 48, 4), entries = number(map + 64, 8), stored = number(map + 80, 8);
	const unsigned char *skeleton = map + before + entries;

	assert_memory_equal(map, "fm-pmap\n", 8);
	sha256(map, size - 32, hash);
	assert_memory_equal(hash, map + size - 32, 32);
	assert_int_equal(size, before + entries + stored + 32);
	assert_int_equal(number(map + 88, 4), key ? 1 : 0);
	assert_true(stored < sizeof(zstd));
	memcpy(zstd, skeleton, stored);
	if (key) {
		derived(key, "fermata key id\n", NULL, id);
		assert_memory_equal(map + 96, id, 8);
		derived(key, "fermata map\n", map + 104, own);
		stored -= 16;
		opened(own, 1, map, before, skeleton, stored, skeleton + stored, zstd);
	}
	assert_int_equal(ZSTD_decompress(bones, sizeof(bones), zstd, stored), number(map + 72, 8));
	assert_memory_equal(bones, "bones", 5);
}

static void small_file_by_the_manual(const struct pages_key *k, const unsigned char *key)
{
	FM_AUTO_FREE unsigned char *sealed = NULL;
	unsigned char own[32], text[64], bound[72 + 3];
	struct fm_error err;
	size_t size;

	assert_ok(blob_seal(k, "a/b", "held", 4, (void **)&sealed, &size, &err), err);
	assert_int_equal(size, 88 + 4);
	assert_memory_equal(sealed, "fm-blob\n", 8);
	assert_int_equal(number(sealed + 24, 8), 4);
	derived(key, "fermata blob\n", sealed + 40, own);
	memcpy(bound, sealed, 72);
	memcpy(bound + 72, "a/b", 3);
	opened(own, 0, bound, sizeof(bound), sealed + 88, 4, sealed + 72, text);
	assert_memory_equal(text, "held", 4);
}

static char *store;

static int setup(void **state)
{
	store = fixture_store();
	return 0;
}

static int teardown(void **state)
{
	fixture_key = NULL;
	fixture_remove(fm_steal_ptr(&store));
	return 0;
}

static void a_job_is_what_the_manual_says(bool encrypted)
{
	char *dir = fixture_path(store, "pages"), *map = fixture_path(store, "0.map");
	char *key_path = fixture_path(store, "key");
	struct site_key *site = fixture_site_key();
	struct pages_key *k = NULL;
	struct fixture_guest g;
	struct pages_saved saved;
	struct fm_error err;
	unsigned char *bytes, key[32];
	char **packs;
	size_t size;

	if (encrypted) {
		assert_ok(pages_key_make(store, JOB, site, dir, &k, &err), err);
		key_by_the_manual(key_path, key);
		small_file_by_the_manual(k, key);
	}
	fixture_key = k;
	fixture_guest_init(&g, 400, 2);
	for (size_t i = 0; i < g.pages; i++) /* nothing that does not compress */
		g.content[i] = g.content[i] != FIXTURE_HOLE && g.content[i] % 3 == 0 && g.content[i] ? g.content[i] + 1 : g.content[i];
	assert_ok(fixture_save(dir, map, &(struct fixture_save){ { .codec = PAGES_ZSTD, .frame_pages = 16 }, &g, NULL,
								 "bones" }, &saved, &err), err);
	assert_int_equal(fixture_files(dir, ".pack", &packs), 1);
	bytes = (unsigned char *)fm_file_read(packs[0], 1 << 26, &size, &err);
	pack_by_the_manual(bytes, size, strrchr(packs[0], '/') + 1, encrypted ? key : NULL);
	free(bytes);
	bytes = (unsigned char *)fm_file_read(map, 1 << 26, &size, &err);
	map_by_the_manual(bytes, size, encrypted ? key : NULL);
	free(bytes);
	fixture_free(packs, 1);
	fixture_guest_dispose(&g);
	pages_key_free(k);
	site_key_free(site);
	free(key_path);
	free(dir);
	free(map);
}

static void a_plain_job_is_what_the_manual_says(void **state)
{
	a_job_is_what_the_manual_says(false);
}

static void an_encrypted_job_is_what_the_manual_says(void **state)
{
	a_job_is_what_the_manual_says(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_says_so),
		cmocka_unit_test_setup_teardown(a_plain_job_is_what_the_manual_says, setup, teardown),
		cmocka_unit_test_setup_teardown(an_encrypted_job_is_what_the_manual_says, setup, teardown),
	};

	return cmocka_run_group_tests_name("pages format", tests, NULL, NULL);
}
