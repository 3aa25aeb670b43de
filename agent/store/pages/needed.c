/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * needed.c - what maps need of the packs there are: the mark of a mark-and-sweep.
 *
 * A bit for each slot of each pack. A page that two packs have is needed where a map says, in both if two maps say so.
 * Where a map's slot is absent from its pack (an earlier sweep's work, when nobody needed it) a reader looks for the
 * page's hash in the others; so all of those keep it, or none could go without thinking of the rest.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/map.h"
#include "agent/store/pages/needed_private.h"

static int add_damaged(void *data, const uint8_t id[32])
{
	struct pages_needed *n = data;
	uint8_t(*bigger)[32];

	if (store_index(n->store, id) >= 0)
		return 0;
	bigger = realloc(n->damaged, (n->damages + 1) * sizeof(*bigger));
	if (!bigger)
		return -1;
	n->damaged = bigger;
	memcpy(n->damaged[n->damages++], id, 32);
	return 0;
}

struct pages_needed *pages_needed_create(struct pages_store *s, struct fm_error *err)
{
	struct pages_needed *n;

	if (pages_store_scan(s, err) < 0)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		goto no_memory;
	n->store = s;
	n->bits = calloc(s->packs + 1, sizeof(*n->bits));
	n->named = calloc(s->packs + 1, sizeof(*n->named));
	if (!n->bits || !n->named)
		goto no_memory;
	for (size_t i = 0; i < s->packs; i++)
		if (!(n->bits[i] = calloc(s->pack[i]->slots / 8 + 1, 1)))
			goto no_memory;
	err->code = FM_OK;
	if (s->found.damaged > 0 && store_each(s->dir, add_damaged, n, NULL, err) < 0) {
		if (err->code == FM_OK)
			goto no_memory;
		pages_needed_destroy(n);
		return NULL;
	}
	n->damaged_named = calloc(n->damages + 1, sizeof(*n->damaged_named));
	if (n->damaged_named)
		return n;
no_memory:
	pages_needed_destroy(n);
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

void pages_needed_destroy(struct pages_needed *n)
{
	if (!n)
		return;
	for (size_t i = 0; n->bits && i < n->store->packs; i++)
		free(n->bits[i]);
	free(n->bits);
	free(n->named);
	free(n->damaged);
	free(n->damaged_named);
	free(n);
}

static void name_damaged(struct pages_needed *n, const uint8_t id[32])
{
	for (size_t i = 0; i < n->damages; i++)
		if (memcmp(n->damaged[i], id, 32) == 0)
			n->damaged_named[i] = true;
}

int pages_needed_map(struct pages_needed *n, const struct pages_map *m, struct fm_error *err)
{
	long *pack;

	if (m->job != n->store->job)
		return fm_fail(err, FM_USAGE, "%s: a map of job %u where one of %u is needed", n->store->dir, m->job,
			       n->store->job);
	pack = calloc(m->packs + 1, sizeof(*pack));
	if (!pack)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < m->packs; i++) {
		pack[i] = store_index(n->store, m->pack[i].id);
		if (pack[i] >= 0 && n->store->pack[pack[i]]->slots != m->pack[i].slots)
			pack[i] = -1; /* an id covers their number: the map is not ours to understand */
		if (pack[i] >= 0)
			n->named[pack[i]] = true;
		else
			name_damaged(n, m->pack[i].id);
	}
	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn), slot;
		size_t p;

		if (ref < REF_FIRST)
			continue;
		p = map_pack_of(m, ref);
		slot = ref - m->pack[p].base;
		if (pack[p] >= 0)
			n->bits[pack[p]][slot / 8] |= (uint8_t)(1u << slot % 8);
	}
	free(pack);
	return 0;
}

/* Wherever the page is, it is needed there. */
static void need_elsewhere(struct pages_needed *n, const uint8_t hash[32])
{
	for (size_t i = 0; i < n->store->packs; i++) {
		long slot = pack_find(n->store->pack[i], hash);

		if (slot >= 0)
			n->bits[i][slot / 8] |= (uint8_t)(1u << slot % 8);
	}
}

void pages_needed_settle(struct pages_needed *n)
{
	for (size_t i = 0; i < n->store->packs; i++) {
		const struct pack *p = n->store->pack[i];

		if (p->present == p->slots)
			continue;
		for (uint32_t slot = 0; slot < p->slots; slot++)
			if (p->location[slot] == DISK_ABSENT && needed_bit(n, i, slot))
				need_elsewhere(n, p->hash[slot]);
	}
}

bool needed_is_hot(const struct pack *p)
{
	for (uint32_t f = 0; f < p->frames; f++)
		if (p->frame[f].codec == PAGES_LZ4)
			return true;
	return false;
}

static uint64_t frame_bytes(const struct pack *p)
{
	uint64_t bytes = 0;

	for (uint32_t f = 0; f < p->frames; f++)
		bytes += sizeof(struct disk_frame_header) + p->frame[f].stored;
	return bytes;
}

bool pages_needed_pack(const struct pages_needed *n, size_t i, struct pages_needed_pack *pack_r)
{
	const struct pack *p;

	memset(pack_r, 0, sizeof(*pack_r));
	if (i >= n->store->packs) {
		i -= n->store->packs;
		if (i >= n->damages)
			return false;
		hash_hex(n->damaged[i], pack_r->id);
		pack_r->damaged = true;
		pack_r->named = n->damaged_named[i];
		return true;
	}
	p = n->store->pack[i];
	hash_hex(p->id, pack_r->id);
	pack_r->named = n->named[i];
	pack_r->present = p->present;
	pack_r->bytes = p->bytes;
	pack_r->frame_bytes = frame_bytes(p);
	pack_r->keep = n->bits[i];
	pack_r->hot = needed_is_hot(p);
	for (uint32_t slot = 0; slot < p->slots; slot++)
		pack_r->needed += p->location[slot] != DISK_ABSENT && needed_bit(n, i, slot);
	return true;
}
