/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages_damage_test - a flipped bit anywhere, a file cut short, missing, or put in another's place: an error that
 * says where, never a wrong byte.  That no wrong byte is handed out is fixture_check()'s to see.  All of it twice: as it
 * is, and encrypted.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/pages/format.h"
#include "agent/store/pages/hash.h"
#include "agent/store/pages/map.h"
#include "agent/store/pages/pack_write.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

/* A job with one member's snapshot, in two packs. */
struct world {
	char *store, *dir, *map;
	struct fixture_guest guest;
	struct pages_saved saved;
	char **packs;
	size_t packs_count;
};

static void world_make(struct world *w, enum pages_codec codec)
{
	struct fixture_save what = { { .codec = codec, .frame_pages = 16, .pack_pages = 100 }, &w->guest, NULL,
				     "a skeleton of some length" };
	struct fm_error err;

	w->store = fixture_store();
	w->dir = fixture_path(w->store, "pages");
	w->map = fixture_path(w->store, "0.map");
	fixture_guest_init(&w->guest, 350, 5);
	assert_ok(fixture_save(w->dir, w->map, &what, &w->saved, &err), err);
	w->packs_count = fixture_files(w->dir, ".pack", &w->packs);
	assert_int_equal(w->packs_count, 2);
}

static void world_remove(struct world *w)
{
	fixture_free(w->packs, w->packs_count);
	fixture_guest_dispose(&w->guest);
	fixture_remove(w->store);
	free(w->dir);
	free(w->map);
}

static int check(const struct world *w, bool with_hash, struct fm_error *err)
{
	return fixture_check(w->dir, w->map, with_hash ? w->saved.map.sha256 : NULL, &w->guest, err);
}

static void flip(const char *path, size_t at)
{
	int fd = open(path, O_RDWR);
	unsigned char byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= (unsigned char)(1u << at % 8);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

static void id_of(const char *pack, char id_r[65])
{
	snprintf(id_r, 65, "%.64s", strrchr(pack, '/') + 1);
}

static int verify(const struct world *w, const char *pack, struct fm_error *err)
{
	struct pages_store *s = pages_store_open(w->dir, JOB, fixture_key, err);
	struct pages_verdict verdict;
	char id[65];
	int rc;

	id_of(pack, id);
	assert_non_null(s);
	rc = pages_pack_verify(s, id, &verdict, err);
	pages_store_close(s);
	return rc;
}

static void trailer_of(const char *pack, struct disk_pack_trailer *trailer_r)
{
	int fd = open(pack, O_RDONLY);

	assert_int_equal(pread(fd, trailer_r, sizeof(*trailer_r), (off_t)(fixture_size(pack) - sizeof(*trailer_r))),
			 sizeof(*trailer_r));
	close(fd);
}

/* Every byte where structure is, some of the payload and of the index. */
static size_t stride(size_t at, const struct disk_pack_trailer *t, size_t size)
{
	if (at < sizeof(struct disk_pack_header) + 48 || at >= size - sizeof(*t) || (at >= t->index_offset - 8 && at < t->index_offset + 48))
		return 1;
	return at < t->index_offset ? 211 : 13;
}

static void pack_flips(const struct world *w, const char *pack)
{
	size_t size = fixture_size(pack), flips = 0, in_frames = 0;
	struct disk_pack_trailer t;
	struct fm_error err;

	trailer_of(pack, &t);
	for (size_t at = 0; at < size; at += stride(at, &t, size), flips++) {
		flip(pack, at);
		if (check(w, flips % 2, &err) == 0)
			fail_msg("a flipped bit at %zu of %s was not found by reading", at, pack);
		assert_non_null(strstr(err.text, pack));
		assert_true(err.code == FM_CORRUPT || err.code == FM_INCOMPATIBLE);
		if (at >= sizeof(struct disk_pack_header) && at < t.index_offset - 8) {
			in_frames++;
			assert_non_null(strstr(err.text, "frame "));
			assert_non_null(strstr(err.text, "page "));
			assert_non_null(strstr(err.text, "pfn 0x"));
		}
		if (verify(w, pack, &err) == 0)
			fail_msg("a flipped bit at %zu of %s was not found by verify", at, pack);
		assert_non_null(strstr(err.text, pack));
		flip(pack, at);
	}
	assert_true(flips > 500 && in_frames > 100);
	print_message("%zu bits flipped in a pack of %zu bytes\n", flips, size);
	assert_ok(check(w, true, &err), err); /* and back */
	assert_ok(verify(w, pack, &err), err);
}

static void a_bit_of_a_pack(void **state)
{
	static const enum pages_codec codecs[] = { PAGES_LZ4, PAGES_ZSTD };

	for (size_t i = 0; i < 2; i++) {
		struct world w;

		world_make(&w, codecs[i]);
		pack_flips(&w, w.packs[i]);
		world_remove(&w);
	}
}

static void a_bit_of_a_map(void **state)
{
	struct fm_error err;
	struct world w;
	size_t size;

	world_make(&w, PAGES_LZ4);
	size = fixture_size(w.map);
	for (size_t at = 0; at < size; at++) {
		flip(w.map, at);
		assert_int_equal(check(&w, at % 2, &err), -1);
		assert_true(err.code == FM_CORRUPT);
		assert_non_null(strstr(err.text, w.map));
		flip(w.map, at);
	}
	assert_ok(check(&w, true, &err), err);
	world_remove(&w);
}

/* By a map of just that page. */
static void read_only_page(const struct world *w, const uint8_t id[32], const char *pack)
{
	FM_AUTO_FREE char *path = fixture_path(w->store, "wrong.map");
	struct pages_store *s;
	struct pages_reader *r;
	struct pages_batch batch;
	struct store_file file;
	struct fm_error err;
	struct pages_map *m = map_create(JOB, &err);
	unsigned char page[4096];
	uint64_t pfn = 0x123;

	assert_int_equal(map_pack_add(m, id, 1, &err), 0);
	assert_ok(map_set(m, pfn, REF_FIRST, &err), err);
	assert_ok(map_write(m, path, fixture_key, "", 0, &file, &err), err);
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ 0 }, &err);
	assert_non_null(r);
	assert_code(pages_reader_next(r, &batch, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, pack));
	assert_non_null(strstr(err.text, "frame 0: page 0 (pfn 0x123) is damaged"));
	assert_code(pages_reader_fetch(r, &pfn, 1, page, &err), err, FM_CORRUPT);
	pages_reader_destroy(r);
	pages_map_close(m);
	pages_store_close(s);
}

/* The checksums are right, the page is not what it is called: as if memory had failed while writing. */
static void a_page_under_a_wrong_name(void **state)
{
	static unsigned char data[16 * 4096];
	struct pack_scratch scratch;
	struct pack_writer *p;
	struct fm_error err;
	struct world w;
	char hex[65], *pack;
	uint8_t hash[32], id[32];
	uint64_t bytes;

	world_make(&w, PAGES_LZ4);
	p = pack_writer_create(w.dir, JOB, fixture_key, &err);
	assert_ok(pack_scratch_init(&scratch, &err), err);
	memset(hash, 0x5a, sizeof(hash));
	assert_int_equal(pack_writer_slot(p, hash, DISK_LOCATION(0, 0), &err), 0);
	data[77] = 1;
	assert_ok(pack_writer_frame(p, 0, 1, data, PAGES_LZ4, 1, &scratch, &bytes, &err), err);
	assert_ok(pack_writer_finish(p, 1, id, &bytes, &err), err);
	hash_hex(id, hex);
	pack = fm_format("%s/%s.pack", w.dir, hex);
	assert_code(verify(&w, pack, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, pack));
	assert_non_null(strstr(err.text, "frame 0: page 0 is damaged"));
	read_only_page(&w, id, pack);
	free(pack);
	pack_scratch_dispose(&scratch);
	world_remove(&w);
}

static void shorten(const char *path, size_t size)
{
	assert_int_equal(truncate(path, (off_t)size), 0);
}

static void cut_short(void **state)
{
	struct fm_error err;
	struct world w;
	size_t size;

	world_make(&w, PAGES_LZ4);
	size = fixture_size(w.packs[0]);
	for (size_t left = size - 1; left > 0; left = left * 9 / 10) {
		shorten(w.packs[0], left);
		assert_code(check(&w, true, &err), err, FM_CORRUPT);
		assert_non_null(strstr(err.text, w.packs[0]));
	}
	world_remove(&w);
	world_make(&w, PAGES_LZ4);
	for (size_t left = fixture_size(w.map); left-- > 0;) {
		shorten(w.map, left);
		assert_code(check(&w, false, &err), err, FM_CORRUPT);
		assert_non_null(strstr(err.text, w.map));
	}
	world_remove(&w);
}

static void longer_than_it_was(void **state)
{
	struct fm_error err;
	struct world w;

	world_make(&w, PAGES_LZ4);
	shorten(w.packs[1], fixture_size(w.packs[1]) + 128); /* zeros behind it */
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w.packs[1]));
	world_remove(&w);
}

static void missing(void **state)
{
	struct fm_error err;
	struct world w;

	world_make(&w, PAGES_LZ4);
	assert_int_equal(unlink(w.packs[1]), 0);
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w.packs[1]));
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(unlink(w.map), 0);
	assert_code(check(&w, true, &err), err, FM_NOT_FOUND);
	world_remove(&w);
}

static void another_pack_in_its_place(void **state)
{
	struct fm_error err;
	struct world w;

	world_make(&w, PAGES_LZ4);
	assert_int_equal(rename(w.packs[0], w.packs[1]), 0);
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	world_remove(&w);
	world_make(&w, PAGES_LZ4);
	assert_int_equal(rename(w.packs[1], w.packs[0]), 0);
	assert_int_equal(link(w.packs[0], w.packs[1]), 0);
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w.packs[0]));
	assert_non_null(strstr(err.text, "another pack under this one's name"));
	world_remove(&w);
}

/* The same pages, saved by another job: its pack put in the place of ours. */
static void another_jobs(void **state)
{
	FM_AUTO_FREE char *theirs = NULL;
	struct pages_key *their_key = fixture_key ? fixture_key_make(JOB + 1) : NULL;
	struct pages_writer *writer;
	struct pages_store *s;
	struct pages_saved saved;
	struct fm_error err;
	struct world w;
	unsigned char page[4096];
	uint64_t pfn = 0;
	char **packs;

	world_make(&w, PAGES_LZ4);
	theirs = fixture_path(w.store, "theirs");
	s = pages_store_open(theirs, JOB + 1, their_key, &err);
	writer = pages_writer_create(s, &(struct pages_writer_options){ .codec = PAGES_LZ4 }, &err);
	fixture_page(3, page);
	assert_ok(pages_writer_put(writer, &pfn, page, 1, &err), err);
	{
		FM_AUTO_FREE char *map = fixture_path(w.store, "theirs.map");

		assert_ok(pages_writer_finish(writer, map, NULL, 0, &saved, &err), err);
		assert_null(pages_map_open(map, JOB, fixture_key, NULL, &err));
		assert_int_equal(err.code, FM_CORRUPT);
		assert_non_null(strstr(err.text, "job 78's, not job 77's"));
	}
	pages_store_close(s);
	assert_int_equal(fixture_files(theirs, ".pack", &packs), 1);
	assert_int_equal(rename(packs[0], w.packs[0]), 0);
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w.packs[0]));
	assert_non_null(strstr(err.text, "job 78's, not job 77's"));
	fixture_free(packs, 1);
	pages_key_free(their_key);
	world_remove(&w);
}

/* A map of the same job, whole, but not the one the manifest names. */
static void another_map(void **state)
{
	struct pages_saved saved;
	struct fm_error err;
	struct world w;
	struct fixture_save what = { { .codec = PAGES_LZ4 }, &w.guest, NULL, "other bones" };
	FM_AUTO_FREE char *other = NULL;

	world_make(&w, PAGES_LZ4);
	other = fixture_path(w.store, "1.map");
	assert_ok(fixture_save(w.dir, other, &what, &saved, &err), err);
	assert_int_equal(rename(other, w.map), 0);
	assert_ok(check(&w, false, &err), err);
	assert_code(check(&w, true, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "not the manifest's"));
	world_remove(&w);
}

/* A damaged pack is no place to find pages in, and does not stop a save; a rewrite leaves it as it is. */
static void nothing_new_relies_on_a_damaged_pack(void **state)
{
	struct fixture_save what = { { .codec = PAGES_LZ4 }, NULL, NULL, NULL };
	FM_AUTO_FREE char *map = NULL;
	struct pages_saved saved;
	struct pages_usage usage;
	struct pages_store *s;
	struct fm_error err;
	struct world w;
	uint64_t before, after;
	char id[65];

	world_make(&w, PAGES_LZ4);
	what.guest = &w.guest;
	map = fixture_path(w.store, "1.map");
	flip(w.packs[0], fixture_size(w.packs[0]) - 500); /* its index */
	flip(w.packs[1], 200);                             /* a frame */
	s = pages_store_open(w.dir, JOB, fixture_key, &err);
	assert_ok(pages_store_scan(s, &err), err);
	pages_store_usage(s, &usage);
	assert_int_equal(usage.packs, 1);
	assert_int_equal(usage.damaged, 1);
	assert_non_null(strstr(usage.damaged_text, w.packs[0]));
	id_of(w.packs[1], id);
	assert_code(pages_pack_rewrite(s, id, &(struct pages_rewrite_options){ .codec = PAGES_ZSTD }, &before, &after,
				       &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "frame "));
	pages_store_close(s);
	flip(w.packs[1], 200);
	assert_ok(fixture_save(w.dir, map, &what, &saved, &err), err);
	assert_int_equal(saved.progress.stored + usage.pages, w.saved.progress.stored);
	assert_true(saved.progress.stored > 0);
	assert_ok(fixture_check(w.dir, map, NULL, &w.guest, &err), err);
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bit_of_a_pack),
		cmocka_unit_test(a_bit_of_a_map),
		cmocka_unit_test(a_page_under_a_wrong_name),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(longer_than_it_was),
		cmocka_unit_test(missing),
		cmocka_unit_test(another_pack_in_its_place),
		cmocka_unit_test(another_jobs),
		cmocka_unit_test(another_map),
		cmocka_unit_test(nothing_new_relies_on_a_damaged_pack),
	};

	return cmocka_run_group_tests_name("pages damage", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("pages damage, encrypted", tests, fixture_encrypt, fixture_encrypt_end);
}
