/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenstream_shop.c - see xenstream_shop.h. */
#include "config.h"

#include "tests/unit/xenstream_shop.h"

#include <stdlib.h>
#include <string.h>

int out_add(void *data, const void *bytes, size_t size, struct fm_error *err)
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

int shop_keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
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

void shop_drop(void *data, uint64_t pfn, uint64_t ref)
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

void shop_open(struct shop *s)
{
	struct fm_error err;

	*s = (struct shop){ .most = 7 };
	s->fold = xenstream_fold_create(&(struct xenstream_keeper){ shop_keep, shop_drop, s }, xenstream_fold_table(16 << 20), &err);
	assert_non_null(s->fold);
}

void shop_close(struct shop *s)
{
	xenstream_fold_destroy(s->fold);
	free(s->pages);
	free(s->pfns);
	free(s->gone);
}

int shop_fold(struct shop *s, const unsigned char *data, size_t size, struct fm_error *err)
{
	struct xenstream_parser *p = xenstream_parser_create(&xenstream_fold_calls, s->fold, err);
	int r = xenstream_parse(p, data, size, err);

	xenstream_parser_destroy(p);
	return r;
}

void shop_image(struct shop *s, struct out *o)
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
		out_add(o, some, (size_t)n, &err);
	if (n < 0)
		fail_msg("%s", err.text);
	assert_int_equal(xenstream_image_read(i, some, sizeof(some), &err), 0);
	xenstream_image_close(i);
}

void shop_fold_whole(const unsigned char *data, size_t size, struct out *o, struct xenstream_counts *counts_r)
{
	struct fm_error err;
	struct shop s;

	shop_open(&s);
	if (shop_fold(&s, data, size, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(xenstream_fold_whole(s.fold));
	shop_image(&s, o);
	*counts_r = xenstream_fold_counts(s.fold);
	/* What is not needed was dropped, and nothing else. */
	assert_int_equal(s.used - s.dropped, counts_r->kept);
	shop_close(&s);
}

void assert_folds_well(const struct sample *s)
{
	static struct restored was, is;
	struct xenstream_counts counts, again_counts;
	struct out once, again;

	shop_fold_whole(s->data, s->size, &once, &counts);
	assert_true(once.size <= s->size + 16 + 8 * counts.bare); /* two records where there was one, pfns twice */
	assert_true(counts.kept <= counts.pages);
	assert_true(restored_from(&was, s->data, s->size));
	assert_true(restored_from(&is, once.data, once.size));
	assert_true(restored_same(&was, &is));
	/* Folded again it stays as it is. */
	shop_fold_whole(once.data, once.size, &again, &again_counts);
	assert_int_equal(again.size, once.size);
	assert_memory_equal(again.data, once.data, once.size);
	assert_int_equal(again_counts.pages, again_counts.kept);
	free(once.data);
	free(again.data);
}
