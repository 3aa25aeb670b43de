/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages_test - what is put into the page store comes back, and is kept once: as it is, and encrypted. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/map.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

struct world {
	char *store, *dir;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->store = fixture_store();
	w->dir = fixture_path(w->store, "pages");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	fixture_remove(w->store);
	free(w->dir);
	free(w);
	return 0;
}

/* Save as "<name>.map" and check what was said of it. */
static struct pages_saved save(struct world *w, const char *name, const struct fixture_save *what)
{
	FM_AUTO_FREE char *map = fixture_path(w->store, name);
	struct pages_saved saved;
	struct fm_error err;

	assert_ok(fixture_save(w->dir, map, what, &saved, &err), err);
	assert_string_equal(saved.map.name, name);
	assert_int_equal(saved.map.bytes, fixture_size(map));
	assert_int_equal(saved.progress.put, saved.progress.zero + saved.progress.known + saved.progress.stored);
	assert_ok(fixture_check(w->dir, map, saved.map.sha256, what->guest, &err), err);
	return saved;
}

static uint64_t distinct(const struct fixture_guest *g)
{
	uint64_t n = 0;
	bool shared[8] = { false };

	for (size_t i = 0; i < g->pages; i++) {
		uint32_t c = g->content[i];

		if (c >= 1000 && c != FIXTURE_HOLE)
			n++;
		else if (c >= 1 && c < 8)
			n += !shared[c], shared[c] = true;
	}
	return n;
}

static void comes_back(void **state)
{
	static const struct pages_writer_options ways[] = {
		{ .codec = PAGES_LZ4 },
		{ .codec = PAGES_ZSTD, .threads = 1, .frame_pages = 256 },
		{ .codec = PAGES_RAW, .threads = 4, .frame_pages = 16 },
		{ .codec = PAGES_LZ4, .threads = 3, .frame_pages = 17, .pack_pages = 100 }, /* many packs */
		{ .codec = PAGES_ZSTD, .level = 5, .threads = 2, .pack_pages = 256, .frame_pages = 256 },
	};
	struct fixture_guest g;

	fixture_guest_init(&g, 5000, 1);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct pages_saved saved;
		FM_AUTO_FREE char *name = fm_format("%zu.map", i);
		struct world *w;

		setup((void **)&w);
		saved = save(w, name, &(struct fixture_save){ ways[i], &g, NULL, "bones" });
		assert_int_equal(saved.progress.stored, distinct(&g));
		assert_true(saved.memory > 0);
		teardown((void **)&w);
	}
	fixture_guest_dispose(&g);
}

static void zeros_vanish(void **state)
{
	struct world *w = *state;
	struct fixture_guest g;
	struct pages_saved saved;
	char **files;

	fixture_guest_init(&g, 3000, 1);
	memset(g.content, 0, g.pages * sizeof(*g.content));
	saved = save(w, "zero.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	assert_int_equal(saved.progress.zero, 3000);
	assert_int_equal(fixture_files(w->dir, "", &files), 3); /* . and .. and the lock */
	fixture_free(files, 3);
	assert_true(saved.bytes < 400);
	fixture_guest_dispose(&g);
}

static void kept_once_per_job(void **state)
{
	struct world *w = *state;
	struct fixture_guest g, alike;
	struct pages_saved first, second;

	fixture_guest_init(&g, 4000, 1);
	fixture_guest_init(&alike, 4000, 1);
	alike.content[17] = 5000000;
	alike.content[18] = FIXTURE_HOLE;
	first = save(w, "0.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	second = save(w, "1.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &alike, NULL, NULL });
	assert_int_equal(second.progress.stored, 1);
	assert_true(second.bytes * 20 < first.bytes);
	/* Nothing new at all: no pack. */
	second = save(w, "2.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &alike, NULL, NULL });
	assert_int_equal(second.progress.stored, 0);
	assert_int_equal(second.bytes, second.map.bytes);
	fixture_guest_dispose(&g);
	fixture_guest_dispose(&alike);
}

static void parent_and_inheritance(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *path = fixture_path(w->store, "0.map");
	struct fixture_guest g, later;
	struct pages_saved by_hash, by_dirt;
	struct pages_map *parent;
	struct fm_error err;

	fixture_guest_init(&g, 4000, 1);
	fixture_guest_init(&later, 4000, 1);
	for (size_t i = 0; i < 4000; i += 50)
		later.content[i] = i % 200 == 0 ? FIXTURE_HOLE : i % 150 == 0 ? 0 : 6000000 + (uint32_t)i;
	save(w, "0.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	parent = pages_map_open(path, JOB, fixture_key, NULL, &err);
	assert_non_null(parent);
	by_hash = save(w, "1.map", &(struct fixture_save){ { .codec = PAGES_LZ4, .parent = parent }, &later, NULL, NULL });
	by_dirt = save(w, "2.map",
		       &(struct fixture_save){ { .parent = parent, .inherit = true }, &later, &g, NULL });
	assert_true(by_hash.progress.put > 1500);
	assert_true(by_dirt.progress.put < 80);
	assert_int_equal(by_dirt.pages, by_hash.pages);
	assert_int_equal(by_dirt.progress.stored, 0); /* the one before had them all */
	pages_map_close(parent);
	fixture_guest_dispose(&g);
	fixture_guest_dispose(&later);
}

/* With a bound on the packs that are searched: the parent's are, whichever others are. */
static void a_bound_on_the_packs_searched(void **state)
{
	struct world *w = *state;
	struct fixture_guest g[6];
	FM_AUTO_FREE char *path = fixture_path(w->store, "3.map");
	struct pages_map *parent;
	struct pages_saved s;
	struct fm_error err;
	unsigned stored = 0;

	for (unsigned i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u.map", i);
		fixture_guest_init(&g[i], 600, i);
		for (size_t k = 0; k < g[i].pages; k++) /* nothing alike among them */
			g[i].content[k] = g[i].content[k] == FIXTURE_HOLE || !g[i].content[k] ? 0 : 10000 * (i + 1) + (uint32_t)k;
		save(w, name, &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g[i], NULL, NULL });
	}
	parent = pages_map_open(path, JOB, fixture_key, NULL, &err);
	assert_non_null(parent);
	for (size_t most = 1; most < 4; most++) {
		char name[16];

		snprintf(name, sizeof(name), "again%zu.map", most);
		s = save(w, name, &(struct fixture_save){ { .codec = PAGES_LZ4, .parent = parent, .packs_most = most }, &g[3], NULL, NULL });
		assert_int_equal(s.progress.stored, 0);
	}
	pages_map_close(parent);
	for (unsigned i = 0; i < 6; i++) { /* without a parent there is one pack that may help one of them */
		char name[16];

		snprintf(name, sizeof(name), "last%u.map", i);
		stored += save(w, name, &(struct fixture_save){ { .codec = PAGES_LZ4, .packs_most = 1 }, &g[i], NULL, NULL })
				  .progress.stored > 0;
	}
	assert_true(stored >= 5);
	for (unsigned i = 0; i < 6; i++)
		fixture_guest_dispose(&g[i]);
}

static void the_last_of_repeats_counts(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *map = fixture_path(w->store, "r.map");
	struct fixture_guest g;
	struct pages_store *s;
	struct pages_writer *writer;
	struct pages_saved saved;
	struct fm_error err;
	unsigned char page[4096];

	fixture_guest_init(&g, 2000, 9);
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_non_null(s);
	writer = pages_writer_create(s, &(struct pages_writer_options){ .codec = PAGES_LZ4, .threads = 4 }, &err);
	assert_non_null(writer);
	for (unsigned round = 0; round < 6; round++) /* the last round is g; pages of all kinds replace each other */
		for (uint64_t pfn = 0; pfn < g.pages; pfn++) {
			uint32_t content = round == 5 ? g.content[pfn] : (uint32_t)(pfn * 7 + round * round) % 600;

			if (content == FIXTURE_HOLE) {
				assert_ok(pages_writer_forget(writer, &pfn, 1, &err), err);
				continue;
			}
			fixture_page(content, page);
			assert_ok(pages_writer_put(writer, &pfn, page, 1, &err), err);
		}
	assert_ok(pages_writer_finish(writer, map, NULL, 0, &saved, &err), err);
	pages_store_close(s);
	assert_ok(fixture_check(w->dir, map, NULL, &g, &err), err);
	fixture_guest_dispose(&g);
}

/* Batches that are quickly done do not overtake others: pages with content, then zeros in the same places. */
static void nothing_is_overtaken(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *map = fixture_path(w->store, "o.map");
	static unsigned char data[256 * 4096], zeros[256 * 4096];
	struct fixture_guest g;
	struct pages_store *s;
	struct pages_writer *writer;
	struct pages_saved saved;
	struct fm_error err;
	uint64_t pfn[256];

	fixture_guest_init(&g, 40 * 256, 9);
	memset(g.content, 0, g.pages * sizeof(*g.content));
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	writer = pages_writer_create(s, &(struct pages_writer_options){ .codec = PAGES_LZ4, .threads = 4 }, &err);
	assert_non_null(writer);
	for (uint64_t range = 0; range < 40; range++) {
		for (uint64_t i = 0; i < 256; i++) {
			pfn[i] = range * 256 + i;
			fixture_page((uint32_t)pfn[i] + 5, data + i * 4096);
		}
		assert_ok(pages_writer_put(writer, pfn, data, 256, &err), err);
		for (unsigned n = 0; n < 4; n++)
			assert_ok(pages_writer_put(writer, pfn, zeros, 256, &err), err);
	}
	assert_ok(pages_writer_finish(writer, map, NULL, 0, &saved, &err), err);
	pages_store_close(s);
	assert_ok(fixture_check(w->dir, map, NULL, &g, &err), err);
	fixture_guest_dispose(&g);
}

static void the_skeleton_comes_back(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *path = fixture_path(w->store, "s.map");
	struct fixture_guest g;
	struct pages_map *m;
	struct fm_error err;
	const void *bones;
	size_t size;

	fixture_guest_init(&g, 10, 1);
	save(w, "s.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, "registers and so on" });
	m = pages_map_open(path, JOB, fixture_key, NULL, &err);
	assert_non_null(m);
	bones = pages_map_skeleton(m, &size);
	assert_int_equal(size, strlen("registers and so on"));
	assert_memory_equal(bones, "registers and so on", size);
	pages_map_close(m);
	fixture_guest_dispose(&g);
}

static void empty_and_sparse_guests(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *map = fixture_path(w->store, "sparse.map");
	struct fixture_guest nobody = { 0 };
	struct pages_store *s;
	struct pages_writer *writer;
	struct pages_reader *r;
	struct pages_map *m;
	struct pages_saved saved;
	struct pages_batch batch;
	struct fm_error err;
	unsigned char page[4096];
	uint64_t high = PAGES_PFN_END - 1, beyond = PAGES_PFN_END;

	save(w, "nobody.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &nobody, NULL, NULL });
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	writer = pages_writer_create(s, &(struct pages_writer_options){ 0 }, &err);
	fixture_page(4, page);
	assert_ok(pages_writer_put(writer, &high, page, 1, &err), err);
	assert_ok(pages_writer_finish(writer, map, NULL, 0, &saved, &err), err);
	m = pages_map_open(map, JOB, fixture_key, saved.map.sha256, &err);
	assert_non_null(m);
	assert_int_equal(pages_map_pfn_end(m), PAGES_PFN_END);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ 0 }, &err);
	assert_non_null(r);
	assert_int_equal(pages_reader_next(r, &batch, &err), 1);
	assert_int_equal(batch.count, 1);
	assert_int_equal(batch.pfn[0], high);
	assert_memory_equal(batch.page[0], page, 4096);
	assert_int_equal(pages_reader_next(r, &batch, &err), 0);
	beyond = 3;
	assert_code(pages_reader_fetch(r, &beyond, 1, page, &err), err, FM_NOT_FOUND);
	pages_reader_destroy(r);
	pages_map_close(m);
	beyond = PAGES_PFN_END;
	writer = pages_writer_create(s, &(struct pages_writer_options){ 0 }, &err);
	assert_code(pages_writer_put(writer, &beyond, page, 1, &err), err, FM_USAGE);
	assert_code(pages_writer_finish(writer, map, NULL, 0, &saved, &err), err, FM_USAGE); /* it is remembered */
	pages_store_close(s);
}

/* All implementations there are: the same as libcrypto, for any number of pages. */
static void implementations_agree(void **state)
{
	static unsigned char data[300 * 4096];
	static uint8_t ours[300][32], theirs[300][32];
	static const size_t counts[] = { 0, 1, 2, 7, 15, 16, 17, 31, 33, 255, 300 };
	const void *page[300];
	struct hasher reference, other;
	struct fm_error err;

	for (size_t i = 0; i < 300; i++) {
		fixture_page((uint32_t)i + 1, data + i * 4096);
		page[i] = data + i * 4096;
	}
	assert_ok(hasher_init(&reference, "libcrypto", fixture_key, &err), err);
	if (hasher_init(&other, "ipsec-mb", fixture_key, &err) < 0) {
		assert_int_equal(err.code, FM_NOT_FOUND);
		print_message("not compared: %s\n", err.text);
		hasher_dispose(&reference);
		skip();
	}
	for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		memset(theirs, 0xff, sizeof(theirs));
		memset(ours, 0xff, sizeof(ours));
		assert_ok(hasher_pages(&reference, page, counts[c], ours, &err), err);
		assert_ok(hasher_pages(&other, page, counts[c], theirs, &err), err);
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
	hasher_dispose(&other);
	hasher_dispose(&reference);
	assert_code(hasher_init(&other, "md5", fixture_key, &err), err, FM_USAGE);
}

/* The same pages under the same names, whoever hashed; not encrypted, the same bytes on disk. */
static void implementations_write_the_same(void **state)
{
	struct world *w = *state;
	struct fixture_guest g;
	struct pages_saved saved[2];
	static const char *const hash[] = { "libcrypto", NULL };
	char **packs[2];

	fixture_guest_init(&g, 2000, 3);
	for (unsigned i = 0; i < 2; i++) {
		FM_AUTO_FREE char *dir = fm_format("%s/%u", w->store, i);
		FM_AUTO_FREE char *map = fm_format("%s/%u.map", w->store, i);
		struct fm_error err;

		assert_ok(fixture_save(dir, map, &(struct fixture_save){ { .hash = hash[i] }, &g, NULL, NULL },
				       &saved[i], &err), err);
	}
	if (!fixture_key)
		assert_string_equal(saved[0].map.sha256, saved[1].map.sha256);
	else
		assert_string_not_equal(saved[0].map.sha256, saved[1].map.sha256); /* another salt */
	assert_int_equal(saved[0].map.bytes, saved[1].map.bytes);
	for (unsigned i = 0; i < 2; i++) {
		FM_AUTO_FREE char *dir = fm_format("%s/%u", w->store, i);

		assert_int_equal(fixture_files(dir, ".pack", &packs[i]), 1);
	}
	assert_string_equal(strrchr(packs[0][0], '/'), strrchr(packs[1][0], '/'));
	fixture_free(packs[0], 1);
	fixture_free(packs[1], 1);
	fixture_guest_dispose(&g);
}

static void pack_ids(struct world *w, char id_r[65], uint64_t *bytes_r)
{
	struct pages_usage usage;
	struct fm_error err;
	struct pages_store *s = pages_store_open(w->dir, JOB, fixture_key, &err);

	assert_ok(pages_store_scan(s, &err), err);
	pages_store_usage(s, &usage);
	assert_int_equal(usage.packs, 1);
	assert_int_equal(usage.damaged, 0);
	assert_true(pages_store_pack(s, 0, id_r));
	assert_false(pages_store_pack(s, 1, id_r));
	*bytes_r = usage.bytes;
	pages_store_close(s);
}

static void written_anew_maps_stay_valid(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *map = fixture_path(w->store, "0.map");
	struct fixture_guest g;
	struct pages_saved saved;
	struct pages_verdict verdict;
	struct pages_store *s;
	struct fm_error err;
	uint64_t before, after, bytes;
	char id[65], id_after[65];

	fixture_guest_init(&g, 4000, 2);
	saved = save(w, "0.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	pack_ids(w, id, &bytes);
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_ok(pages_pack_rewrite(s, id, &(struct pages_rewrite_options){ .codec = PAGES_ZSTD }, &before, &after, &err),
		  err);
	assert_int_equal(before, bytes);
	assert_true(after < before);
	pack_ids(w, id_after, &bytes);
	assert_string_equal(id, id_after);
	assert_int_equal(after, bytes);
	assert_ok(pages_pack_verify(s, id, &verdict, &err), err);
	assert_int_equal(verdict.pages, saved.progress.stored);
	assert_int_equal(verdict.bytes, after);
	assert_ok(fixture_check(w->dir, map, saved.map.sha256, &g, &err), err);
	pages_store_close(s);
	fixture_guest_dispose(&g);
}

/* Two snapshots; the first goes: its pages leave the pack, the second's stay, and what is gone is said to be. */
static void what_no_map_needs_can_go(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *first = fixture_path(w->store, "0.map"), *second = fixture_path(w->store, "1.map");
	static uint8_t keep[PAGES_PACK_MAX / 8];
	struct fixture_guest g, half;
	struct pages_store *s;
	struct pages_map *m;
	struct fm_error err;
	uint64_t before, after, bytes;
	char id[65];

	fixture_guest_init(&g, 4000, 2);
	fixture_guest_init(&half, 4000, 2);
	for (size_t i = 0; i < 2000; i++)
		half.content[i] = 0;
	save(w, "0.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	save(w, "1.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &half, NULL, NULL });
	pack_ids(w, id, &bytes);
	m = pages_map_open(second, JOB, fixture_key, NULL, &err);
	memset(keep, 0, sizeof(keep));
	pages_map_mark(m, id, keep);
	pages_map_close(m);
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_code(pages_pack_rewrite(s, id, &(struct pages_rewrite_options){ .keep = keep }, &before, &after, &err), err,
		    FM_USAGE);
	assert_ok(pages_sweep_begin(s, &err), err);
	assert_ok(pages_pack_rewrite(s, id, &(struct pages_rewrite_options){ .codec = PAGES_LZ4, .keep = keep }, &before,
				     &after, &err), err);
	pages_sweep_end(s);
	assert_true(after * 3 < before * 2);
	assert_ok(fixture_check(w->dir, second, NULL, &half, &err), err);
	assert_code(fixture_check(w->dir, first, NULL, &g, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "was removed from it"));
	/* What is gone is not known any more, not by its pfn either: saving it again brings the first back, too. */
	m = pages_map_open(first, JOB, fixture_key, NULL, &err);
	save(w, "2.map", &(struct fixture_save){ { .codec = PAGES_LZ4, .parent = m }, &g, NULL, NULL });
	pages_map_close(m);
	assert_ok(fixture_check(w->dir, first, NULL, &g, &err), err);
	pages_store_close(s);
	fixture_guest_dispose(&g);
	fixture_guest_dispose(&half);
}

static void two_writers_at_once(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *maps[2] = { fixture_path(w->store, "0.map"), fixture_path(w->store, "1.map") };
	struct fixture_guest g[2];
	struct pages_store *s[2];
	struct pages_writer *writer[2];
	struct pages_saved saved;
	struct fm_error err;
	unsigned char page[4096];
	unsigned swept;

	for (unsigned i = 0; i < 2; i++) {
		fixture_guest_init(&g[i], 1500, 1 + i);
		s[i] = pages_store_open(w->dir, JOB, fixture_key, &err);
		writer[i] = pages_writer_create(s[i], &(struct pages_writer_options){ 0 }, &err);
		assert_non_null(writer[i]);
	}
	for (uint64_t pfn = 0; pfn < 1500; pfn++)
		for (unsigned i = 0; i < 2; i++) {
			if (g[i].content[pfn] == FIXTURE_HOLE)
				continue;
			fixture_page(g[i].content[pfn], page);
			assert_ok(pages_writer_put(writer[i], &pfn, page, 1, &err), err);
		}
	assert_ok(pages_store_sweep(s[0], &swept, &err), err);
	assert_int_equal(swept, 0); /* both live */
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(pages_writer_finish(writer[i], maps[i], NULL, 0, &saved, &err), err);
		assert_ok(fixture_check(w->dir, maps[i], saved.map.sha256, &g[i], &err), err);
		fixture_guest_dispose(&g[i]);
		pages_store_close(s[i]);
	}
	free(maps[1]);
}

static void a_sweep_is_alone(void **state)
{
	struct world *w = *state;
	FM_AUTO_FREE char *map = fixture_path(w->store, "0.map");
	struct fixture_guest g;
	struct fixture_save what = { { .codec = PAGES_LZ4 }, &g, NULL, NULL };
	struct pages_store *s, *other;
	struct pages_writer *writer;
	struct fm_error err;
	uint64_t bytes;
	char id[65];

	fixture_guest_init(&g, 500, 1);
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	other = pages_store_open(w->dir, JOB, fixture_key, &err);
	writer = pages_writer_create(s, &what.options, &err);
	assert_code(pages_sweep_begin(other, &err), err, FM_BUSY);
	pages_writer_abort(writer);
	assert_false(pages_sweep_wanted(other));
	assert_ok(pages_sweep_begin(other, &err), err);
	assert_code(pages_sweep_begin(other, &err), err, FM_BUSY);
	pages_store_wait(s, 0);
	assert_null(pages_writer_create(s, &what.options, &err));
	assert_int_equal(err.code, FM_BUSY);
	assert_false(pages_sweep_wanted(other));
	pages_store_wait(s, 100);
	assert_null(pages_writer_create(s, &what.options, &err)); /* not for ever */
	assert_int_equal(err.code, FM_BUSY);
	assert_false(pages_sweep_wanted(other));
	pages_sweep_end(other);
	save(w, "0.map", &what);
	pack_ids(w, id, &bytes);
	assert_code(pages_pack_remove(other, id, &err), err, FM_USAGE);
	assert_ok(pages_sweep_begin(other, &err), err);
	assert_ok(pages_pack_remove(other, id, &err), err);
	assert_code(pages_pack_remove(other, id, &err), err, FM_NOT_FOUND);
	pages_store_close(other); /* ends the sweep */
	assert_code(fixture_check(w->dir, map, NULL, &g, &err), err, FM_CORRUPT);
	save(w, "1.map", &what);
	assert_ok(fixture_check(w->dir, map, NULL, &g, &err), err); /* the same pages, the same pack */
	pages_store_close(s);
	fixture_guest_dispose(&g);
}

/* Memory for a page, in the tables that grow with them. */
static void state_is_bounded(void **state)
{
	struct world *w = *state;
	struct fixture_guest g;
	struct pages_saved saved;

	fixture_guest_init(&g, 60000, 4);
	for (size_t i = 0; i < g.pages; i++)
		g.content[i] = 1000 + (uint32_t)i; /* the worst: all different */
	saved = save(w, "0.map", &(struct fixture_save){ { .codec = PAGES_LZ4, .pack_pages = 4096 }, &g, NULL, NULL });
	print_message("%.1f bytes of state a page\n", (double)saved.memory / (double)g.pages);
	assert_true(saved.memory <= 8 * g.pages + 64 * 4096);
	saved = save(w, "1.map", &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL });
	assert_int_equal(saved.progress.stored, 0);
	fixture_guest_dispose(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test_setup_teardown(zeros_vanish, setup, teardown),
		cmocka_unit_test_setup_teardown(kept_once_per_job, setup, teardown),
		cmocka_unit_test_setup_teardown(parent_and_inheritance, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bound_on_the_packs_searched, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_of_repeats_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_overtaken, setup, teardown),
		cmocka_unit_test_setup_teardown(the_skeleton_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_and_sparse_guests, setup, teardown),
		cmocka_unit_test(implementations_agree),
		cmocka_unit_test_setup_teardown(implementations_write_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(written_anew_maps_stay_valid, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_map_needs_can_go, setup, teardown),
		cmocka_unit_test_setup_teardown(two_writers_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sweep_is_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(state_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("pages, encrypted", tests, fixture_encrypt, fixture_encrypt_end);
}
