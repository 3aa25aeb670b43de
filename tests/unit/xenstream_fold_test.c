/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_fold_test - a folded image makes the domain that the whole stream makes, and so does a
 * stream in other batches; the writer gives back what it was given.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/xenstream/fold.h"
#include "agent/xenstream/image.h"
#include "agent/xenstream/writer.h"
#include "tests/unit/xenstream_sample.h"

struct out {
	unsigned char *data;
	size_t size, room;
};

static int to_out(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	struct out *o = data;

	if (o->room - o->size < size) {
		o->room = (o->size + size) * 2;
		o->data = realloc(o->data, o->room);
		assert_non_null(o->data);
	}
	memcpy(o->data + o->size, bytes, size);
	o->size += size;
	return 0;
}

/* ---- the writer behind the parser */

struct copy {
	struct xenstream_writer writer;
	struct out out;
	size_t most; /* entries of a batch; 0: as they came */
	uint64_t entries[64];
	unsigned char pages[64][4096];
	size_t held, full;
};

static int copy_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		     struct fm_error *err)
{
	struct copy *c = data;

	return xenstream_write_part(&c->writer, bytes, size, err);
}

static int copy_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	struct copy *c = data;

	return c->most ? 0 : xenstream_write_batch(&c->writer, entries, count, err);
}

static int copy_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	struct copy *c = data;

	if (!c->most)
		return page ? xenstream_write_page(&c->writer, page, err) : 0;
	c->entries[c->held++] = entry;
	if (page)
		memcpy(c->pages[c->full++], page, 4096);
	if (c->held < c->most)
		return 0;
	if (xenstream_write_batch(&c->writer, c->entries, c->held, err) < 0)
		return -1;
	for (size_t i = 0; i < c->full; i++)
		if (xenstream_write_page(&c->writer, c->pages[i], err) < 0)
			return -1;
	c->held = c->full = 0;
	return 0;
}

static void copy_stream(struct copy *c, const struct sample *s, size_t most)
{
	static const struct xenstream_calls calls = { copy_part, copy_batch, copy_page };
	struct fm_error err;
	struct xenstream_parser *p = xenstream_parser_create(&calls, c, &err);

	*c = (struct copy){ .writer = { .sink = to_out, .data = &c->out }, .most = most };
	assert_non_null(p);
	if (xenstream_parse(p, s->data, s->size, &err) < 0 || xenstream_parser_finish(p, &err) < 0 ||
	    xenstream_writer_finish(&c->writer, &err) < 0)
		fail_msg("%s", err.text);
	xenstream_parser_destroy(p);
}

static void test_the_same_batches_give_the_same_bytes(void **state)
{
	struct copy *c = malloc(sizeof(*c));

	for (unsigned i = 0; i < SAMPLE_KINDS + 40; i++) {
		struct sample s;

		if (i < SAMPLE_KINDS)
			sample_make(&s, i);
		else
			sample_random(&s, i, i % 2);
		copy_stream(c, &s, 0);
		assert_int_equal(c->out.size, s.size);
		assert_memory_equal(c->out.data, s.data, s.size);
		free(c->out.data);
		sample_dispose(&s);
	}
	free(c);
}

static void test_other_batches_give_the_same_domain(void **state)
{
	static struct restored was, is;
	struct copy *c = malloc(sizeof(*c));

	for (unsigned i = 0; i < 20; i++) {
		struct sample s;

		sample_random(&s, i, i % 2);
		copy_stream(c, &s, 1);
		assert_true(restored_from(&was, s.data, s.size));
		assert_true(restored_from(&is, c->out.data, c->out.size));
		assert_true(restored_same(&was, &is));
		free(c->out.data);
		sample_dispose(&s);
	}
	free(c);
}

static void test_the_writer_knows_its_turn(void **state)
{
	const uint64_t two[] = { xenstream_entry(1, XENSTREAM_NOTAB), xenstream_entry(2, XENSTREAM_XTAB) };
	const uint64_t odd = xenstream_entry(1, 5), reserved = 1ull << 52;
	uint64_t *many = calloc(XENSTREAM_BATCH_MAX + 1, sizeof(*many));
	unsigned char page[4096] = { 0 };
	struct out o = { 0 };
	struct xenstream_writer w = { .sink = to_out, .data = &o };
	struct fm_error err;

	assert_int_equal(xenstream_write_page(&w, page, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, two, 0, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, &odd, 1, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, &reserved, 1, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, many, XENSTREAM_BATCH_MAX + 1, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, many, XENSTREAM_BATCH_MAX, &err), -1); /* 256 MiB of pages */
	assert_int_equal(o.size, 0);
	assert_int_equal(xenstream_write_batch(&w, two, 2, &err), 0);
	assert_int_equal(xenstream_write_part(&w, page, 8, &err), -1);
	assert_int_equal(xenstream_write_batch(&w, two, 2, &err), -1);
	assert_int_equal(xenstream_writer_finish(&w, &err), -1);
	assert_int_equal(err.code, FM_USAGE);
	assert_int_equal(xenstream_write_page(&w, page, &err), 0);
	assert_int_equal(xenstream_writer_finish(&w, &err), 0);
	assert_int_equal(xenstream_write_page(&w, page, &err), -1);
	assert_int_equal(o.size, 16 + 16 + 4096);
	free(o.data);
	free(many);
}

/* ---- a page store of the simplest kind: one slot a content that is needed */

struct shop {
	unsigned char (*pages)[4096];
	uint64_t *pfns; /* whose it is */
	bool *gone;
	size_t used, dropped, room;
	struct xenstream_fold *fold;
	size_t most; /* places given at a time */
	size_t largest_fetch;
};

static int shop_keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
{
	struct shop *s = data;

	if (s->used == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->pages = realloc(s->pages, s->room * sizeof(s->pages[0]));
		s->pfns = realloc(s->pfns, s->room * sizeof(s->pfns[0]));
		s->gone = realloc(s->gone, s->room * sizeof(s->gone[0]));
		assert_true(s->pages && s->pfns && s->gone);
	}
	memcpy(s->pages[s->used], page, 4096);
	s->pfns[s->used] = pfn;
	s->gone[s->used] = false;
	*ref_r = s->used++;
	return 0;
}

static void shop_drop(void *data, uint64_t pfn, uint64_t ref)
{
	struct shop *s = data;

	assert_true(ref < s->used && !s->gone[ref] && s->pfns[ref] == pfn);
	s->gone[ref] = true;
	s->dropped++;
}

static int shop_next(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err)
{
	struct shop *s = data;

	*count_r = xenstream_fold_next(s->fold, places_r, most < s->most ? most : s->most);
	return 0;
}

static int shop_fetch(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
		      struct fm_error *err)
{
	struct shop *s = data;

	for (size_t i = 0; i < count; i++) {
		assert_true(places[i].ref < s->used && !s->gone[places[i].ref]);
		memcpy(pages_r + i * 4096, s->pages[places[i].ref], 4096);
	}
	s->largest_fetch = count > s->largest_fetch ? count : s->largest_fetch;
	return 0;
}

static void shop_open(struct shop *s)
{
	struct fm_error err;

	*s = (struct shop){ .most = 7 };
	s->fold = xenstream_fold_create(&(struct xenstream_keeper){ shop_keep, shop_drop, s }, 0, &err);
	assert_non_null(s->fold);
}

static void shop_close(struct shop *s)
{
	xenstream_fold_destroy(s->fold);
	free(s->pages);
	free(s->pfns);
	free(s->gone);
}

static int fold_bytes(struct shop *s, const unsigned char *data, size_t size, struct fm_error *err)
{
	struct xenstream_parser *p = xenstream_parser_create(&xenstream_fold_calls, s->fold, err);
	int r = xenstream_parse(p, data, size, err);

	xenstream_parser_destroy(p);
	return r;
}

/* The fold's image as bytes. */
static void image_bytes(struct shop *s, struct out *o)
{
	struct xenstream_shelf shelf = { shop_next, shop_fetch, s };
	struct xenstream_skeleton skeleton;
	struct xenstream_image *i;
	unsigned char some[1000];
	struct fm_error err;
	long n;

	*o = (struct out){ 0 };
	assert_int_equal(xenstream_fold_skeleton(s->fold, &skeleton, &err), 0);
	assert_int_equal(xenstream_fold_rewind(s->fold, &err), 0);
	i = xenstream_image_open(&skeleton, &shelf, &err);
	assert_non_null(i);
	while ((n = xenstream_image_read(i, some, sizeof(some), &err)) > 0)
		to_out(o, some, (size_t)n, &err);
	if (n < 0)
		fail_msg("%s", err.text);
	assert_int_equal(xenstream_image_read(i, some, sizeof(some), &err), 0);
	xenstream_image_close(i);
}

static void fold_whole(const unsigned char *data, size_t size, struct out *o, struct xenstream_counts *counts_r)
{
	struct fm_error err;
	struct shop s;

	shop_open(&s);
	if (fold_bytes(&s, data, size, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(xenstream_fold_whole(s.fold));
	image_bytes(&s, o);
	*counts_r = xenstream_fold_counts(s.fold);
	/* What is not needed was dropped, and nothing else. */
	assert_int_equal(s.used - s.dropped, counts_r->kept);
	shop_close(&s);
}

static void assert_folds_well(const struct sample *s)
{
	static struct restored was, is;
	struct xenstream_counts counts, again_counts;
	struct out once, again;

	fold_whole(s->data, s->size, &once, &counts);
	assert_true(once.size <= s->size + 16 + 8 * counts.bare); /* two records where there was one, pfns twice */
	assert_true(counts.kept <= counts.pages);
	assert_true(restored_from(&was, s->data, s->size));
	assert_true(restored_from(&is, once.data, once.size));
	assert_true(restored_same(&was, &is));
	/* Folded again it stays as it is. */
	fold_whole(once.data, once.size, &again, &again_counts);
	assert_int_equal(again.size, once.size);
	assert_memory_equal(again.data, once.data, once.size);
	assert_int_equal(again_counts.pages, again_counts.kept);
	free(once.data);
	free(again.data);
}

/* A stream without what is never kept of VERIFY: that record's hash is in no model, its pages are ignored there too. */
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
	assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), 0);
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
	assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), 0);
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
		image_bytes(&shop, &image);
		to_out(&cut, s.data, m->at + m->size, &err);
		to_out(&cut, ends, 16, &err); /* END, END */
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

/* No 2 MiB of the guest lie in two records, and each record is as full as that allows. */
static void test_superpages_stay_together(void **state)
{
	struct sample_page *pages = calloc(1000, sizeof(*pages));
	struct sample s;
	struct xenstream_counts counts;
	struct out o;
	size_t at, records = 0;
	uint64_t last = ~0ull;

	sample_make(&s, SAMPLE_LIVE);
	s.size = s.marks[7].at; /* up to the pages */
	for (unsigned batch = 0; batch < 3; batch++) {
		for (size_t i = 0; i < 1000; i++)
			pages[i] = (struct sample_page){ 100 + batch * 1000 + i, 0, 1 };
		sample_pages(&s, pages, 1000);
	}
	at = s.marks[7].at;
	sample_record(&s, "", 9, 8, 1);
	sample_record(&s, "", 10, 8, 1);
	sample_record(&s, "", 0, 0, 0);
	sample_record(&s, "", 0, 0, 0);
	fold_whole(s.data, s.size, &o, &counts);
	assert_int_equal(counts.kept, 3000);
	while (xenstream_le32(o.data + at) == 1) {
		uint32_t n = xenstream_le32(o.data + at + 8);
		uint64_t first = xenstream_le64(o.data + at + 16) >> 9;

		assert_true(n <= 1024);
		assert_int_not_equal(first, last);
		last = xenstream_le64(o.data + at + 16 + (n - 1) * 8) >> 9;
		at += 8 + xenstream_le32(o.data + at + 4);
		records++;
	}
	assert_int_equal(records, 4); /* pfns 100-3099: 924, 1024, 1024, 28 */
	free(pages);
	free(o.data);
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
	assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), 0);
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
		assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), -1);
		assert_int_equal(err.code, FM_INCOMPATIBLE);
		assert_non_null(strstr(err.text, empty ? "the domain has no memory" : cannot[i].says));
		shop_close(&shop);
		sample_dispose(&s);
	}
}

/* More pages than a record takes, some of which have two places: no record has a pfn twice. */
static void assert_no_pfn_twice(size_t n)
{
	static struct restored was, is;
	struct sample_page *pages = calloc(n, sizeof(*pages));
	struct xenstream_counts counts;
	struct sample s;
	struct out o;
	size_t at;
	unsigned records = 0;

	sample_letters(&s, "LPisf");
	at = s.size;
	for (size_t i = 0; i < n; i++)
		pages[i] = (struct sample_page){ 1 + i, 1, 1 };
	sample_pages(&s, pages, n);
	for (size_t i = 0; i < n; i++)
		pages[i].type = i % 2 ? 15 : 14;
	sample_pages(&s, pages, n);
	for (const char *c = "nueE"; *c; c++)
		sample_add(&s, *c);
	fold_whole(s.data, s.size, &o, &counts);
	assert_int_equal(counts.kept, n);
	assert_int_equal(counts.bare, n);
	for (; xenstream_le32(o.data + at) == 1; at += 8 + xenstream_le32(o.data + at + 4), records++)
		for (uint32_t i = 1; i < xenstream_le32(o.data + at + 8); i++)
			assert_true(xenstream_pfn(xenstream_le64(o.data + at + 16 + i * 8)) >
				    xenstream_pfn(xenstream_le64(o.data + at + 16 + i * 8 - 8)));
	assert_int_equal(records, 4);
	assert_true(restored_from(&was, s.data, s.size));
	assert_true(restored_from(&is, o.data, o.size));
	assert_true(restored_same(&was, &is));
	free(pages);
	free(o.data);
	sample_dispose(&s);
}

static void test_no_record_has_a_pfn_twice(void **state)
{
	assert_no_pfn_twice(1500);
	assert_no_pfn_twice(1024); /* the first turn ends with the first window, but for the superpage it holds back */
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
	assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), -1);
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "too far apart"));
	shop_close(&shop);
	shop_open(&shop);
	assert_int_equal(fold_bytes(&shop, s.data, s.size, &err), 0); /* the default has room for them */
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

/* ---- an image of places that a disk has spoilt */

struct spoilt {
	const uint64_t *entries;
	size_t count;
};

static int spoilt_next(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err)
{
	struct spoilt *s = data;

	*count_r = s->count > 0;
	if (s->count-- > 0)
		*places_r = (struct xenstream_place){ *s->entries++, 0 };
	return 0;
}

static int spoilt_fetch(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
			struct fm_error *err)
{
	return fm_fail(err, FM_NOT_FOUND, "that page is gone");
}

static void assert_spoilt(const uint64_t *entries, size_t count, enum fm_code code, const char *says)
{
	struct spoilt s = { entries, count };
	struct xenstream_skeleton skeleton = { "head", 4, "tail", 4 };
	struct xenstream_shelf shelf = { spoilt_next, spoilt_fetch, &s };
	struct fm_error err = { 0 };
	struct xenstream_image *i = xenstream_image_open(&skeleton, &shelf, &err);
	char buffer[64];
	long n;

	while ((n = xenstream_image_read(i, buffer, sizeof(buffer), &err)) > 0)
		continue;
	assert_int_equal(n, -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, says))
		fail_msg("%s", err.text);
	assert_int_equal(xenstream_image_read(i, buffer, sizeof(buffer), &err), -1); /* it stays */
	xenstream_image_close(i);
}

static void test_places_are_checked(void **state)
{
	const uint64_t x = 15ull << 60;

	assert_spoilt((uint64_t[]){ 2, 1 }, 2, FM_CORRUPT, "pfn 0x1 is out of order behind 0x2");
	assert_spoilt((uint64_t[]){ 2, 2 }, 2, FM_CORRUPT, "out of order");
	assert_spoilt((uint64_t[]){ x | 2, x | 1, x | 1 }, 3, FM_CORRUPT, "out of order");
	assert_spoilt((uint64_t[]){ x | 2, x | 1, 3 }, 3, FM_CORRUPT, "pfn 0x3 is out of order behind 0x1");
	assert_spoilt((uint64_t[]){ 5ull << 60 }, 1, FM_CORRUPT, "no page's pfn and type");
	assert_spoilt((uint64_t[]){ 1ull << 55 }, 1, FM_CORRUPT, "no page's pfn and type");
	assert_spoilt((uint64_t[]){ 1, x | 1 }, 2, FM_NOT_FOUND, "that page is gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_batches_give_the_same_bytes),
		cmocka_unit_test(test_other_batches_give_the_same_domain),
		cmocka_unit_test(test_the_writer_knows_its_turn),
		cmocka_unit_test(test_a_fold_makes_the_same_domain),
		cmocka_unit_test(test_so_do_random_ones),
		cmocka_unit_test(test_the_last_content_is_kept),
		cmocka_unit_test(test_the_skeleton_is_verbatim),
		cmocka_unit_test(test_checkpoints),
		cmocka_unit_test(test_superpages_stay_together),
		cmocka_unit_test(test_odd_orders),
		cmocka_unit_test(test_p2m_frames_go_before_the_pages),
		cmocka_unit_test(test_no_record_has_a_pfn_twice),
		cmocka_unit_test(test_what_cannot_be_folded),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_places_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
