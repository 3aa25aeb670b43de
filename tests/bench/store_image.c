/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_image - the memory of a guest, put together: the same bytes for the same arguments.
 *
 *	store_image MIB SEED [DIRTY‰ DIRT-SEED [LIST]] [pool=FILE] [stream] >IMAGE
 *
 * Memory comes in regions of 1 to 128 pages of one kind, 45 % of the pages zeros. The rest is of FILE, pages of real processes
 * (store_pages), each once, in pieces of 64 in an order that SEED gives. With DIRTY‰ that part of the pages, in runs of 1 to 16, has changed: of a page 1 to 64 words
 * are others (copied from elsewhere in FILE, as programs copy), of a page of zeros all. LIST gets their numbers, a u64 each. With "stream"
 * it comes as `xl save` writes a PVH guest (agent/xenstream/format.h), pfn by pfn.
 *
 * Without FILE all of it is made up, and alike on any machine: of the rest, what heaps, stacks, mapped files
 * and data of processes are made of: words of text, structs of pointers and small numbers, nearly empty pages, machine
 * code's instruction patterns, floating point numbers, random bytes; one in 16 is a copy of an earlier page (libraries mapped by several
 * processes, copies the page cache keeps). The mix was set so that 64 KiB blocks of the non-zero pages compress nearly as well as was measured on
 * real process memory: lz4 ×2.1 (real: ×2.2), zstd -1 ×3.1 (×3.4); it is no real memory for all that. What is dirty is new content of its kind.
 */
#include "config.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/xenstream_sample.h"

#define PAGE 4096u
#define WORDS 3000u

enum kind { ZERO, TEXT, STRUCTS, SPARSE, CODE, FLOATS, RANDOM, KINDS, REAL = KINDS, DIRTY };
static const unsigned percent[KINDS] = { 45, 14, 17, 13, 6, 2, 3 };

static char word[WORDS][12];
static uint8_t opcode[600][8];

static uint64_t mix(uint64_t x) /* splitmix64: Steele, Lea, Flood, OOPSLA 2014 */
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t state;
static uint64_t draw(void)
{
	return state = mix(state);
}

/* Small numbers are likelier, as words and instructions are. */
static unsigned skewed(unsigned below)
{
	uint64_t r = draw();
	unsigned a = (unsigned)(r % below), b = (unsigned)((r >> 20) % below), c = (unsigned)((r >> 40) % below);

	a = a < b ? a : b;
	return a < c ? a : c;
}

static void vocabulary(void)
{
	state = 12345;
	for (unsigned i = 0; i < WORDS; i++) {
		unsigned length = 2 + (unsigned)(draw() % 8);

		for (unsigned n = 0; n < length; n++)
			word[i][n] = "etaoinshrdlucmfwypvbgkqjxz"[skewed(26)];
	}
	for (unsigned i = 0; i < 600; i++)
		for (unsigned n = 0; n < 8; n++)
			opcode[i][n] = (uint8_t)(skewed(4) ? draw() : 0x48);
}

static void text(uint8_t *page)
{
	for (unsigned at = 0; at < PAGE;) {
		const char *w = word[skewed(WORDS)];

		while (*w && at < PAGE)
			page[at++] = (uint8_t)*w++;
		if (at < PAGE)
			page[at++] = draw() % 12 ? ' ' : '\n';
	}
}

/* malloc's chunks: two pointers into one heap, a size, a flag, a small number. */
static void structs(uint8_t *page)
{
	uint64_t heap = 0x00007f0000000000 | (draw() & 0xfff) << 24, value[6];

	for (unsigned at = 0; at + sizeof(value) <= PAGE; at += sizeof(value)) {
		value[0] = heap + (draw() & 0x3ffff0);
		value[1] = draw() % 3 ? heap + skewed(4096) * 16 : 0;
		value[2] = 49;
		value[3] = draw() % 4;
		value[4] = draw() % 8 ? 0 : draw() & 0xffff;
		value[5] = skewed(1000);
		memcpy(page + at, value, sizeof(value));
	}
}

static void sparse(uint8_t *page)
{
	for (unsigned n = 4 + (unsigned)(draw() % 40); n > 0; n--) {
		uint64_t value = draw() >> (draw() % 7 * 8);

		memcpy(page + draw() % (PAGE / 8) * 8, &value, 8);
	}
}

static void code(uint8_t *page)
{
	for (unsigned at = 0; at + 10 < PAGE;) {
		unsigned length = 2 + (unsigned)(draw() % 6);

		memcpy(page + at, opcode[skewed(600)], length);
		at += length;
		if (draw() % 3 == 0)
			page[at++] = (uint8_t)draw();
	}
}

static void floats(uint8_t *page)
{
	double value = 1.0 + (double)(draw() % 1000);

	for (unsigned at = 0; at < PAGE; at += sizeof(value)) {
		value *= 1.0 + ((double)(draw() >> 11) / 9007199254740992.0 - 0.5) / 64;
		memcpy(page + at, &value, sizeof(value));
	}
}

static void noise(uint8_t *page)
{
	for (unsigned at = 0; at < PAGE; at += 8) {
		uint64_t value = draw();

		memcpy(page + at, &value, 8);
	}
}

static void fill(uint8_t *page, enum kind kind, uint64_t seed)
{
	static void (*const how[KINDS])(uint8_t *) = {
		[TEXT] = text, [STRUCTS] = structs, [SPARSE] = sparse, [CODE] = code, [FLOATS] = floats,
		[RANDOM] = noise,
	};

	state = seed;
	memset(page, 0, PAGE);
	if (how[kind])
		how[kind](page);
}

static enum kind kind_draw(void)
{
	unsigned r = (unsigned)(draw() % 100), sum = 0;

	for (unsigned k = 0; k < KINDS; k++)
		if (r < (sum += percent[k]))
			return (enum kind)k;
	return ZERO;
}

/* ---- pages of real processes */

#define PIECE 64u /* pages of the pool that stay together */

static const uint8_t *pool;
static uint64_t pool_pages, pool_taken;
static uint32_t *pool_order; /* of its pieces */

static int pool_open(const char *path, uint64_t seed)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t pieces;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)(PIECE * PAGE))
		return -1;
	pieces = (uint64_t)st.st_size / PAGE / PIECE;
	pool_pages = pieces * PIECE;
	pool = mmap(NULL, pool_pages * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	pool_order = calloc(pieces, sizeof(*pool_order));
	if (pool == MAP_FAILED || !pool_order)
		return -1;
	for (uint64_t i = 0; i < pieces; i++) { /* Fisher-Yates, from the inside out */
		uint64_t j = mix(seed * 104729 + i) % (i + 1);

		pool_order[i] = pool_order[j];
		pool_order[j] = (uint32_t)i;
	}
	return 0;
}

/* The next page of it that no guest's page is yet. */
static uint64_t pool_take(void)
{
	uint64_t n = pool_taken++;

	if (n >= pool_pages) {
		fprintf(stderr, "store_image: more than the %llu pages of the pool are wanted\n", (unsigned long long)pool_pages);
		exit(1);
	}
	return pool_order[n / PIECE] * (uint64_t)PIECE + n % PIECE;
}

static void changed(uint8_t *page, uint64_t from, uint64_t seed)
{
	memcpy(page, pool + from * PAGE, PAGE);
	state = seed;
	for (unsigned n = 1 + (unsigned)(draw() % 64); n > 0; n--)
		memcpy(page + draw() % (PAGE / 8) * 8, pool + draw() % (pool_pages * PAGE / 8) * 8, 8);
	memcpy(page + draw() % (PAGE / 8) * 8, &seed, 8); /* so that it is no other page in any case */
}

static void dirty(uint64_t *content, uint8_t *kind, uint64_t *was, uint64_t pages, unsigned permille, uint64_t seed, FILE *list)
{
	uint64_t left = pages * permille / 1000;
	bool *done = calloc(pages, sizeof(*done));

	while (done && left > 0) {
		uint64_t at = mix(seed++) % pages, run = 1 + mix(seed++) % 16;

		for (; run > 0 && at < pages && left > 0; run--, at++) {
			if (done[at])
				continue;
			done[at] = true;
			left--;
			if (pool) {
				was[at] = kind[at] == ZERO ? mix(seed + at) % pool_pages : content[at];
				kind[at] = DIRTY;
			}
			content[at] = mix(seed * 31 + at);
		}
	}
	for (uint64_t i = 0; done && list && i < pages; i++)
		if (done[i])
			fwrite(&i, sizeof(i), 1, list);
	free(done);
}

/* ---- the stream around them */

static int sample_flush(struct sample *s)
{
	bool ok = fwrite(s->data, s->size, 1, stdout) == 1;

	sample_dispose(s);
	return ok ? 0 : -1;
}

static int stream_begin(void)
{
	struct sample s = { 0 };

	sample_xl(&s, "{\"c_info\":{\"type\":\"pvh\",\"name\":\"bench\"}}");
	sample_libxl(&s);
	sample_record(&s, "", 1, 0, 0); /* LIBXC_CONTEXT */
	sample_libxc(&s, 3, 2);
	sample_record(&s, "", 0x11, 2400, 1); /* CPUID and MSR policy, of a usual size */
	sample_record(&s, "", 0x12, 64, 1);
	sample_record(&s, "", 0x10, 0, 0); /* STATIC_DATA_END */
	return sample_flush(&s);
}

static int stream_batch(uint64_t first, uint64_t count)
{
	unsigned char head[16] = { 1 };
	uint64_t entry[XENSTREAM_BATCH_USUAL];

	xenstream_put_le32(head + 4, (uint32_t)(8 + count * (8 + PAGE)));
	xenstream_put_le32(head + 8, (uint32_t)count);
	for (uint64_t i = 0; i < count; i++)
		xenstream_put_le64(&entry[i], first + i);
	return fwrite(head, sizeof(head), 1, stdout) == 1 && fwrite(entry, 8, count, stdout) == count ? 0 : -1;
}

static int stream_end(void)
{
	struct sample s = { 0 };

	sample_record(&s, "", 8, 24, 1); /* TSC_INFO, HVM_CONTEXT, HVM_PARAMS */
	sample_record(&s, "", 9, 6000, 1);
	sample_record(&s, "", 10, 8 + 16 * 12, 1);
	sample_record(&s, "", 0, 0, 0);
	sample_record(&s, "libxl", 0, 0, 0);
	return sample_flush(&s);
}

/* ---- */

static struct {
	const char *words[6];
	int count;
	const char *pool;
	bool stream;
} given;

static void arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "pool=", 5) == 0)
			given.pool = argv[i] + 5;
		else if (strcmp(argv[i], "stream") == 0)
			given.stream = true;
		else if (given.count < 6)
			given.words[given.count++] = argv[i];
}

/* What each page is. */
static void lay_out(uint64_t *content, uint8_t *kind, uint64_t pages, uint64_t seed)
{
	for (uint64_t i = 0, run = 0, region = ZERO; i < pages; i++, run--) {
		state = mix(seed * 7919 + i);
		if (run == 0) {
			region = kind_draw();
			run = 1 + draw() % 128;
		}
		kind[i] = (uint8_t)region;
		content[i] = mix(seed << 40 ^ i);
		if (pool && region != ZERO) {
			kind[i] = REAL;
			content[i] = pool_take();
		} else if (i > 0 && draw() % 16 == 0 && region != ZERO) { /* a copy */
			uint64_t from = draw() % i;

			if (kind[from] != ZERO) {
				kind[i] = kind[from];
				content[i] = content[from];
			}
		}
	}
}

static int write_pages(const uint64_t *content, const uint8_t *kind, const uint64_t *was, uint64_t pages)
{
	uint8_t page[PAGE];

	if (given.stream && stream_begin() < 0)
		return -1;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t left = pages - i, batch = left < XENSTREAM_BATCH_USUAL ? left : XENSTREAM_BATCH_USUAL;

		if (given.stream && i % XENSTREAM_BATCH_USUAL == 0 && stream_batch(i, batch) < 0)
			return -1;
		if (kind[i] == REAL)
			memcpy(page, pool + content[i] * PAGE, PAGE);
		else if (kind[i] == DIRTY)
			changed(page, was[i], content[i]);
		else
			fill(page, kind[i], content[i]);
		if (fwrite(page, PAGE, 1, stdout) != 1)
			return -1;
	}
	return given.stream ? stream_end() : 0;
}

static uint64_t number(int i)
{
	return given.count > i ? strtoull(given.words[i], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	uint64_t pages, seed, *content, *was;
	uint8_t *kind;
	FILE *list;

	arguments(argc, argv);
	pages = number(0) * 256;
	seed = number(1);
	content = calloc(pages + 1, sizeof(*content));
	was = calloc(pages + 1, sizeof(*was));
	kind = calloc(pages + 1, 1);
	list = given.count > 4 ? fopen(given.words[4], "w") : NULL;
	if (!pages || given.count < 2 || !content || !was || !kind || (given.count > 4 && !list)) {
		fprintf(stderr, "usage: store_image MIB SEED [DIRTY‰ DIRT-SEED [LIST]] [pool=FILE] [stream] >IMAGE\n");
		return 2;
	}
	if (given.pool && pool_open(given.pool, seed) < 0) {
		fprintf(stderr, "store_image: %s is no pool of pages\n", given.pool);
		return 1;
	}
	vocabulary();
	lay_out(content, kind, pages, seed);
	if (given.count > 3)
		dirty(content, kind, was, pages, (unsigned)number(2), number(3) << 20, list);
	if (write_pages(content, kind, was, pages) < 0 || (list && fclose(list) != 0))
		return 1;
	return fflush(stdout) != 0;
}
