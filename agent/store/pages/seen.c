/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seen.c - see seen.h. */
#include "config.h"

#include "agent/store/pages/seen.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 8192u

static uint32_t start(const struct seen *s, const uint8_t hash[32])
{
	uint32_t value;

	/* Not the first bytes: those are what a pack is sorted by. */
	memcpy(&value, hash + 8, sizeof(value));
	return value & (s->room - 1);
}

long seen_find(const struct seen *s, const struct pack_writer *w, const uint8_t hash[32])
{
	if (!s->room)
		return -1;
	for (uint32_t i = start(s, hash); s->slot[i]; i = (i + 1) & (s->room - 1))
		if (memcmp(pack_writer_hash(w, s->slot[i] - 1), hash, 32) == 0)
			return (long)s->slot[i] - 1;
	return -1;
}

static void insert(struct seen *s, const struct pack_writer *w, uint32_t slot)
{
	uint32_t i = start(s, pack_writer_hash(w, slot));

	while (s->slot[i])
		i = (i + 1) & (s->room - 1);
	s->slot[i] = slot + 1;
	s->count++;
}

int seen_add(struct seen *s, const struct pack_writer *w, uint32_t slot, struct fm_error *err)
{
	if (3 * (uint64_t)(s->count + 1) > 2 * (uint64_t)s->room) {
		struct seen bigger = { .room = s->room ? 2 * s->room : ROOM_FIRST };

		bigger.slot = calloc(bigger.room, sizeof(*bigger.slot));
		if (!bigger.slot)
			return fm_fail(err, FM_FAILED, "out of memory");
		for (uint32_t i = 0; i < s->room; i++)
			if (s->slot[i])
				insert(&bigger, w, s->slot[i] - 1);
		free(s->slot);
		*s = bigger;
	}
	insert(s, w, slot);
	return 0;
}

void seen_dispose(struct seen *s)
{
	free(s->slot);
	memset(s, 0, sizeof(*s));
}
