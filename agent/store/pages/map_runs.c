/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_runs.c - a map's entries as runs of pages that follow each other both in the guest and in a pack.
 *
 * A run is up to four numbers, each in bytes of seven bits, low ones first, the eighth bit on all but the last
 * (LEB128):
 *	gap       pfns between the end of the last run and this one
 *	length    of the run × 2, plus 1 when its pages are in a pack, else they are zeros
 *	pack      its number in the map's table        (in a pack only)
 *	distance  of the first slot from the end of the last run of that kind, as 2d for d >= 0, else -2d - 1
 */
#include "config.h"

#include "agent/store/pages/map.h"

#include <stdlib.h>

struct bytes {
	uint8_t *data;
	size_t size, room;
};

static int bytes_number(struct bytes *b, uint64_t value, struct fm_error *err)
{
	if (b->room - b->size < 10) {
		size_t room = b->room ? 2 * b->room : 4096;
		uint8_t *bigger = realloc(b->data, room);

		if (!bigger)
			return fm_fail(err, FM_FAILED, "out of memory");
		b->data = bigger;
		b->room = room;
	}
	for (; value >= 0x80; value >>= 7)
		b->data[b->size++] = (uint8_t)(value | 0x80);
	b->data[b->size++] = (uint8_t)value;
	return 0;
}

/* Pages from pfn on that are one run; at least one. */
static uint64_t run_length(const struct pages_map *m, uint64_t pfn, uint32_t ref)
{
	uint32_t end = ref >= REF_FIRST ? m->pack[map_pack_of(m, ref)].base + m->pack[map_pack_of(m, ref)].slots : 0;
	uint64_t n = 1;

	for (; pfn + n < PAGES_PFN_END; n++) {
		uint32_t next = map_get(m, pfn + n);

		if (ref == REF_ZERO ? next != REF_ZERO : next != ref + n || next >= end)
			break;
	}
	return n;
}

static int run_put(const struct pages_map *m, const uint32_t *number, struct bytes *b, uint64_t gap, uint64_t length,
		   uint32_t ref, int64_t *slot, struct fm_error *err)
{
	bool in_pack = ref >= REF_FIRST;
	int64_t first, distance;
	size_t p;

	if (bytes_number(b, gap, err) < 0 || bytes_number(b, length << 1 | in_pack, err) < 0)
		return -1;
	if (!in_pack)
		return 0;
	p = map_pack_of(m, ref);
	first = (int64_t)(ref - m->pack[p].base);
	distance = first - *slot;
	*slot = first + (int64_t)length;
	if (bytes_number(b, number[p], err) < 0)
		return -1;
	return bytes_number(b, distance >= 0 ? 2 * (uint64_t)distance : 2 * (uint64_t)-distance - 1, err);
}

void *map_runs_encode(const struct pages_map *m, const uint32_t *number, size_t *size_r, uint32_t *runs_r,
		      struct fm_error *err)
{
	struct bytes b = { 0 };
	uint64_t end = 0, length;
	int64_t slot = 0;

	*runs_r = 0;
	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, end)) {
		uint32_t ref = map_get(m, pfn);

		length = run_length(m, pfn, ref);
		if (run_put(m, number, &b, pfn - end, length, ref, &slot, err) < 0) {
			free(b.data);
			return NULL;
		}
		end = pfn + length;
		++*runs_r;
	}
	if (!b.data && bytes_number(&b, 0, err) == 0)
		b.size = 0; /* an empty map: something to free */
	*size_r = b.size;
	return b.data;
}

struct cursor {
	const uint8_t *at, *end;
};

static int number_take(struct cursor *c, uint64_t *value_r, struct fm_error *err)
{
	*value_r = 0;
	for (unsigned shift = 0; c->at < c->end && shift < 42; shift += 7) {
		uint8_t byte = *c->at++;

		*value_r |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return 0;
	}
	return fm_fail(err, FM_CORRUPT, "its entries are damaged: a number without an end");
}

/* The ref of the run's first page. */
static int run_place(const struct pages_map *m, struct cursor *c, uint64_t length, int64_t *slot, uint32_t *ref_r,
		     struct fm_error *err)
{
	uint64_t pack, distance;

	if (number_take(c, &pack, err) < 0 || number_take(c, &distance, err) < 0)
		return -1;
	if (pack >= m->packs)
		return fm_fail(err, FM_CORRUPT, "its entries are damaged: there is no pack %llu",
			       (unsigned long long)pack);
	*slot += distance & 1 ? -(int64_t)(distance / 2) - 1 : (int64_t)(distance / 2);
	if (*slot < 0 || (uint64_t)*slot + length > m->pack[pack].slots)
		return fm_fail(err, FM_CORRUPT, "its entries are damaged: pack %llu has no slot %lld",
			       (unsigned long long)pack, (long long)*slot);
	*ref_r = m->pack[pack].base + (uint32_t)*slot;
	*slot += (int64_t)length;
	return 0;
}

int map_runs_decode(struct pages_map *m, const void *data, size_t size, uint32_t runs, uint64_t most, struct fm_error *err)
{
	struct cursor c = { data, (const uint8_t *)data + size };
	uint64_t pfn = 0, gap, length;
	int64_t slot = 0;

	for (uint32_t i = 0; i < runs; i++) {
		uint32_t ref = REF_ZERO;
		bool in_pack;

		if (number_take(&c, &gap, err) < 0 || number_take(&c, &length, err) < 0)
			return -1;
		in_pack = length & 1;
		length >>= 1;
		pfn += gap;
		if (length == 0 || pfn + length > PAGES_PFN_END)
			return fm_fail(err, FM_CORRUPT, "its entries are damaged: pfn %#llx", (unsigned long long)pfn);
		if (length > most - m->pages)
			return fm_fail(err, FM_CORRUPT, "its entries are damaged: more than %llu pages", (unsigned long long)most);
		if (in_pack && run_place(m, &c, length, &slot, &ref, err) < 0)
			return -1;
		for (uint64_t n = 0; n < length; n++)
			if (map_set(m, pfn++, in_pack ? ref + (uint32_t)n : ref, err) < 0)
				return -1;
	}
	if (c.at != c.end)
		return fm_fail(err, FM_CORRUPT, "its entries are damaged: there are more than %u", runs);
	return 0;
}
