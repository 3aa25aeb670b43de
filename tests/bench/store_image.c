/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_image - the memory of a guest, made up: the same bytes for the same arguments, on any machine.
 *
 *	store_image MIB SEED [DIRTY‰ DIRT-SEED [LIST]] >IMAGE
 *
 * Memory comes in regions of 1 to 128 pages of one kind. By pages: 45 % zeros; of the rest, what heaps, stacks, mapped files
 * and data of processes are made of: words of text, structs of pointers and small numbers, nearly empty pages, machine
 * code's instruction patterns, floating point numbers, random bytes; one in 16 is a copy of an earlier page (libraries mapped by several
 * processes, copies the page cache keeps). The mix was set so that 64 KiB blocks of the non-zero pages compress nearly as well as was measured on
 * real process memory: lz4 ×2.1 (real: ×2.2), zstd -1 ×3.1 (×3.4); it is no real memory for all that. With DIRTY‰ that part of the pages, in runs of 1 to 16, gets new content of
 * its kind, and LIST gets their numbers, a u64 each.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define WORDS 3000u

enum kind { ZERO, TEXT, STRUCTS, SPARSE, CODE, FLOATS, RANDOM, KINDS };
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

static void dirty(uint64_t *content, const uint8_t *kind, uint64_t pages, unsigned permille, uint64_t seed, FILE *list)
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
			content[at] = mix(seed * 31 + at);
		}
	}
	for (uint64_t i = 0; done && list && i < pages; i++)
		if (done[i])
			fwrite(&i, sizeof(i), 1, list);
	free(done);
}

int main(int argc, char **argv)
{
	uint64_t pages = argc > 2 ? strtoull(argv[1], NULL, 10) * 256 : 0, seed = pages ? strtoull(argv[2], NULL, 10) : 0;
	uint64_t *content = calloc(pages + 1, sizeof(*content));
	uint8_t *kind = calloc(pages + 1, 1), page[PAGE];
	FILE *list = argc > 5 ? fopen(argv[5], "w") : NULL;

	if (!pages || !content || !kind || (argc > 5 && !list)) {
		fprintf(stderr, "usage: store_image MIB SEED [DIRTY‰ DIRT-SEED [LIST]] >IMAGE\n");
		return 2;
	}
	vocabulary();
	for (uint64_t i = 0, run = 0, region = ZERO; i < pages; i++, run--) {
		state = mix(seed * 7919 + i);
		if (run == 0) {
			region = kind_draw();
			run = 1 + draw() % 128;
		}
		kind[i] = (uint8_t)region;
		content[i] = mix(seed << 40 ^ i);
		if (i > 0 && draw() % 16 == 0 && region != ZERO) { /* a copy */
			uint64_t from = draw() % i;

			if (kind[from] != ZERO) {
				kind[i] = kind[from];
				content[i] = content[from];
			}
		}
	}
	if (argc > 4)
		dirty(content, kind, pages, (unsigned)strtoul(argv[3], NULL, 10), strtoull(argv[4], NULL, 10) << 20, list);
	for (uint64_t i = 0; i < pages; i++) {
		fill(page, kind[i], content[i]);
		if (fwrite(page, PAGE, 1, stdout) != 1)
			return 1;
	}
	if (list && fclose(list) != 0)
		return 1;
	return fflush(stdout) != 0;
}
