/* SPDX-License-Identifier: GPL-2.0-or-later */
/* skeleton.c - see skeleton.h. */
#include "config.h"

#include "agent/store/skeleton.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define HEADER ((size_t)32)
#define BATCH 512

struct places {
	uint64_t *entries; /* of both turns, little-endian */
	size_t count, room, first;
};

static int places_add(struct places *p, uint64_t entry, struct fm_error *err)
{
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 1024;
		uint64_t *bigger = realloc(p->entries, room * sizeof(*bigger));

		if (!bigger)
			return fm_fail(err, FM_FAILED, "out of memory");
		p->entries = bigger;
		p->room = room;
	}
	p->entries[p->count++] = htole64(entry);
	return 0;
}

/*
 * The second turn begins where a pfn does not follow on the one before. Should its pfns all be higher, then none of
 * them was in the first turn, and they may be said in it as well.
 */
static int collect(struct xenstream_fold *fold, struct places *p, struct fm_error *err)
{
	struct xenstream_place batch[BATCH];
	bool any = false, second = false;
	uint64_t last = 0;
	size_t n;

	if (xenstream_fold_rewind(fold, err) < 0)
		return -1;
	while ((n = xenstream_fold_next(fold, batch, BATCH)) > 0)
		for (size_t i = 0; i < n; i++) {
			uint64_t pfn = xenstream_pfn(batch[i].entry);

			second = second || (any && pfn <= last);
			any = true;
			last = pfn;
			if (xenstream_type(batch[i].entry) == XENSTREAM_NOTAB && !second)
				continue;
			if (places_add(p, batch[i].entry, err) < 0)
				return -1;
			p->first += !second;
		}
	return 0;
}

static void *put(unsigned char *at, const void *data, size_t size)
{
	if (size)
		memcpy(at, data, size);
	return at + size;
}

static void *encode(const struct xenstream_skeleton *parts, const struct places *p, size_t *size_r, struct fm_error *err)
{
	const uint64_t header[4] = { htole64(parts->head_size), htole64(parts->tail_size), htole64(p->first),
				     htole64(p->count - p->first) };
	unsigned char *data, *at;

	*size_r = HEADER + parts->head_size + parts->tail_size + p->count * sizeof(uint64_t);
	data = malloc(*size_r);
	if (!data) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	at = put(data, header, HEADER);
	at = put(at, parts->head, parts->head_size);
	at = put(at, parts->tail, parts->tail_size);
	put(at, p->entries, p->count * sizeof(uint64_t));
	return data;
}

void *skeleton_encode(struct xenstream_fold *fold, size_t *size_r, struct fm_error *err)
{
	struct xenstream_skeleton parts;
	struct places p = { 0 };
	void *data = NULL;

	if (xenstream_fold_skeleton(fold, &parts, err) == 0 && collect(fold, &p, err) == 0)
		data = encode(&parts, &p, size_r, err);
	free(p.entries);
	return data;
}

/* The next `size` bytes, if there are so many. */
static const unsigned char *take(const unsigned char **at, uint64_t *left, uint64_t size)
{
	const unsigned char *data = *at;

	if (size > *left)
		return NULL;
	*at += size;
	*left -= size;
	return data;
}

int skeleton_decode(const void *data, size_t size, struct skeleton *s, struct fm_error *err)
{
	const unsigned char *at = data, *header;
	uint64_t left = size, first, second;

	*s = (struct skeleton){ 0 };
	header = take(&at, &left, HEADER);
	if (!header)
		return fm_fail(err, FM_CORRUPT, "a skeleton of %zu bytes", size);
	s->parts.head_size = xenstream_le64(header);
	s->parts.tail_size = xenstream_le64(header + 8);
	first = xenstream_le64(header + 16);
	second = xenstream_le64(header + 24);
	s->parts.head = take(&at, &left, s->parts.head_size);
	s->parts.tail = s->parts.head ? take(&at, &left, s->parts.tail_size) : NULL;
	if (!s->parts.tail || first > left / 8 || second != left / 8 - first || left % 8)
		return fm_fail(err, FM_CORRUPT, "a skeleton whose parts do not make up its %zu bytes", size);
	s->first = at;
	s->second = at + first * 8;
	s->first_count = first;
	s->second_count = second;
	return 0;
}
