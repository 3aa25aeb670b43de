/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_map_test.c - a disk's content comes out of the store as it went in, whatever is zeros or a hole; what is damaged,
 * missing, another's or of another kind is found before it is used; its blocks are kept once.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/disk_map.h"
#include "agent/store/sweep.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/key_fixture.h"
#include "tests/unit/store_fixture.h"

#define BLOCK 4096
#define BLOCKS 600
#define SIZE ((uint64_t)BLOCKS * BLOCK)

static struct fm_error err;

#define OK(call)                                                                                   \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

struct disk {
	struct key_world *world;
	char *folder, *map, *image, *again;
	struct pages_key *key;
	struct stream_place at;
	struct disk_map_saved saved;
};

/* Blocks 0, 3, 6 …: content; 1, 4 …: written zeros; 2, 5 …: holes; the second half twice the first. */
static void write_image(const char *path, unsigned seed)
{
	FM_AUTO_FREE unsigned char *data = fixture_state(SIZE, seed);
	static const unsigned char zeros[BLOCK];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
	for (size_t i = 0; i < BLOCKS; i++) {
		const unsigned char *block = i % 3 == 0 ? data + i % (BLOCKS / 2) * BLOCK : zeros;

		if (i % 3 != 2)
			assert_int_equal(pwrite(fd, block, BLOCK, (off_t)(i * BLOCK)), BLOCK);
	}
	close(fd);
}

static int setup(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));
	FM_AUTO_FREE char *manifest = NULL;
	void *world;

	if (key_world_make(&world))
		return -1;
	d->world = world;
	d->folder = fm_format("%s/1", d->world->folder);
	manifest = fm_format("%s/manifest.json", d->folder);
	d->map = fm_format("%s/member-0.disk-xvdb.map", d->folder);
	d->image = fm_format("%s/image", d->world->store);
	d->again = fm_format("%s/again", d->world->store);
	if (fm_mkdir_all(d->folder, 0700, &err) < 0)
		return -1;
	if (fm_file_write(manifest, 0600, "{}", 2, &err) < 0) /* else what is missing was removed meanwhile */
		return -1;
	write_image(d->image, 1);
	d->at = (struct stream_place){ d->map, d->world->packs, 77, NULL, NULL };
	*state = d;
	return 0;
}

static int setup_encrypted(void **state)
{
	struct disk *d;

	if (setup(state))
		return -1;
	d = *state;
	d->at.key = d->key = key_world_key(d->world);
	return 0;
}

static int teardown(void **state)
{
	struct disk *d = *state;
	void *world = d->world;

	pages_key_free(d->key);
	free(d->folder);
	free(d->map);
	free(d->image);
	free(d->again);
	free(d);
	return key_world_remove(&world);
}

static void save_as(struct disk *d, const char *map, const char *parent)
{
	const struct disk_map_options o = { .parent = parent };
	FM_AUTO_CLOSE int fd = open(d->image, O_RDONLY | O_CLOEXEC);
	struct stream_place at = d->at;

	at.map = map;
	OK(disk_map_write(&at, fd, SIZE, &o, &d->saved, &err));
}

static int read_back(struct disk *d)
{
	const struct disk_map_options o = { 0 };
	FM_AUTO_CLOSE int fd = open(d->again, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
	return disk_map_read(&d->at, &d->saved.map, SIZE, fd, &o, &err);
}

static void expect_refused(struct disk *d, enum fm_code code)
{
	const struct disk_map_options o = { 0 };

	assert_int_equal(read_back(d), -1);
	assert_int_equal(err.code, code);
	assert_int_equal(disk_map_read(&d->at, &d->saved.map, SIZE, -1, &o, &err), -1);
	assert_int_equal(err.code, code);
}

static void expect_same(struct disk *d)
{
	FM_AUTO_FREE char *a = fm_file_read(d->image, SIZE, NULL, &err), *b = fm_file_read(d->again, SIZE, NULL, &err);

	assert_memory_equal(a, b, SIZE);
}

static void test_comes_back(void **state)
{
	struct disk *d = *state;

	save_as(d, d->map, NULL);
	assert_int_equal(d->saved.size, SIZE);
	assert_int_equal(d->saved.count, BLOCKS / 3);
	assert_int_equal(d->saved.pages.stored, BLOCKS / 6); /* what is there twice is kept once */
	assert_int_equal(d->saved.pages.known, BLOCKS / 6);
	OK(read_back(d));
	expect_same(d);
}

static void test_next_snapshot(void **state)
{
	struct disk *d = *state;
	FM_AUTO_FREE char *second = fm_format("%s/second.map", d->folder);
	unsigned char block[BLOCK] = "new";
	int fd;

	save_as(d, d->map, NULL);
	fd = open(d->image, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, block, BLOCK, 5 * BLOCK), BLOCK);
	close(fd);
	save_as(d, second, d->map);
	assert_int_equal(d->saved.pages.stored, 1);
	assert_int_equal(d->saved.count, BLOCKS / 3 + 1);
	d->at.map = second;
	OK(read_back(d));
	expect_same(d);
}

static void test_empty(void **state)
{
	struct disk *d = *state;

	assert_int_equal(truncate(d->image, 0), 0);
	assert_int_equal(truncate(d->image, (off_t)SIZE), 0);
	save_as(d, d->map, NULL);
	assert_int_equal(d->saved.count, 0);
	OK(read_back(d));
	expect_same(d);
}

static void test_damaged_map(void **state)
{
	struct disk *d = *state;

	save_as(d, d->map, NULL);
	for (long at = 0; at < (long)d->saved.map.bytes; at += at < 64 ? 1 : 37) {
		fixture_damage(d->map, at);
		expect_refused(d, FM_CORRUPT);
		fixture_damage(d->map, at);
	}
	OK(read_back(d));
	assert_int_equal(unlink(d->map), 0);
	expect_refused(d, FM_CORRUPT);
}

static void each_pack(struct disk *d, bool gone)
{
	DIR *dir = opendir(d->world->packs);
	struct dirent *entry;
	unsigned packs = 0;

	while ((entry = readdir(dir))) {
		FM_AUTO_FREE char *path = fm_format("%s/%s", d->world->packs, entry->d_name);
		struct stat st;

		if (!strstr(entry->d_name, ".pack"))
			continue;
		packs++;
		assert_int_equal(stat(path, &st), 0);
		for (long at = 100; !gone && at < st.st_size; at += st.st_size / 9) {
			fixture_damage(path, at);
			expect_refused(d, FM_CORRUPT);
			fixture_damage(path, at);
		}
		if (gone)
			unlink(path);
	}
	closedir(dir);
	assert_true(packs > 0);
}

static void test_damaged_packs(void **state)
{
	struct disk *d = *state;

	save_as(d, d->map, NULL);
	each_pack(d, false);
	OK(read_back(d));
	each_pack(d, true);
	expect_refused(d, FM_CORRUPT);
}

/* Neither a disk of another size, nor a domain's map, nor a disk where a domain is wanted. */
static void test_another_kind(void **state)
{
	struct disk *d = *state;
	const struct disk_map_options o = { 0 };
	struct fm_snapshot_id id;
	struct store_file map, held;
	FM_AUTO_JSON struct json_object *manifest = NULL;
	FM_AUTO_FREE char *of_domain = NULL, *pages = NULL;

	save_as(d, d->map, NULL);
	assert_int_equal(disk_map_read(&d->at, &d->saved.map, SIZE + BLOCK, -1, &o, &err), -1);
	assert_int_equal(err.code, FM_CORRUPT);
	d->saved.map.raw_bytes += BLOCK;
	expect_refused(d, FM_CORRUPT);
	d->saved.map.raw_bytes -= BLOCK;
	assert_null(stream_reader_open(&d->at, &d->saved.map, &err));
	assert_int_equal(err.code, FM_CORRUPT);

	OK(fixture_snapshot(d->world->store, 5, 1, &id, &err));
	manifest = store_manifest(d->world->store, &id, &err);
	OK(store_manifest_member(manifest, 0, &map, &held, &err));
	of_domain = fm_format("%s/5/%u/%s", d->world->store, id.n, map.name);
	pages = fm_format("%s/5/pages", d->world->store);
	assert_int_equal(disk_map_read(&(struct stream_place){ of_domain, pages, 5, NULL, NULL }, &map, SIZE, -1, &o, &err), -1);
	assert_int_equal(err.code, FM_CORRUPT);
	assert_non_null(strstr(err.text, "no disk's map"));
}

static bool stop_at(void *data)
{
	unsigned *left = data;

	return (*left)-- == 0;
}

static void test_stopped(void **state)
{
	struct disk *d = *state;
	FM_AUTO_CLOSE int fd = open(d->image, O_RDONLY | O_CLOEXEC);

	for (unsigned n = 0; n < 2; n++) {
		unsigned left = n;
		const struct disk_map_options o = { .stop = stop_at, .data = &left };

		assert_int_equal(disk_map_write(&d->at, fd, SIZE, &o, &d->saved, &err), 1);
		assert_int_equal(access(d->map, F_OK), -1);
	}
	assert_int_equal(disk_map_write(&d->at, fd, SIZE + BLOCK, &(struct disk_map_options){ 0 }, &d->saved, &err), -1);
	assert_int_equal(access(d->map, F_OK), -1); /* a disk that ends too early is not half a disk */
	save_as(d, d->map, NULL);
	assert_int_equal(disk_map_write(&d->at, fd, SIZE, &(struct disk_map_options){ 0 }, &d->saved, &err), -1);
}

/* A sweep keeps what a disk's map names. */
static void test_swept(void **state)
{
	struct disk *d = *state;
	struct sweep_result result;

	save_as(d, d->map, NULL);
	OK(store_sweep(d->world->store, 77, &(struct sweep_options){ 0 }, &result, &err));
	assert_int_equal(result.removed, 0);
	assert_int_equal(result.maps, 1);
	OK(read_back(d));
	expect_same(d);
	assert_int_equal(unlink(d->map), 0);
	OK(store_sweep(d->world->store, 77, &(struct sweep_options){ 0 }, &result, &err));
	assert_true(result.removed > 0);
}

static void test_wrong_key(void **state)
{
	struct disk *d = *state;

	save_as(d, d->map, NULL);
	d->at.key = NULL;
	expect_refused(d, FM_DENIED);
	d->at.key = d->key;
	OK(read_back(d));
	expect_same(d);
}

static void test_names(void **state)
{
	FM_AUTO_FREE char *name = disk_map_name("/a/b/member-3.map", "xvdb", &err);

	assert_string_equal(name, "/a/b/member-3.disk-xvdb.map");
	assert_null(disk_map_name("member-3", "xvdb", &err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ENCRYPTED(name) { "encrypted: " #name, name, setup_encrypted, teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_back),
		TEST(test_next_snapshot),
		TEST(test_empty),
		TEST(test_damaged_map),
		TEST(test_damaged_packs),
		TEST(test_another_kind),
		TEST(test_stopped),
		TEST(test_swept),
		ENCRYPTED(test_comes_back),
		ENCRYPTED(test_next_snapshot),
		ENCRYPTED(test_damaged_map),
		ENCRYPTED(test_damaged_packs),
		ENCRYPTED(test_wrong_key),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
