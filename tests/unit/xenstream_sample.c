/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenstream_sample.c - see xenstream_sample.h. */
#include "config.h"

#include "tests/unit/xenstream_sample.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PAGES(s, ...)                                                                                                  \
	sample_pages(s, (const struct sample_page[]){ __VA_ARGS__ },                                                   \
		     sizeof((const struct sample_page[]){ __VA_ARGS__ }) / sizeof(struct sample_page))

static const char *const kind_names[SAMPLE_KINDS] = { "live", "pv", "old", "emulated", "checkpoints", "verify", "bare" };

const char *sample_name(enum sample_kind kind)
{
	return kind_names[kind];
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void sample_bytes(struct sample *s, const void *bytes, size_t size)
{
	if (s->room - s->size < size) {
		s->room = (s->size + size) * 2;
		s->data = realloc(s->data, s->room);
		if (!s->data)
			abort();
	}
	memcpy(s->data + s->size, bytes, size);
	s->size += size;
	if (s->mark_count)
		s->marks[s->mark_count - 1].size += size;
}

void sample_mark(struct sample *s, const char *name, size_t fixed)
{
	s->marks = realloc(s->marks, (s->mark_count + 1) * sizeof(s->marks[0]));
	if (!s->marks)
		abort();
	s->marks[s->mark_count++] = (struct sample_mark){ .at = s->size, .name = name, .fixed = fixed };
}

static void put(struct sample *s, uint64_t v, unsigned width, bool big)
{
	unsigned char b[8];

	for (unsigned i = 0; i < width; i++)
		b[i] = (unsigned char)(v >> 8 * (big ? width - 1 - i : i));
	sample_bytes(s, b, width);
}

static void le32(struct sample *s, uint32_t v)
{
	put(s, v, 4, false);
}

void sample_xl(struct sample *s, const char *json)
{
	uint32_t n = json ? (uint32_t)strlen(json) + 1 : 0;

	sample_mark(s, "xl header", json ? 52 : 48);
	sample_bytes(s, "Xen saved domain, xl format\n \0 \r", 32);
	le32(s, 0x01020304);
	le32(s, 3);
	le32(s, 0);
	le32(s, n ? n + 4 : 0);
	if (!json)
		return;
	le32(s, n);
	sample_bytes(s, json, n);
}

void sample_libxl(struct sample *s)
{
	sample_mark(s, "libxl header", 16);
	sample_bytes(s, "LibxlFmt", 8);
	put(s, 2, 4, true);
	put(s, 0, 4, true);
}

void sample_libxc(struct sample *s, unsigned version, unsigned type)
{
	sample_mark(s, "libxc header", 40);
	put(s, ~0ull, 8, true);
	put(s, 0x58454e46, 4, true);
	put(s, version, 4, true);
	put(s, 0, 8, true);
	le32(s, type);
	put(s, 12, 2, false);
	put(s, 0, 2, false);
	le32(s, 4);
	le32(s, 17);
}

/* The fields that a reader of the body would look at, over the first bytes. */
static void set_fields(unsigned char *body, uint32_t type, uint32_t length, bool libxl)
{
	memset(body, 0, length < 8 ? length : 8); /* VCPU: its number; emulators: index; P2M: first and last pfn; TSC: the mode */
	if (libxl && length >= 8)
		body[0] = 2; /* the usual qemu */
	else if (type == 2)
		memcpy(body, "\x08\x04", 2); /* width, levels of page tables */
	else if (type == 8 && length == 24)
		memset(body + 20, 0, 4);
	else if (type == 10)
		xenstream_put_le32(body, (length - 8) / 16);
}

void sample_record(struct sample *s, const char *name, uint32_t type, uint32_t length, unsigned seed)
{
	sample_mark(s, name, 8);
	le32(s, type);
	le32(s, length);
	for (uint32_t i = 0; i < length; i += 8)
		put(s, mix((uint64_t)type << 40 | (uint64_t)seed << 20 | i / 8), length - i < 8 ? length - i : 8, false);
	if (type < 0x10 && length >= 8)
		set_fields(s->data + s->size - length, type, length, strncmp(name, "libxl", 5) == 0);
	for (; length % 8; length++)
		put(s, 0, 1, false);
}

void sample_page_fill(unsigned char page_r[4096], uint64_t pfn, unsigned content)
{
	for (size_t i = 0; i < 4096; i += 8) {
		uint64_t v = content ? mix(pfn << 8 ^ content) + (i < 64 ? i : 0) : 0;

		memcpy(page_r + i, &v, 8);
	}
}

void sample_pages(struct sample *s, const struct sample_page *pages, size_t count)
{
	unsigned char page[4096];
	uint32_t full = 0;

	for (size_t i = 0; i < count; i++)
		full += pages[i].type < 13;
	sample_mark(s, "libxc record PAGE_DATA", 16 + count * 8);
	le32(s, 1);
	le32(s, (uint32_t)(8 + count * 8 + full * 4096));
	le32(s, (uint32_t)count);
	le32(s, 0);
	for (size_t i = 0; i < count; i++)
		put(s, (uint64_t)pages[i].type << 60 | pages[i].pfn, 8, false);
	for (size_t i = 0; i < count; i++)
		if (pages[i].type < 13) {
			sample_page_fill(page, pages[i].pfn, pages[i].content);
			sample_bytes(s, page, 4096);
		}
}

bool sample_add(struct sample *s, char letter)
{
	static const struct sample_page page = { 5, 0, 1 };
	static const struct letter {
		char letter;
		uint32_t type, length;
	} letters[] = {
		{ 'L', 1, 0 }, { 'E', 0, 0 }, { 'M', 3, 9 }, { 'K', 4, 0 }, { 'O', 0x80000088, 4 }, { 'c', 0x11, 24 },
		{ 's', 0x10, 0 }, { 'x', 9, 10 }, { 'h', 10, 24 }, { 't', 8, 24 }, { 'v', 13, 0 }, { 'k', 14, 0 },
		{ 'i', 2, 8 }, { 'f', 3, 16 }, { 'n', 7, 4096 }, { 'u', 4, 8 }, { 'e', 0, 0 }, { 'o', 0x80000077, 3 },
	};

	if (letter == '3' || letter == '2' || letter == 'P')
		return sample_libxc(s, letter == '2' ? 2 : 3, letter == 'P' ? 1 : 2), true;
	if (letter == 'p')
		return sample_pages(s, &page, 1), true;
	for (size_t i = 0; i < COUNT(letters); i++)
		if (letters[i].letter == letter) /* no two alike */
			return sample_record(s, "", letters[i].type, letters[i].length, (unsigned)s->mark_count), true;
	return false;
}

void sample_letters(struct sample *s, const char *letters)
{
	*s = (struct sample){ 0 };
	sample_xl(s, NULL);
	sample_libxl(s);
	for (; *letters; letters++)
		if (!sample_add(s, *letters))
			abort();
}

/* ---- kinds */

static const char config[] = "{\n    \"c_info\": {\n        \"type\": \"pvh\",\n        \"name\": \"fm-1-0\"\n    }\n}\n";

static void begin(struct sample *s, unsigned version, unsigned type)
{
	sample_xl(s, config);
	sample_libxl(s);
	sample_record(s, "libxl record LIBXC_CONTEXT", 1, 0, 0);
	sample_libxc(s, version, type);
}

static void policies(struct sample *s)
{
	sample_record(s, "libxc record X86_CPUID_POLICY", 0x11, 48, 1);
	sample_record(s, "libxc record X86_MSR_POLICY", 0x12, 32, 1);
	sample_record(s, "libxc record STATIC_DATA_END", 0x10, 0, 0);
}

/* A state's end, in the order in which Xen writes it. */
static void hvm_end(struct sample *s, unsigned seed)
{
	sample_record(s, "libxc record X86_TSC_INFO", 8, 24, seed);
	sample_record(s, "libxc record HVM_CONTEXT", 9, 101, seed);
	sample_record(s, "libxc record HVM_PARAMS", 10, 8 + 32, seed);
}

static void end(struct sample *s)
{
	sample_record(s, "libxc record END", 0, 0, 0);
	sample_record(s, "libxl record END", 0, 0, 0);
}

static void live_pages(struct sample *s)
{
	PAGES(s, { 0, 0, 1 }, { 1, 0, 0 }, { 2, 15, 0 }, { 3, 15, 0 }, { 0x10, 0, 2 });
	PAGES(s, { 0x400, 15, 0 }, { 0x401, 15, 0 });
	PAGES(s, { 0x800, 0, 3 }, { 0x801, 14, 0 }, { 0x802, 13, 0 });
	PAGES(s, { 0, 0, 4 }, { 0x800, 0, 0 }); /* second round */
	PAGES(s, { 0x10, 15, 0 }, { 0, 0, 5 }); /* the cut: one was ballooned out */
}

static void make_pv(struct sample *s)
{
	begin(s, 3, 1);
	sample_record(s, "libxc record X86_PV_INFO", 2, 8, 1);
	policies(s);
	sample_record(s, "libxc record X86_PV_P2M_FRAMES", 3, 16, 1);
	PAGES(s, { 0, 0, 1 }, { 1, 4 | 8, 2 }, { 2, 3, 3 }, { 3, 15, 0 }, { 4, 1, 0 });
	PAGES(s, { 4, 0, 1 }, { 3, 0, 1 }, { 2, 15, 0 });
	sample_record(s, "libxc record X86_TSC_INFO", 8, 24, 1);
	sample_record(s, "libxc record SHARED_INFO", 7, 4096, 1);
	sample_record(s, "libxc record X86_PV_VCPU_BASIC", 4, 72, 1);
	sample_record(s, "libxc record X86_PV_VCPU_EXTENDED", 5, 24, 1);
	sample_record(s, "libxc record X86_PV_VCPU_XSAVE", 6, 8, 1); /* without content, as 4.6 to 4.8 could write it */
	sample_record(s, "libxc record X86_PV_VCPU_MSRS", 12, 24, 1);
	end(s);
}

static void make_emulated(struct sample *s)
{
	begin(s, 3, 2);
	policies(s);
	sample_record(s, "libxc record unknown 0x80000123", 0x80000123, 5, 1);
	live_pages(s);
	sample_record(s, "libxc record unknown 0x80000124", 0x80000124, 0, 1);
	hvm_end(s, 1);
	sample_record(s, "libxc record END", 0, 0, 0);
	sample_record(s, "libxl record EMULATOR_XENSTORE_DATA", 2, 19, 1);
	memcpy(s->data + s->size - 16, "some/key\0v", 11); /* behind the emulator's number */
	sample_record(s, "libxl record EMULATOR_CONTEXT", 3, 333, 1);
	sample_record(s, "libxl record END", 0, 0, 0);
}

static void make_checkpoints(struct sample *s)
{
	begin(s, 3, 2);
	policies(s);
	live_pages(s);
	hvm_end(s, 1);
	sample_record(s, "libxc record CHECKPOINT", 14, 0, 0);
	sample_record(s, "libxl record EMULATOR_CONTEXT", 3, 40, 1);
	sample_record(s, "libxl record CHECKPOINT_END", 4, 0, 0);
	PAGES(s, { 0, 0, 6 }, { 0x900, 0, 7 });
	hvm_end(s, 2);
	sample_record(s, "libxc record CHECKPOINT", 14, 0, 0);
	sample_record(s, "libxl record EMULATOR_CONTEXT", 3, 48, 2);
	sample_record(s, "libxl record CHECKPOINT_END", 4, 0, 0);
	hvm_end(s, 3);
	sample_record(s, "libxc record CHECKPOINT", 14, 0, 0);
	sample_record(s, "libxl record CHECKPOINT_END", 4, 0, 0);
	end(s);
}

static void make_verify(struct sample *s)
{
	begin(s, 3, 2);
	policies(s);
	live_pages(s);
	sample_record(s, "libxc record VERIFY", 13, 0, 0);
	PAGES(s, { 0, 0, 5 }, { 1, 0, 9 }, { 0x800, 15, 0 }, { 0x801, 0, 9 }); /* not all as before: to be ignored */
	hvm_end(s, 1);
	end(s);
}

static void make_bare(struct sample *s)
{
	sample_xl(s, NULL);
	sample_libxl(s);
	sample_record(s, "libxl record LIBXC_CONTEXT", 1, 0, 0);
	sample_libxc(s, 3, 2);
	sample_record(s, "libxc record STATIC_DATA_END", 0x10, 0, 0);
	PAGES(s, { 7, 14, 0 }, { 8, 15, 0 });
	hvm_end(s, 1);
	end(s);
}

void sample_make(struct sample *s, enum sample_kind kind)
{
	*s = (struct sample){ 0 };
	switch (kind) {
	case SAMPLE_LIVE:
	case SAMPLE_OLD:
		begin(s, kind == SAMPLE_OLD ? 2 : 3, 2);
		if (kind == SAMPLE_LIVE)
			policies(s);
		live_pages(s);
		hvm_end(s, 1);
		end(s);
		break;
	case SAMPLE_PV: make_pv(s); break;
	case SAMPLE_EMULATED: make_emulated(s); break;
	case SAMPLE_CHECKPOINTS: make_checkpoints(s); break;
	case SAMPLE_VERIFY: make_verify(s); break;
	case SAMPLE_BARE: make_bare(s); break;
	case SAMPLE_KINDS: break;
	}
}

void sample_random(struct sample *s, unsigned seed, bool hvm)
{
	static const unsigned types[] = { 0, 0, 0, 0, 1, 2, 3, 4, 9, 12, 13, 14, 15, 15 };
	struct sample_page pages[24];
	uint64_t n = seed;

	*s = (struct sample){ 0 };
	begin(s, 3, hvm ? 2 : 1);
	if (!hvm)
		sample_record(s, "libxc record X86_PV_INFO", 2, 8, seed);
	policies(s);
	if (!hvm)
		sample_record(s, "libxc record X86_PV_P2M_FRAMES", 3, 16, seed);
	for (unsigned batches = 1 + mix(n++) % 20; batches > 0; batches--) {
		size_t count = 1 + mix(n++) % COUNT(pages);

		for (size_t i = 0; i < count; i++) {
			pages[i] = (struct sample_page){ mix(n) % 40 * (mix(n + 1) % 3 ? 1 : 100),
							 types[mix(n + 2) % COUNT(types)], (unsigned)(mix(n + 3) % 5) };
			n += 4;
		}
		sample_pages(s, pages, count);
	}
	if (hvm) {
		hvm_end(s, seed);
	} else {
		sample_record(s, "libxc record SHARED_INFO", 7, 4096, seed);
		sample_record(s, "libxc record X86_PV_VCPU_BASIC", 4, 72, seed);
	}
	end(s);
}

void sample_dispose(struct sample *s)
{
	free(s->data);
	free(s->marks);
	*s = (struct sample){ 0 };
}
