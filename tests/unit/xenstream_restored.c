/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstream_restored.c - what Xen's restore makes of a stream: which pfns have memory, with what in it and
 * of which type, and the last of each other record.  Written after tools/libs/guest/xg_sr_restore*.c's
 * behaviour, for tests to compare two streams by; it uses nothing of agent/xenstream but layout constants.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/xenstream_sample.h"

static uint64_t hash(uint64_t h, const unsigned char *data, size_t size) /* like FNV-1a, by words */
{
	h = h ? h : 0xcbf29ce484222325u;
	for (; size >= 8; data += 8, size -= 8) {
		h = (h ^ xenstream_le64(data)) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	for (size_t i = 0; i < size; i++)
		h = (h ^ data[i]) * 0x100000001b3u;
	return h;
}

static bool restore_page(struct restored *r, uint64_t entry, const unsigned char **data)
{
	uint64_t pfn = entry & 0xfffffffffffffull;
	unsigned type = (unsigned)(entry >> 60);
	struct restored_page *page;

	if (pfn >= RESTORED_PFNS)
		return false;
	page = &r->pages[pfn];
	if (!r->verify) {
		page->memory = page->memory || type < 13 || type == 14;
		if (!r->hvm)
			page->type = type;
		if (type < 13)
			page->content = hash(0, *data, 4096);
	}
	*data += type < 13 ? 4096 : 0;
	return true;
}

static bool restore_batch(struct restored *r, const unsigned char *body, uint32_t length)
{
	uint32_t count = xenstream_le32(body);
	const unsigned char *data = body + 8 + (size_t)count * 8;

	for (uint32_t i = 0; i < count; i++)
		if (!restore_page(r, xenstream_le64(body + 8 + (size_t)i * 8), &data))
			return false;
	return data == body + length;
}

/* libxc's records up to its END or CHECKPOINT: the bytes used, 0 when it is wrong. */
static size_t restore_libxc(struct restored *r, const unsigned char *data, size_t size)
{
	for (size_t at = 0; size - at >= 8;) {
		uint32_t type = xenstream_le32(data + at), length = xenstream_le32(data + at + 4);
		size_t next = at + 8 + xenstream_padded(length);

		if (next > size)
			return 0;
		if (type == 1 && !restore_batch(r, data + at + 8, length))
			return 0;
		r->verify = r->verify || type == 13;
		if (type < 19 && type != 0 && type != 1 && type != 13 && type != 14)
			r->records[type] = hash(type == 3 ? r->records[type] : 0, data + at, next - at);
		at = next;
		if (type == 0 || type == 14)
			return at;
	}
	return 0;
}

bool restored_from(struct restored *r, const unsigned char *data, size_t size)
{
	size_t at = 48 + (size_t)xenstream_le32(data + 44) + 16, n;

	memset(r, 0, sizeof(*r));
	r->state = hash(0, data, at);
	/* To libxc's headers; what may come before them is optional, and nothing to a restore. */
	for (; size - at >= 56 && xenstream_le32(data + at) != 1; at = n) {
		n = at + 8 + xenstream_padded(xenstream_le32(data + at + 4));
		if (n > size)
			return false;
	}
	if (size - at < 56)
		return false;
	r->hvm = data[at + 8 + 24] == 2;
	r->state = hash(r->state, data + at, 48);
	at += 48;
	for (;;) {
		n = restore_libxc(r, data + at, size - at);
		at += n;
		if (n == 0)
			return false;
		for (;; at = n) { /* libxl's */
			uint32_t type = size - at < 8 ? 99 : xenstream_le32(data + at);

			n = type == 99 ? 0 : at + 8 + xenstream_padded(xenstream_le32(data + at + 4));
			if (n == 0 || n > size)
				return false;
			if (type == 0)
				return n == size;
			if (type == 4)
				break;
			if (type < 8)
				r->records[20 + type] = hash(0, data + at, n - at);
		}
		at = n;
		/* A newer state comes, not just an end: its emulator's records, too. */
		if (size - at >= 8 && xenstream_le32(data + at) != 0 && xenstream_le32(data + at) != 14)
			memset(r->records + 20, 0, sizeof(r->records[0]) * 8);
	}
}

bool restored_same(const struct restored *a, const struct restored *b)
{
	if (a->state != b->state || a->hvm != b->hvm)
		return printf("the headers differ\n"), false;
	for (unsigned i = 0; i < 32; i++)
		if (a->records[i] != b->records[i])
			return printf("record %u differs\n", i), false;
	for (unsigned i = 0; i < RESTORED_PFNS; i++) {
		const struct restored_page *x = &a->pages[i], *y = &b->pages[i];

		if (x->memory != y->memory || x->type != y->type || x->content != y->content)
			return printf("pfn 0x%x: memory %d %d, type %u %u, content %" PRIx64 " %" PRIx64 "\n", i, x->memory,
				      y->memory, x->type, y->type, x->content, y->content), false;
	}
	return true;
}
