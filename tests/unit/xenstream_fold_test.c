/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenstream_fold_test - a folded image makes the domain that the whole stream makes. */
#include "config.h"

#include "tests/unit/xenstream_shop.h"

#include <stdlib.h>
#include <string.h>

static void test_a_fold_makes_the_same_domain(void **state)
{
	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;

		sample_make(&s, kind);
		assert_folds_well(&s);
		sample_dispose(&s);
	}
}

static void test_so_do_random_ones(void **state)
{
	for (unsigned seed = 0; seed < 400; seed++) {
		struct sample s;

		sample_random(&s, seed, seed % 2);
		assert_folds_well(&s);
		sample_dispose(&s);
	}
}

/* What the live sample folds to, place by place. */
static void test_the_last_content_is_kept(void **state)
{
	static const struct { uint64_t pfn; unsigned type, content; } expected[] = {
		{ 0, 0, 5 }, { 1, 0, 0 }, { 0x10, 0, 2 }, { 0x800, 0, 0 }, { 0x801, 14, 0 },
	};
	struct xenstream_place places[8];
	struct xenstream_counts counts;
	unsigned char page[4096];
	struct fm_error err;
	struct sample s;
	struct shop shop;

	sample_make(&s, SAMPLE_LIVE);
	shop_open(&shop);
	assert_int_equal(shop_fold(&shop, s.data, s.size, &err), 0);
	assert_int_equal(xenstream_fold_rewind(shop.fold, &err), 0);
	assert_int_equal(xenstream_fold_next(shop.fold, places, 8), 5);
	assert_int_equal(xenstream_fold_next(shop.fold, places, 8), 0);
	assert_int_equal(xenstream_fold_rewind(shop.fold, &err), 0);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(xenstream_fold_next(shop.fold, places, 1), 1);
		assert_int_equal(places[0].entry, xenstream_entry(expected[i].pfn, expected[i].type));
		sample_page_fill(page, expected[i].pfn, expected[i].content);
		if (expected[i].type < 13)
			assert_memory_equal(shop.pages[places[0].ref], page, 4096);
	}
	counts = xenstream_fold_counts(shop.fold);
	assert_int_equal(counts.entries, 14);
	assert_int_equal(counts.pages, 7);
	assert_int_equal(counts.kept, 4);
	assert_int_equal(counts.bare, 1);
	shop_close(&shop);
	sample_dispose(&s);
}

/* The skeleton is the records as they were, in their order. */
static void test_the_skeleton_is_verbatim(void **state)
{
	struct xenstream_skeleton k;
	struct fm_error err;
	struct sample s;
	struct shop shop;
	size_t first = 0, after = 0;

	sample_make(&s, SAMPLE_LIVE);
	for (size_t i = 0; i < s.mark_count; i++)
		if (strcmp(s.marks[i].name, "libxc record PAGE_DATA") == 0) {
			first = first ? first : s.marks[i].at;
			after = s.marks[i].at + s.marks[i].size;
		}
	shop_open(&shop);
	assert_int_equal(shop_fold(&shop, s.data, s.size, &err), 0);
	assert_int_equal(xenstream_fold_skeleton(shop.fold, &k, &err), 0);
	assert_int_equal(k.head_size, first);
	assert_memory_equal(k.head, s.data, first);
	assert_int_equal(k.tail_size, s.size - after);
	assert_memory_equal(k.tail, s.data + after, k.tail_size);
	shop_close(&shop);
	sample_dispose(&s);
}

/* At each checkpoint, and only there, the fold is that state: the image is what a stream that had ended there makes. */
static void test_checkpoints(void **state)
{
	static struct restored was, is;
	static const unsigned char ends[16];
	unsigned found = 0, libxc = 0;
	struct fm_error err;
	struct sample s;
	struct shop shop;
	struct xenstream_parser *p;

	sample_make(&s, SAMPLE_CHECKPOINTS);
	shop_open(&shop);
	p = xenstream_parser_create(&xenstream_fold_calls, shop.fold, &err);
	for (size_t i = 0; i < s.mark_count; i++) {
		const struct sample_mark *m = &s.marks[i];
		bool at_checkpoint = strcmp(m->name, "libxl record CHECKPOINT_END") == 0;
		struct out cut = { 0 }, image;

		assert_int_equal(xenstream_parse(p, s.data + m->at, m->size, &err), 0);
		libxc += at_checkpoint;
		if (!at_checkpoint) {
			bool rest = libxc == 3; /* END follows the last one at once: it stays whole */
			struct xenstream_skeleton k;

			assert_int_equal(xenstream_fold_whole(shop.fold), rest);
			assert_int_equal(xenstream_fold_skeleton(shop.fold, &k, &err), rest ? 0 : -1);
			assert_int_equal(xenstream_fold_rewind(shop.fold, &err), rest ? 0 : -1);
			continue;
		}
		found++;
		shop_image(&shop, &image);
		out_add(&cut, s.data, m->at + m->size, &err);
		out_add(&cut, ends, 16, &err); /* END, END */
		assert_true(restored_from(&was, cut.data, cut.size));
		assert_true(restored_from(&is, image.data, image.size));
		assert_true(restored_same(&was, &is));
		free(cut.data);
		free(image.data);
	}
	assert_int_equal(found, 3);
	xenstream_parser_destroy(p);
	shop_close(&shop);
	sample_dispose(&s);
}

/* Records in orders that Xen does not write but that are allowed. */
static void test_odd_orders(void **state)
{
	static const char *const letters[] = {
		"L3sptphxeE", "L3sopotoxhoeOMOE", "L2poxheE", "LPicsfptnueE",
		"LPisfpnukKfpnukKeE", "LPisffpfpnukMKeE", "L3spxhkKeE", "L3spxhkMKeME", "L3spxhkMKkMKkKeMME",
		"L3spxhkMKpxhkKeE", "L3spxhkKoxhkKoxheE",
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		struct sample s;

		sample_letters(&s, letters[i]);
		assert_folds_well(&s);
		sample_dispose(&s);
	}
}

/* P2M_FRAMES that a later state brings tell what the pages may be: they go before all of them. */
static void test_p2m_frames_go_before_the_pages(void **state)
{
	struct xenstream_skeleton k;
	struct fm_error err;
	struct sample s;
	struct shop shop;

	sample_letters(&s, "LPisfpnukKfpnukKeE");
	shop_open(&shop);
	assert_int_equal(shop_fold(&shop, s.data, s.size, &err), 0);
	assert_int_equal(xenstream_fold_skeleton(shop.fold, &k, &err), 0);
	assert_int_equal(k.head_size, 48 + 16 + 8 + 40 + 16 + 8 + 24 + 24); /* two of them */
	assert_int_equal(k.tail_size, 8 + 4096 + 16 + 8 + 8);
	shop_close(&shop);
	sample_dispose(&s);
}

static void test_what_cannot_be_folded(void **state)
{
	static const struct { const char *letters, *says; } cannot[] = {
		{ "L3spxhpeE", "pages after HVM_PARAMS" },
		{ "L3spxhkKhpxheE", "pages after HVM_PARAMS" },
		{ "L3sptxhkKpxheE", "a checkpoint had records that the next one has not" },
	};
	const struct sample_page hole = { 5, 15, 0 };
	struct fm_error err;
	struct sample s;
	struct shop shop;

	for (size_t i = 0; i <= sizeof(cannot) / sizeof(cannot[0]); i++) {
		bool empty = i == sizeof(cannot) / sizeof(cannot[0]);

		sample_letters(&s, empty ? "L3s" : cannot[i].letters);
		if (empty) {
			sample_pages(&s, &hole, 1);
			for (const char *c = "xheE"; *c; c++)
				sample_add(&s, *c);
		}
		shop_open(&shop);
		assert_int_equal(shop_fold(&shop, s.data, s.size, &err), -1);
		assert_int_equal(err.code, FM_INCOMPATIBLE);
		assert_non_null(strstr(err.text, empty ? "the domain has no memory" : cannot[i].says));
		shop_close(&shop);
		sample_dispose(&s);
	}
}

/* Pages all over the address space, and endless records: refused, not remembered. */
static void test_bounds(void **state)
{
	struct sample_page *pages = calloc(1000, sizeof(*pages));
	struct fm_error err;
	struct sample s;
	struct shop shop;
	struct xenstream_parser *p;

	sample_make(&s, SAMPLE_LIVE);
	s.size = s.marks[7].at;
	for (size_t i = 0; i < 1000; i++)
		pages[i] = (struct sample_page){ (uint64_t)i << 40, 14, 0 };
	sample_pages(&s, pages, 1000);
	shop_open(&shop);
	xenstream_fold_destroy(shop.fold);
	shop.fold = xenstream_fold_create(&(struct xenstream_keeper){ shop_keep, shop_drop, &shop }, 1 << 20, &err);
	assert_int_equal(shop_fold(&shop, s.data, s.size, &err), -1);
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "too far apart"));
	shop_close(&shop);
	shop_open(&shop);
	assert_int_equal(shop_fold(&shop, s.data, s.size, &err), 0); /* 16 MiB have room for them */
	shop_close(&shop);

	s.size = s.marks[7].at;
	sample_bytes(&s, "\x44\0\0\x80" "\0\0\0\x08", 8); /* 128 MiB that nobody knows */
	shop_open(&shop);
	p = xenstream_parser_create(&xenstream_fold_calls, shop.fold, &err);
	assert_int_equal(xenstream_parse(p, s.data, s.size, &err), 0);
	s.size = 0;
	for (size_t i = 0; i < 16; i++)
		sample_pages(&s, pages, 1000);
	for (size_t fed = 0; fed <= XENSTREAM_SKELETON_MAX; fed += s.size)
		if (xenstream_parse(p, s.data, s.size, &err) < 0)
			break;
	assert_int_equal(xenstream_parser_finish(p, &err), -1);
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "larger than 64 MiB"));
	xenstream_parser_destroy(p);
	shop_close(&shop);
	free(pages);
	sample_dispose(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_fold_makes_the_same_domain),
		cmocka_unit_test(test_so_do_random_ones),
		cmocka_unit_test(test_the_last_content_is_kept),
		cmocka_unit_test(test_the_skeleton_is_verbatim),
		cmocka_unit_test(test_checkpoints),
		cmocka_unit_test(test_odd_orders),
		cmocka_unit_test(test_p2m_frames_go_before_the_pages),
		cmocka_unit_test(test_what_cannot_be_folded),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
