/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_parser_test - a saved domain's stream taken apart: nothing is lost, nothing is invented, the size
 * of the pieces does not matter, and whatever is wrong with it is said with the place.
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

#include "agent/xenstream/parser.h"
#include "agent/xenstream/writer.h"
#include "tests/unit/xenstream_sample.h"

/* ---- a listener that puts the stream together again, by hand, and keeps a trace of what came */

struct heard {
	unsigned char *data; /* as large as the sample */
	size_t size, room;
	size_t entry, page; /* of the batch at hand: where the next of each is in data */
	uint64_t left;      /* entries of it */
	uint64_t trace, events;
	size_t stop_after;  /* that many events, then fail; 0: never */
};

static int event(struct heard *h, uint64_t a, uint64_t b, struct fm_error *err)
{
	h->trace = (h->trace ^ a) * 0x100000001b3u;
	h->trace = (h->trace ^ b) * 0x100000001b3u;
	h->events++;
	return h->stop_after && h->events >= h->stop_after ? fm_fail(err, FM_BUSY, "enough") : 0;
}

static void put(struct heard *h, size_t at, const void *bytes, size_t size)
{
	assert_true(at <= h->room && size <= h->room - at);
	memcpy(h->data + at, bytes, size);
	h->size = at + size > h->size ? at + size : h->size;
}

static int on_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		   struct fm_error *err)
{
	struct heard *h = data;

	assert_int_equal(h->left, 0);
	assert_int_equal(part->at + done, h->size);
	assert_true(size > 0 && done + size <= part->size);
	put(h, h->size, bytes, size);
	return done == 0 ? event(h, part->at << 2 | part->layer, (uint64_t)part->type << 32 | part->size, err) : 0;
}

static int on_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	struct heard *h = data;
	unsigned char b[16] = { 1 };
	size_t full = 0;

	assert_int_equal(h->left, 0);
	assert_int_equal(at, h->size);
	for (size_t i = 0; i < count; i++)
		full += entries[i] >> 60 < 13;
	xenstream_put_le32(b + 4, (uint32_t)(8 + 8 * count + 4096 * full));
	xenstream_put_le32(b + 8, (uint32_t)count);
	put(h, h->size, b, 16);
	h->left = count;
	h->entry = h->size;
	h->page = h->size + count * 8;
	h->size = h->page;
	return event(h, at, count, err);
}

static int on_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	struct heard *h = data;
	unsigned char b[8];

	assert_true(h->left > 0);
	assert_true((page != NULL) == (entry >> 60 < 13));
	xenstream_put_le64(b, entry);
	put(h, h->entry, b, 8);
	h->entry += 8;
	h->left--;
	if (page) {
		put(h, h->page, page, 4096);
		h->page += 4096;
	}
	return event(h, entry, page != NULL, err);
}

static const struct xenstream_calls calls = { on_part, on_batch, on_page };

/* Feed it in pieces. The result of the whole. */
static int feed(struct heard *h, const unsigned char *data, size_t size, size_t piece, struct fm_error *err)
{
	struct xenstream_parser *p = xenstream_parser_create(&calls, h, err);
	int r = 0;

	assert_non_null(p);
	for (size_t at = 0; r == 0 && at < size; at += piece)
		r = xenstream_parse(p, data + at, size - at < piece ? size - at : piece, err);
	if (r == 0)
		r = xenstream_parser_finish(p, err);
	else /* it stays */
		assert_int_equal(xenstream_parser_finish(p, &(struct fm_error){ 0 }), -1);
	xenstream_parser_destroy(p);
	return r;
}

/* A copy that ends where the bytes end, so that a tool sees a read behind it. */
static int try_whole(const unsigned char *data, size_t size, struct heard *h, struct fm_error *err)
{
	unsigned char *copy = malloc(size ? size : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, data, size);
	*h = (struct heard){ .data = malloc(size + 1), .room = size + 1 };
	r = feed(h, copy, size, size ? size : 1, err);
	free(copy);
	return r;
}

static void good(const struct sample *s, struct heard *h, size_t piece)
{
	struct fm_error err;

	*h = (struct heard){ .data = malloc(s->size), .room = s->size };
	if (feed(h, s->data, s->size, piece, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(h->size, s->size);
	assert_memory_equal(h->data, s->data, s->size);
	free(h->data);
}

static void test_every_kind_comes_back(void **state)
{
	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;
		struct heard h;

		sample_make(&s, kind);
		good(&s, &h, s.size);
		sample_dispose(&s);
	}
}

static void test_pieces_do_not_matter(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 8, 48, 100, 4095, 4096, 4097, 8192 };

	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;
		struct heard whole, h;

		sample_make(&s, kind);
		good(&s, &whole, s.size);
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			good(&s, &h, pieces[i]);
			assert_int_equal(h.events, whole.events);
			assert_int_equal(h.trace, whole.trace);
		}
		sample_dispose(&s);
	}
}

static void test_headers_are_told(void **state)
{
	struct xenstream_about about;
	struct sample s;
	struct heard h;
	struct fm_error err;
	struct xenstream_parser *p = xenstream_parser_create(&calls, &h, &err);

	sample_make(&s, SAMPLE_OLD);
	h = (struct heard){ .data = malloc(s.size), .room = s.size };
	assert_int_equal(xenstream_parser_about(p).version, 0);
	assert_int_equal(xenstream_parse(p, s.data, s.size, &err), 0);
	about = xenstream_parser_about(p);
	assert_true(about.hvm);
	assert_int_equal(about.version, 2);
	assert_int_equal(about.xen_major, 4);
	assert_int_equal(about.xen_minor, 17);
	xenstream_parser_destroy(p);
	free(h.data);
	sample_dispose(&s);
}

static const struct sample_mark *mark_at(const struct sample *s, size_t at)
{
	for (size_t i = 0; i < s->mark_count; i++)
		if (at < s->marks[i].at + s->marks[i].size)
			return &s->marks[i];
	return NULL;
}

/* "byte 17 of the stream": where the error says that it is. */
static size_t said_byte(const struct fm_error *err)
{
	unsigned long long n;

	if (sscanf(err->text, "byte %llu of the stream", &n) != 1)
		fail_msg("no place in \"%s\"", err->text);
	return (size_t)n;
}

static void assert_says(const struct fm_error *err, const char *what)
{
	if (!strstr(err->text, what))
		fail_msg("\"%s\" does not say \"%s\"", err->text, what);
}

/* Cut after every byte: a clear error that names the byte, and the header or record that is not all there. */
static void test_cut_anywhere(void **state)
{
	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;

		sample_make(&s, kind);
		for (size_t n = 0; n < s.size; n++) {
			const struct sample_mark *m = mark_at(&s, n);
			struct fm_error err;
			struct heard h;
			char at[64];

			assert_int_equal(try_whole(s.data, n, &h, &err), -1);
			free(h.data);
			assert_int_equal(err.code, FM_CORRUPT);
			assert_int_equal(said_byte(&err), n);
			assert_says(&err, "the stream ends here");
			snprintf(at, sizeof(at), "at byte %zu: ", m->at);
			assert_says(&err, at);
			/* A record's name is known once its header is there. */
			if (n - m->at >= 8 || strstr(m->name, "header"))
				assert_says(&err, m->name);
		}
		sample_dispose(&s);
	}
}

static void test_going_on_after_the_end(void **state)
{
	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;
		struct fm_error err;
		struct heard h;

		sample_make(&s, kind);
		sample_bytes(&s, "", 1);
		assert_int_equal(try_whole(s.data, s.size, &h, &err), -1);
		assert_int_equal(err.code, FM_CORRUPT);
		assert_int_equal(said_byte(&err), s.size - 1);
		assert_says(&err, "goes on after its end");
		free(h.data);
		sample_dispose(&s);
	}
}

/* One byte of a field is another: refused with the place, or let through as it is, byte for byte. */
static void mutate(struct sample *s, size_t at, unsigned char value, unsigned *refused, unsigned *let_through)
{
	unsigned char old = s->data[at];
	struct fm_error err;
	struct heard h;

	s->data[at] = value;
	if (try_whole(s->data, s->size, &h, &err) == 0) {
		++*let_through;
		assert_int_equal(h.size, s->size);
		assert_memory_equal(h.data, s->data, s->size);
	} else {
		++*refused;
		assert_true(err.code == FM_CORRUPT || err.code == FM_INCOMPATIBLE);
		assert_true(said_byte(&err) > at);
	}
	free(h.data);
	s->data[at] = old;
}

static void test_every_mutation_of_a_field(void **state)
{
	unsigned refused = 0, let_through = 0;

	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;

		sample_make(&s, kind);
		for (size_t i = 0; i < s.mark_count; i++)
			for (size_t at = s.marks[i].at; at < s.marks[i].at + s.marks[i].fixed; at++) {
				for (unsigned bit = 0; bit < 8; bit++)
					mutate(&s, at, s.data[at] ^ (unsigned char)(1u << bit), &refused, &let_through);
				mutate(&s, at, 0, &refused, &let_through);
				mutate(&s, at, 0xff, &refused, &let_through);
			}
		sample_dispose(&s);
	}
	print_message("%u refused, %u let through\n", refused, let_through);
	assert_true(refused > let_through);
}

/* A field at `offset` of the first mark of this name set to a value: the verdict. */
static const struct field {
	const char *mark;
	size_t offset;
	unsigned width;
	uint32_t value; /* as its bytes lie, little-endian */
	enum fm_code code;
	const char *says;
} fields[] = {
	{ "xl header", 0, 4, 0, FM_CORRUPT, "this is not a saved domain" },
	{ "xl header", 32, 4, 0x04030201, FM_INCOMPATIBLE, "byte order mark is 0x04030201" },
	{ "xl header", 36, 4, 7, FM_INCOMPATIBLE, "mandatory features are 0x7" },
	{ "xl header", 36, 4, 1, FM_INCOMPATIBLE, "mandatory features are 0x1" },
	{ "xl header", 40, 4, 0xffffffff, FM_OK, NULL },
	{ "xl header", 44, 4, 0xffffffff, FM_CORRUPT, "a configuration of 4294967295 bytes is impossible" },
	{ "xl header", 44, 4, 4, FM_CORRUPT, "a configuration of 4 bytes is impossible" },
	{ "xl header", 48, 4, 0xffffffff, FM_CORRUPT, "the configuration has 4294967295 bytes" },
	{ "libxl header", 0, 1, 'l', FM_CORRUPT, "the mark of a libxl stream is missing" },
	{ "libxl header", 8, 4, 0x03000000, FM_INCOMPATIBLE, "version 3, only 2 is read" },
	{ "libxl header", 12, 4, 0x01000000, FM_INCOMPATIBLE, "big-endian" },
	{ "libxl header", 12, 4, 0x02000000, FM_OK, NULL },
	{ "libxl record LIBXC_CONTEXT", 0, 4, 6, FM_INCOMPATIBLE, "libxl record unknown 0x00000006" },
	{ "libxl record LIBXC_CONTEXT", 0, 4, 5, FM_INCOMPATIBLE, "a record that no image on disk has" },
	{ "libxl record LIBXC_CONTEXT", 0, 4, 0, FM_CORRUPT, "the domain's state is missing before it" },
	{ "libxl record LIBXC_CONTEXT", 0, 4, 4, FM_CORRUPT, "there is no checkpoint that it ends" },
	{ "libxl record LIBXC_CONTEXT", 4, 4, 8, FM_CORRUPT, "a length of 8 bytes is impossible" },
	{ "libxc header", 0, 1, 0, FM_CORRUPT, "the mark of a domain image is missing" },
	{ "libxc header", 8, 1, 'x', FM_CORRUPT, "the mark of a domain image is missing" },
	{ "libxc header", 12, 4, 0x04000000, FM_INCOMPATIBLE, "version 4, only 2 and 3 are read" },
	{ "libxc header", 12, 4, 0x01000000, FM_INCOMPATIBLE, "version 1," },
	{ "libxc header", 16, 2, 0x0100, FM_INCOMPATIBLE, "big-endian" },
	{ "libxc header", 20, 4, 0x12345678, FM_OK, NULL },
	{ "libxc header", 24, 4, 3, FM_INCOMPATIBLE, "a domain of type 3" },
	{ "libxc header", 24, 4, 1, FM_CORRUPT, "no X86_PV_INFO came before it" },
	{ "libxc header", 28, 2, 13, FM_INCOMPATIBLE, "pages of 2^13 bytes" },
	{ "libxc header", 32, 4, 99, FM_OK, NULL },
	{ "libxc record STATIC_DATA_END", 0, 4, 0x80000010, FM_CORRUPT, "no STATIC_DATA_END came before it" },
	{ "libxc record PAGE_DATA", 4, 4, 0xffffffff, FM_CORRUPT, "a length of 4294967295 bytes is above the bound" },
	{ "libxc record PAGE_DATA", 4, 4, 8, FM_CORRUPT, "a length of 8 bytes is impossible" },
	{ "libxc record PAGE_DATA", 4, 4, 12345, FM_CORRUPT, "a length of 12345 bytes is impossible" },
	{ "libxc record PAGE_DATA", 4, 4, 4096 + 48, FM_CORRUPT, "it has 4152 bytes, its 5 pages need 12344" },
	{ "libxc record PAGE_DATA", 8, 4, 0, FM_CORRUPT, "no page is in it" },
	{ "libxc record PAGE_DATA", 8, 4, 0xffffffff, FM_CORRUPT, "4294967295 pages do not fit into its 12336 bytes" },
	{ "libxc record PAGE_DATA", 8, 4, 6, FM_INCOMPATIBLE, "reserved bits are set in entry 5" },
	{ "libxc record PAGE_DATA", 12, 4, 1, FM_INCOMPATIBLE, "its reserved field is 0x1" },
	{ "libxc record PAGE_DATA", 20, 4, 0x00100000, FM_INCOMPATIBLE, "reserved bits are set in entry 0" },
	{ "libxc record PAGE_DATA", 28, 4, 0x50000000, FM_INCOMPATIBLE, "pfn 0x1 (entry 1) is of the unknown type 5" },
	{ "libxc record PAGE_DATA", 28, 4, 0xf0000000, FM_CORRUPT, "its 5 pages need 8248" },
	{ "libxc record X86_TSC_INFO", 4, 4, 25, FM_CORRUPT, "a length of 25 bytes is impossible" },
	{ "libxc record HVM_CONTEXT", 0, 4, 0x0b, FM_INCOMPATIBLE, "a record that no image on disk has" },
	{ "libxc record HVM_CONTEXT", 0, 4, 0x13, FM_INCOMPATIBLE, "a mandatory record of a type" },
	{ "libxc record HVM_CONTEXT", 0, 4, 4, FM_CORRUPT, "a record that no HVM guest has" },
	{ "libxc record HVM_CONTEXT", 0, 4, 0x80000009, FM_CORRUPT, "no HVM_CONTEXT record came before it" },
};

static void test_fields(void **state)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *f = &fields[i];
		struct sample s;
		struct fm_error err = { 0 };
		struct heard h;
		size_t at = 0;

		sample_make(&s, SAMPLE_LIVE);
		for (size_t k = 0; k < s.mark_count && !at; k++)
			if (strcmp(s.marks[k].name, f->mark) == 0)
				at = s.marks[k].at + f->offset + 1;
		assert_true(at-- > 0);
		for (unsigned b = 0; b < f->width; b++)
			s.data[at + b] = (unsigned char)(f->value >> 8 * b);
		assert_int_equal(try_whole(s.data, s.size, &h, &err), f->code == FM_OK ? 0 : -1);
		if (f->says)
			assert_says(&err, f->says);
		assert_int_equal(err.code, f->code);
		free(h.data);
		sample_dispose(&s);
	}
}

static void test_configuration_without_its_end(void **state)
{
	struct sample s = { 0 };
	struct fm_error err;
	struct heard h;

	sample_xl(&s, "{ }");
	s.data[s.size - 1] = 'x';
	sample_libxl(&s);
	assert_int_equal(try_whole(s.data, s.size, &h, &err), -1);
	assert_says(&err, "byte 56 of the stream, in the xl header at byte 0: the configuration does not end with a NUL");
	free(h.data);
	sample_dispose(&s);
}

/* ---- the order of records: a letter each, see sample_add() */

static const struct sequence {
	const char *records;
	const char *says;    /* NULL: it is well */
} sequences[] = {
	{ "L3csptxheE", NULL },
	{ "L3sptxheE", NULL },
	{ "L3csphxeE", NULL }, /* as the specification has it, not as Xen does */
	{ "L3csptpxpheE", NULL },
	{ "L3ocsopoxoheME", NULL },
	{ "OL3spxheOME", NULL },
	{ "L2pxheE", NULL },
	{ "L2cpxheE", NULL },
	{ "L2spxheE", NULL },
	{ "LPicsfptnueE", NULL },
	{ "LPicsfpnukMKpnukKeE", NULL },
	{ "L3spvpxheE", NULL },
	{ "L3spxhkKeE", NULL },
	{ "L3spxhkKkKeE", NULL },
	{ "L3spxhkMKxhkMKpxheME", NULL },
	{ "L3cpxheE", "record PAGE_DATA at byte 144: no STATIC_DATA_END came before it" },
	{ "L3txheE", "no STATIC_DATA_END" },
	{ "L3sspxheE", "the static data has ended before" },
	{ "L3cspcxheE", "static data after the end" },
	{ "L3ccspxheE", "it comes a second time" },
	{ "L2pspxheE", "the static data has ended before" },
	{ "L3sxheE", "record END at byte 176: no PAGE_DATA record came before it" },
	{ "L3speE", "no HVM_CONTEXT record came before it" },
	{ "L3spxeE", "no HVM_PARAMS record came before it" },
	{ "L3ispxheE", "a record that no HVM guest has" },
	{ "LPicsfpxueE", "a record that no PV guest has" },
	{ "LPcsfpnueE", "no X86_PV_INFO came before it" },
	{ "LPicspnueE", "no X86_PV_P2M_FRAMES came before it" },
	{ "LPicsfnueE", "no PAGE_DATA came before it" },
	{ "LPicsfpnupeE", "memory after the state of a VCPU" },
	{ "LPicsfpueE", "no SHARED_INFO record came before it" },
	{ "LPicsfpneE", "no X86_PV_VCPU_BASIC record came before it" },
	{ "L3spvvxheE", "it comes a second time" },
	{ "L3spkKpxheE", "record CHECKPOINT at byte 4240: no HVM_CONTEXT record came before it" },
	{ "L3spxhkE", "no CHECKPOINT_END came before it" },
	{ "L3spxhkL", "it comes a second time" },
	{ "L3spxhkKpeE", "no HVM_CONTEXT record came before it" },
	{ "L3spxhkKoeE", "no HVM_CONTEXT record came before it" },
	{ "L3spxheKE", "there is no checkpoint that it ends" },
	{ "L3spxheLE", "it comes a second time" },
	{ "ME", "no LIBXC_CONTEXT came before it" },
	{ "E", "the domain's state is missing before it" },
};

static void test_order(void **state)
{
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		struct fm_error err = { 0 };
		struct sample s;
		struct heard h;
		int r;

		sample_letters(&s, sequences[i].records);
		r = try_whole(s.data, s.size, &h, &err);
		if (!sequences[i].says && r < 0)
			fail_msg("%s: %s", sequences[i].records, err.text);
		if (sequences[i].says && (r == 0 || !strstr(err.text, sequences[i].says)))
			fail_msg("%s: \"%s\" does not say \"%s\"", sequences[i].records, r < 0 ? err.text : "(accepted)",
				 sequences[i].says);
		free(h.data);
		sample_dispose(&s);
	}
}

/* ---- bounds */

static size_t asked; /* bytes, of the allocator, whether given back or not */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
	asked += size;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	asked += n * size;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	asked += size;
	return __real_realloc(p, size);
}

static int ignore_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		       struct fm_error *err)
{
	return 0;
}

static int ignore_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	return 0;
}

static int ignore_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	return 0;
}

/* The largest records there may be: what the parser takes stays within its promise. */
static void test_memory_is_bounded(void **state)
{
	static const struct xenstream_calls ignore = { ignore_part, ignore_batch, ignore_page };
	static unsigned char chunk[1 << 20];
	struct fm_error err;
	struct sample s;
	struct xenstream_parser *p;

	sample_letters(&s, "L3s");
	sample_bytes(&s, "\x44\0\0\x80" "\0\0\0\x08", 8); /* 128 MiB that nobody knows */
	asked = 0;
	p = xenstream_parser_create(&ignore, NULL, &err);
	assert_int_equal(xenstream_parse(p, s.data, s.size, &err), 0);
	for (int i = 0; i < 128; i++)
		assert_int_equal(xenstream_parse(p, chunk, sizeof(chunk), &err), 0);
	for (int batch = 0; batch < 3; batch++) { /* as many pages as there may be, without content */
		unsigned char header[16] = { 1 };
		unsigned char entry[8] = { 0, 0, 0, 0, 0, 0, 0, 0xf0 };

		xenstream_put_le32(header + 4, 8 + XENSTREAM_BATCH_MAX * 8);
		xenstream_put_le32(header + 8, XENSTREAM_BATCH_MAX);
		assert_int_equal(xenstream_parse(p, header, 16, &err), 0);
		for (uint32_t i = 0; i < XENSTREAM_BATCH_MAX; i++)
			assert_int_equal(xenstream_parse(p, entry, 8, &err), 0);
	}
	assert_true(asked > XENSTREAM_BATCH_MAX * 8); /* it measures something */
	assert_true(asked < XENSTREAM_BATCH_MAX * 8 + 8192);
	xenstream_parser_destroy(p);
	sample_dispose(&s);
}

static void test_too_large_a_batch(void **state)
{
	struct sample s;
	struct fm_error err;
	struct heard h;
	uint32_t count = XENSTREAM_BATCH_MAX + 1;
	struct sample_page *pages = calloc(count, sizeof(*pages));

	sample_letters(&s, "L3s");
	for (uint32_t i = 0; i < count; i++)
		pages[i].type = 15;
	sample_pages(&s, pages, count);
	assert_int_equal(try_whole(s.data, s.size, &h, &err), -1);
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_says(&err, "65537 pages, 65536 is the bound");
	free(pages);
	free(h.data);
	sample_dispose(&s);
}

/* The listener's no ends it at whatever event it comes, and stays. */
static void test_a_listener_may_refuse(void **state)
{
	struct sample s;
	struct heard whole;

	sample_make(&s, SAMPLE_EMULATED);
	good(&s, &whole, s.size);
	for (size_t n = 1; n <= whole.events; n++) {
		struct heard h = { .data = malloc(s.size), .room = s.size, .stop_after = n };
		struct fm_error err;
		struct xenstream_parser *p = xenstream_parser_create(&calls, &h, &err);

		assert_int_equal(xenstream_parse(p, s.data, s.size, &err), -1);
		assert_int_equal(err.code, FM_BUSY);
		assert_int_equal(h.events, n);
		assert_int_equal(xenstream_parse(p, s.data, s.size, &err), -1);
		assert_int_equal(xenstream_parser_finish(p, &err), -1);
		assert_string_equal(err.text, "enough");
		assert_int_equal(h.events, n);
		xenstream_parser_destroy(p);
		free(h.data);
	}
	sample_dispose(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_comes_back),
		cmocka_unit_test(test_pieces_do_not_matter),
		cmocka_unit_test(test_headers_are_told),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_going_on_after_the_end),
		cmocka_unit_test(test_every_mutation_of_a_field),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_configuration_without_its_end),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_too_large_a_batch),
		cmocka_unit_test(test_a_listener_may_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
