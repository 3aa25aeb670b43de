/* SPDX-License-Identifier: GPL-2.0-or-later */
/* map.c - the table of a member's pages in memory. */
#include "config.h"

#include "agent/store/pages/map.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"

struct pages_map *map_create(uint32_t job, struct fm_error *err)
{
	struct pages_map *m = calloc(1, sizeof(*m));

	if (!m) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	m->job = job;
	m->next_base = REF_FIRST;
	return m;
}

void pages_map_close(struct pages_map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->chunks; i++)
		free(m->chunk[i]);
	free(m->chunk);
	free(m->pack);
	free(m->skeleton);
	free(m);
}

/* The chunk of that number, made if need be. */
static uint32_t *chunk_make(struct pages_map *m, uint64_t number, struct fm_error *err)
{
	if (number >= m->chunks) {
		size_t room = m->chunks ? 2 * m->chunks : 256;
		uint32_t **bigger;

		if (room <= number)
			room = (size_t)number + 1;
		bigger = realloc(m->chunk, room * sizeof(*bigger));
		if (!bigger)
			goto no_memory;
		memset(bigger + m->chunks, 0, (room - m->chunks) * sizeof(*bigger));
		m->chunk = bigger;
		m->chunks = room;
	}
	if (!m->chunk[number]) {
		m->chunk[number] = calloc(MAP_CHUNK, sizeof(uint32_t));
		if (!m->chunk[number])
			goto no_memory;
		m->chunks_made++;
	}
	return m->chunk[number];
no_memory:
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

int map_set(struct pages_map *m, uint64_t pfn, uint32_t ref, struct fm_error *err)
{
	uint32_t *chunk, *entry;

	if (pfn >= PAGES_PFN_END)
		return fm_fail(err, FM_USAGE, "pfn %#llx is out of bounds", (unsigned long long)pfn);
	if (ref == REF_NONE && map_get(m, pfn) == REF_NONE)
		return 0;
	chunk = chunk_make(m, pfn / MAP_CHUNK, err);
	if (!chunk)
		return -1;
	entry = &chunk[pfn % MAP_CHUNK];
	m->pages += (ref != REF_NONE) - (uint64_t)(*entry != REF_NONE);
	m->zero_pages += (ref == REF_ZERO) - (uint64_t)(*entry == REF_ZERO);
	*entry = ref;
	return 0;
}

uint64_t map_next(const struct pages_map *m, uint64_t from)
{
	for (uint64_t c = from / MAP_CHUNK; c < m->chunks; c++, from = c * MAP_CHUNK) {
		if (!m->chunk[c])
			continue;
		for (uint64_t i = from % MAP_CHUNK; i < MAP_CHUNK; i++)
			if (m->chunk[c][i] != REF_NONE)
				return c * MAP_CHUNK + i;
	}
	return PAGES_PFN_END;
}

long map_pack_add(struct pages_map *m, const uint8_t id[32], uint32_t slots, struct fm_error *err)
{
	struct map_pack *bigger;

	if (m->next_base + slots > UINT32_MAX)
		return fm_fail(err, FM_FAILED, "a snapshot out of too many packs");
	bigger = realloc(m->pack, (m->packs + 1) * sizeof(*bigger));
	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	m->pack = bigger;
	m->pack[m->packs] = (struct map_pack){ .base = (uint32_t)m->next_base, .slots = slots };
	memcpy(m->pack[m->packs].id, id, 32);
	m->next_base += slots;
	return (long)m->packs++;
}

size_t map_pack_of(const struct pages_map *m, uint32_t ref)
{
	size_t low = 0, high = m->packs;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (m->pack[mid].base <= ref)
			low = mid;
		else
			high = mid;
	}
	return low;
}

int map_inherit(struct pages_map *m, const struct pages_map *parent, struct fm_error *err)
{
	for (size_t i = 0; i < parent->packs; i++)
		if (map_pack_add(m, parent->pack[i].id, parent->pack[i].slots, err) < 0)
			return -1;
	for (size_t c = 0; c < parent->chunks; c++) {
		uint32_t *chunk = parent->chunk[c] ? chunk_make(m, c, err) : NULL;

		if (parent->chunk[c] && !chunk)
			return -1;
		if (chunk)
			memcpy(chunk, parent->chunk[c], MAP_CHUNK * sizeof(*chunk));
	}
	m->pages = parent->pages;
	m->zero_pages = parent->zero_pages;
	return 0;
}

size_t pages_map_next(const struct pages_map *m, uint64_t *from, uint64_t *pfn_r, size_t most)
{
	size_t n = 0;

	while (n < most && (*from = map_next(m, *from)) < PAGES_PFN_END)
		pfn_r[n++] = (*from)++;
	return n;
}

uint64_t pages_map_count(const struct pages_map *m)
{
	return m->pages;
}

uint64_t pages_map_zero_count(const struct pages_map *m)
{
	return m->zero_pages;
}

uint64_t pages_map_pfn_end(const struct pages_map *m)
{
	for (size_t c = m->chunks; c-- > 0;)
		for (size_t i = MAP_CHUNK; m->chunk[c] && i-- > 0;)
			if (m->chunk[c][i] != REF_NONE)
				return (uint64_t)c * MAP_CHUNK + i + 1;
	return 0;
}

uint64_t pages_map_memory(const struct pages_map *m)
{
	return sizeof(*m) + m->chunks * sizeof(*m->chunk) + m->chunks_made * MAP_CHUNK * sizeof(uint32_t) +
	       m->packs * sizeof(*m->pack) + m->skeleton_size;
}

const void *pages_map_skeleton(const struct pages_map *m, size_t *size_r)
{
	*size_r = m->skeleton_size;
	return m->skeleton;
}

bool pages_map_pack(const struct pages_map *m, size_t i, char id_r[65])
{
	if (i >= m->packs)
		return false;
	hash_hex(m->pack[i].id, id_r);
	return true;
}

void pages_map_mark(const struct pages_map *m, const char id[65], uint8_t *bits)
{
	uint8_t wanted[32];

	if (!hash_parse(id, wanted))
		return;
	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn);
		const struct map_pack *p = ref >= REF_FIRST ? &m->pack[map_pack_of(m, ref)] : NULL;

		if (p && memcmp(p->id, wanted, 32) == 0)
			bits[(ref - p->base) / 8] |= (uint8_t)(1u << (ref - p->base) % 8);
	}
}
