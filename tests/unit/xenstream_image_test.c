/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_image_test - what is written: by the writer the bytes it was given, or the same domain in other
 * batches; by an image, records that Xen makes superpages of, and nothing of places that a disk has spoilt.
 */
#include "config.h"

#include "tests/unit/xenstream_shop.h"

#include <stdlib.h>
#include <string.h>

#include "agent/xenstream/writer.h"

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

	*c = (struct copy){ .writer = { .sink = out_add, .data = &c->out }, .most = most };
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
	struct xenstream_writer w = { .sink = out_add, .data = &o };
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

/* ---- images */

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
	shop_fold_whole(s.data, s.size, &o, &counts);
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
	shop_fold_whole(s.data, s.size, &o, &counts);
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
		cmocka_unit_test(test_superpages_stay_together),
		cmocka_unit_test(test_no_record_has_a_pfn_twice),
		cmocka_unit_test(test_places_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
