/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_try.c - takes a saved domain's stream apart by hand.
 *
 * Usage: xenstream_try look|parse|copy|fold [PIECE] <stream >stream
 *
 *	look   say what is in it
 *	parse  look at it and do nothing with it: how fast?
 *	copy   write it again from its parts and pages: the same bytes
 *	fold   write it folded to its last pages
 *	same A B      do two streams, files, make the same domain of at most 16 GiB, after Xen's rules? Exit 1: no
 *	sample KIND   write one of the tests' small streams (live pv old emulated checkpoints verify bare)
 *
 * PIECE: bytes read at a time, 1 MiB.  Numbers and errors go to stderr.  A member's stream: zstd -dc member-0.zst | xenstream_try look
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/xenstream/image.h"
#include "agent/xenstream/writer.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/xenstream_sample.h"

#define PIECE ((size_t)1 << 20)

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int to_stdout(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	*(uint64_t *)data += size;
	return fm_write_all(STDOUT_FILENO, bytes, size) == 0 ?
		       0 : fm_fail(err, FM_FAILED, "writing: %s", strerror(errno));
}

/* ---- copy */

static int copy_part(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		     struct fm_error *err)
{
	return xenstream_write_part(data, bytes, size, err);
}

static int copy_batch(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err)
{
	return xenstream_write_batch(data, entries, count, err);
}

static int copy_page(void *data, uint64_t entry, const void *page, struct fm_error *err)
{
	return page ? xenstream_write_page(data, page, err) : 0;
}

static const struct xenstream_calls copy_calls = { copy_part, copy_batch, copy_page };

/* ---- parse */

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

static const struct xenstream_calls ignore_calls = { ignore_part, ignore_batch, ignore_page };

/* ---- fold: the pages in memory, a zero page as none */

#define ZERO UINT64_MAX

struct heap {
	struct xenstream_fold *fold;
	unsigned char (*pages)[XENSTREAM_PAGE_SIZE];
	uint64_t *free; /* dropped ones */
	size_t used, free_count, room;
	uint64_t zeros;
};

static int heap_keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
{
	static const unsigned char zero[XENSTREAM_PAGE_SIZE];
	struct heap *h = data;

	*ref_r = ZERO;
	if (memcmp(page, zero, sizeof(zero)) == 0)
		return 0;
	if (h->used == h->room) {
		h->room = h->room ? h->room * 2 : 4096;
		h->pages = realloc(h->pages, h->room * sizeof(h->pages[0]));
		h->free = realloc(h->free, h->room * sizeof(h->free[0]));
		if (!h->pages || !h->free)
			return fm_fail(err, FM_FAILED, "out of memory");
	}
	*ref_r = h->free_count ? h->free[--h->free_count] : h->used++;
	memcpy(h->pages[*ref_r], page, XENSTREAM_PAGE_SIZE);
	return 0;
}

static void heap_drop(void *data, uint64_t pfn, uint64_t ref)
{
	struct heap *h = data;

	if (ref != ZERO)
		h->free[h->free_count++] = ref;
}

static int heap_next(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err)
{
	*count_r = xenstream_fold_next(((struct heap *)data)->fold, places_r, most);
	return 0;
}

static int heap_fetch(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
		      struct fm_error *err)
{
	struct heap *h = data;

	for (size_t i = 0; i < count; i++, pages_r += XENSTREAM_PAGE_SIZE) {
		h->zeros += places[i].ref == ZERO;
		if (places[i].ref == ZERO)
			memset(pages_r, 0, XENSTREAM_PAGE_SIZE);
		else
			memcpy(pages_r, h->pages[places[i].ref], XENSTREAM_PAGE_SIZE);
	}
	return 0;
}

static int write_image(struct heap *h, xenstream_sink_fn sink, uint64_t *bytes_r, struct fm_error *err)
{
	struct xenstream_shelf shelf = { heap_next, heap_fetch, h };
	struct xenstream_skeleton skeleton;
	struct xenstream_image *i;
	struct xenstream_counts c;
	const void *bytes;
	size_t size;
	int r;

	if (xenstream_fold_skeleton(h->fold, &skeleton, err) < 0 || xenstream_fold_rewind(h->fold, err) < 0)
		return -1;
	i = xenstream_image_open(&skeleton, &shelf, err);
	if (!i)
		return -1;
	while ((r = xenstream_image_next(i, &bytes, &size, err)) == 0 && size > 0)
		if ((r = sink(bytes_r, bytes, size, err)) < 0)
			break;
	xenstream_image_close(i);
	c = xenstream_fold_counts(h->fold);
	fprintf(stderr, "entries %" PRIu64 ", pages %" PRIu64 ", kept %" PRIu64 " (%" PRIu64 " zero), bare %" PRIu64
			", head %zu, tail %zu bytes; folded: %" PRIu64 " bytes\n",
		c.entries, c.pages, c.kept, h->zeros, c.bare, skeleton.head_size, skeleton.tail_size, *bytes_r);
	return r;
}

static int to_nothing(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	*(uint64_t *)data += size;
	return 0;
}

/* ---- */

static int parse_stdin(struct xenstream_parser *p, size_t piece, struct fm_error *err)
{
	char *buffer = malloc(piece);
	uint64_t total = 0, spent = 0;
	ssize_t n = 1;
	int r = buffer ? 0 : fm_fail(err, FM_FAILED, "out of memory");

	while (r == 0 && (n = fm_read_all(STDIN_FILENO, buffer, piece)) > 0) {
		uint64_t begin = cpu_ns();

		r = xenstream_parse(p, buffer, (size_t)n, err);
		spent += cpu_ns() - begin;
		total += (uint64_t)n;
	}
	free(buffer);
	if (r == 0 && n < 0)
		r = fm_fail(err, FM_FAILED, "reading: %s", strerror(errno));
	if (r == 0)
		r = xenstream_parser_finish(p, err);
	fprintf(stderr, "%" PRIu64 " bytes, parsed in %.1f ms of CPU, %.0f MB/s\n", total, (double)spent / 1e6,
		(double)total / ((double)spent / 1e3));
	return r;
}

static int run(const char *verb, size_t piece, struct fm_error *err)
{
	uint64_t written = 0;
	struct xenstream_writer writer = { .sink = to_stdout, .data = &written };
	struct heap heap = { 0 };
	struct xenstream_keeper keeper = { heap_keep, heap_drop, &heap };
	bool copy = strcmp(verb, "copy") == 0, fold = strcmp(verb, "fold") == 0, parse = strcmp(verb, "parse") == 0;
	const struct xenstream_calls *calls = copy ? &copy_calls : parse ? &ignore_calls : &xenstream_fold_calls;
	struct xenstream_parser *p;
	int r;

	heap.fold = xenstream_fold_create(&keeper, xenstream_fold_table(UINT64_C(1) << 40), err);
	if (!heap.fold)
		return -1;
	p = xenstream_parser_create(calls, copy ? (void *)&writer : heap.fold, err);
	r = p ? parse_stdin(p, piece, err) : -1;
	if (r == 0 && !parse)
		r = copy ? xenstream_writer_finish(&writer, err) :
			   write_image(&heap, fold ? to_stdout : to_nothing, &written, err);
	xenstream_parser_destroy(p);
	xenstream_fold_destroy(heap.fold);
	free(heap.pages);
	free(heap.free);
	return r;
}

static struct restored *restore_file(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct restored *r = malloc(sizeof(*r));
	struct stat st;
	void *data;

	if (fd < 0 || !r || fstat(fd, &st) < 0)
		return free(r), fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno)), NULL;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED || !restored_from(r, data, (size_t)st.st_size)) {
		fm_fail(err, FM_CORRUPT, "%s: no stream, or of too large a domain", path);
		free(r);
		r = NULL;
	}
	if (data != MAP_FAILED)
		munmap(data, (size_t)st.st_size);
	return r;
}

static int compare(const char *a, const char *b, struct fm_error *err)
{
	struct restored *x = restore_file(a, err), *y = x ? restore_file(b, err) : NULL;
	int r = y ? 0 : -1;

	if (y && !restored_same(x, y))
		r = fm_fail(err, FM_FAILED, "%s and %s make different domains", a, b);
	free(x);
	free(y);
	return r;
}

static int write_sample(const char *name, struct fm_error *err)
{
	for (enum sample_kind kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct sample s;
		uint64_t written = 0;
		int r;

		if (strcmp(sample_name(kind), name) != 0)
			continue;
		sample_make(&s, kind);
		r = to_stdout(&written, s.data, s.size, err);
		sample_dispose(&s);
		return r;
	}
	return fm_fail(err, FM_USAGE, "no sample \"%s\"", name);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	size_t piece = argc > 2 ? strtoul(argv[2], NULL, 10) : PIECE;
	bool sample = strcmp(verb, "sample") == 0 && argc > 2, same = strcmp(verb, "same") == 0 && argc > 3;
	bool stream = strcmp(verb, "look") == 0 || strcmp(verb, "parse") == 0 || strcmp(verb, "copy") == 0 ||
		      strcmp(verb, "fold") == 0;
	struct fm_error err = { 0 };
	int r;

	if (!sample && !same && !stream) {
		fprintf(stderr, "usage: xenstream_try look|parse|copy|fold [PIECE] <stream, same A B, or sample KIND\n");
		return FM_USAGE;
	}
	if (sample)
		r = write_sample(argv[2], &err);
	else if (same)
		r = compare(argv[2], argv[3], &err);
	else
		r = run(verb, piece ? piece : PIECE, &err);
	if (r < 0)
		fprintf(stderr, "xenstream_try: %s\n", err.text);
	return r < 0 ? (int)err.code : 0;
}
