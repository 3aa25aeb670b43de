/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_fuzz.c - any bytes as a saved domain's stream (libFuzzer, and replay.c for the seeds).
 *
 * What must hold whatever the bytes are:
 * - pieces of any size give the same verdict, the same text and the same bytes as the whole;
 * - what the writer makes of what was handed over is the input, as far as it was handed over;
 * - a stream that is accepted and folded gives an image that is accepted, that makes the same domain, and
 *   that folded again stays as it is.
 *
 * Input that begins with '#' is a script for a stream, so that the fuzzer gets to the order of records, and
 * to folding, without having to find lengths: letters of sample_add(), and '*', a batch of pages: their
 * number less 1, and for each a byte of pfn, one of type (high half) and content (low).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/xenstream/image.h"
#include "agent/xenstream/writer.h"
#include "tests/unit/xenstream_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                                                                     \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);                       \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

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
		MUST(o->data);
	}
	memcpy(o->data + o->size, bytes, size);
	o->size += size;
	return 0;
}

/* ---- parser and writer */

static int on_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		   struct fm_error *err)
{
	MUST(size > 0 && done + size <= part->size);
	return xenstream_write_part(data, bytes, size, err);
}

static int on_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	return xenstream_write_batch(data, entries, count, err);
}

static int on_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	return page ? xenstream_write_page(data, page, err) : 0;
}

static const struct xenstream_calls copy_calls = { on_part, on_batch, on_page };

/* seed 0: in one piece. */
static int parse(const struct xenstream_calls *calls, void *to, const uint8_t *data, size_t size, uint64_t seed,
		 struct fm_error *err)
{
	struct xenstream_parser *p = xenstream_parser_create(calls, to, err);
	int r = 0;

	MUST(p);
	for (size_t at = 0, n; r == 0 && at < size; at += n) {
		seed = seed * 6364136223846793005u + (seed ? 1442695040888963407u : 0);
		n = seed ? 1 + (seed >> 33) % (seed >> 62 ? 16 : 9000) : size;
		n = n < size - at ? n : size - at;
		r = xenstream_parse(p, data + at, n, err);
	}
	if (r == 0)
		r = xenstream_parser_finish(p, err);
	xenstream_parser_destroy(p);
	return r;
}

static int copy(const uint8_t *data, size_t size, uint64_t seed, struct fm_error *err)
{
	struct out o = { 0 };
	struct xenstream_writer w = { .sink = to_out, .data = &o };
	int r = parse(&copy_calls, &w, data, size, seed, err);

	MUST(r < 0 ? o.size <= size && err->code != FM_USAGE && *err->text : o.size == size);
	MUST(o.size == 0 || memcmp(o.data, data, o.size) == 0);
	free(o.data);
	return r;
}

/* ---- fold and image */

struct shop {
	struct xenstream_fold *fold;
	struct out pages;
	uint64_t live; /* kept and not dropped */
};

static int keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
{
	struct shop *s = data;

	*ref_r = s->pages.size;
	s->live++;
	return to_out(&s->pages, page, XENSTREAM_PAGE_SIZE, err);
}

static void drop(void *data, uint64_t pfn, uint64_t ref)
{
	struct shop *s = data;

	MUST(s->live-- > 0 && ref < s->pages.size);
}

static int next(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err)
{
	*count_r = xenstream_fold_next(((struct shop *)data)->fold, places_r, most < 100 ? most : 100);
	return 0;
}

static int fetch(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
		 struct fm_error *err)
{
	struct shop *s = data;

	for (size_t i = 0; i < count; i++) {
		MUST(places[i].ref + XENSTREAM_PAGE_SIZE <= s->pages.size);
		memcpy(pages_r + i * XENSTREAM_PAGE_SIZE, s->pages.data + places[i].ref, XENSTREAM_PAGE_SIZE);
	}
	return 0;
}

static void read_image(struct shop *s, struct out *o, struct fm_error *err)
{
	struct xenstream_shelf shelf = { next, fetch, s };
	struct xenstream_skeleton skeleton;
	struct xenstream_image *i;
	unsigned char some[5000];
	long n;

	MUST(xenstream_fold_skeleton(s->fold, &skeleton, err) == 0 && xenstream_fold_rewind(s->fold, err) == 0);
	i = xenstream_image_open(&skeleton, &shelf, err);
	MUST(i);
	while ((n = xenstream_image_read(i, some, sizeof(some), err)) > 0)
		to_out(o, some, (size_t)n, err);
	MUST(n == 0);
	xenstream_image_close(i);
}

/* false: it cannot be folded. */
static bool fold(const uint8_t *data, size_t size, struct out *o)
{
	struct shop s = { 0 };
	struct xenstream_keeper keeper = { keep, drop, &s };
	struct fm_error err = { 0 };
	int r;

	s.fold = xenstream_fold_create(&keeper, (size_t)1 << 20, &err);
	MUST(s.fold);
	r = parse(&xenstream_fold_calls, s.fold, data, size, 0, &err);
	MUST(r == 0 || err.code == FM_INCOMPATIBLE);
	if (r == 0) {
		MUST(xenstream_fold_whole(s.fold));
		read_image(&s, o, &err);
		MUST(xenstream_fold_counts(s.fold).kept == s.live);
	}
	xenstream_fold_destroy(s.fold);
	free(s.pages.data);
	return r == 0;
}

static void fold_accepted(const uint8_t *data, size_t size)
{
	static struct restored was, is;
	struct out once = { 0 }, again = { 0 };
	struct fm_error err;

	if (fold(data, size, &once)) {
		if (copy(once.data, once.size, 0, &err) < 0)
			fprintf(stderr, "the image: %s\n", err.text), abort();
		if (restored_from(&was, data, size)) /* all pfns are within the model */
			MUST(restored_from(&is, once.data, once.size) && restored_same(&was, &is));
		MUST(fold(once.data, once.size, &again));
		MUST(again.size == once.size && memcmp(again.data, once.data, once.size) == 0);
	}
	free(once.data);
	free(again.data);
}

static void script_batch(struct sample *s, const uint8_t **at, const uint8_t *end)
{
	struct sample_page pages[16];
	size_t count = *at < end ? 1 + *(*at)++ % 16 : 1, i = 0;

	for (; i < count && end - *at >= 2; i++, *at += 2)
		pages[i] = (struct sample_page){ (uint64_t)(*at)[0] * ((*at)[0] & 1 ? 1 : 17),
						 (unsigned)(*at)[1] >> 4, (*at)[1] & 15 };
	if (i > 0)
		sample_pages(s, pages, i);
}

static void script_stream(struct sample *s, const uint8_t *at, const uint8_t *end)
{
	sample_xl(s, NULL);
	sample_libxl(s);
	while (at < end) {
		char letter = (char)*at++;

		if (letter == '*')
			script_batch(s, &at, end);
		else
			sample_add(s, letter);
	}
}

static void run(const uint8_t *data, size_t size)
{
	struct fm_error whole = { 0 }, pieces = { 0 };
	uint64_t seed = 0x9e3779b97f4a7c15u ^ size;
	int r = copy(data, size, 0, &whole);

	for (size_t i = 0; i < size; i += 61)
		seed = (seed ^ data[i]) * 0x100000001b3u;
	MUST(copy(data, size, seed | 1, &pieces) == r);
	MUST(whole.code == pieces.code && strcmp(whole.text, pieces.text) == 0);
	if (r == 0)
		fold_accepted(data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sample s = { 0 };

	if (size == 0 || data[0] != '#') {
		run(data, size);
		return 0;
	}
	script_stream(&s, data + 1, data + (size < 4096 ? size : 4096));
	run(s.data, s.size);
	sample_dispose(&s);
	return 0;
}
