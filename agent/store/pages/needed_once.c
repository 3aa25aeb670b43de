/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * needed_once.c - of a page that several packs have, one copy is enough.
 *
 * Which one stays: that of a pack which has been through the later pass, so that it need not be written again; else of
 * the first pack. Nothing goes for the sake of a copy that nobody has looked at: what is to stay instead of others is
 * read and hashed first, and where that fails all its copies stay.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/pages/needed_private.h"

struct copy {
	uint64_t begin; /* of its hash */
	uint32_t order; /* of its pack: which is to stay */
	uint32_t pack, slot;
};

struct once {
	struct pages_needed *needed;
	struct copy *copy;
	size_t count;
	uint8_t **stays; /* of each pack, a bit a slot: a page that others' copies go for; NULL: none */
	bool *bad;       /* of each pack: not to be relied on */
};

static int copy_compare(const void *a, const void *b)
{
	const struct copy *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int copies_make(struct once *o, struct fm_error *err)
{
	const struct pages_store *s = o->needed->store;
	size_t room = 0;

	for (size_t i = 0; i < s->packs; i++)
		room += s->pack[i]->present;
	o->copy = malloc((room + 1) * sizeof(*o->copy));
	if (!o->copy)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < s->packs; i++) {
		const struct pack *p = s->pack[i];
		uint32_t order = (uint32_t)i + (needed_is_hot(p) ? UINT32_C(1) << 31 : 0);

		for (uint32_t slot = 0; slot < p->slots; slot++) {
			if (p->location[slot] == DISK_ABSENT || !needed_bit(o->needed, i, slot))
				continue;
			o->copy[o->count] = (struct copy){ .order = order, .pack = (uint32_t)i, .slot = slot };
			memcpy(&o->copy[o->count++].begin, p->hash[slot], sizeof(o->copy->begin));
		}
	}
	qsort(o->copy, o->count, sizeof(*o->copy), copy_compare);
	return 0;
}

static const uint8_t *hash_of(const struct once *o, const struct copy *c)
{
	return o->needed->store->pack[c->pack]->hash[c->slot];
}

/* `other` is the same page as `stays`, which comes before it. */
typedef int (*pair_fn)(struct once *o, const struct copy *stays, const struct copy *other, struct fm_error *err);

static int each_pair(struct once *o, pair_fn each, struct fm_error *err)
{
	for (size_t from = 0, i = 1; i < o->count; i++) {
		if (o->copy[i].begin != o->copy[from].begin)
			from = i;
		for (size_t k = from; k < i; k++) {
			if (memcmp(hash_of(o, &o->copy[k]), hash_of(o, &o->copy[i]), 32) != 0)
				continue;
			if (each(o, &o->copy[k], &o->copy[i], err) < 0)
				return -1;
			break;
		}
	}
	return 0;
}

static int note(struct once *o, const struct copy *stays, const struct copy *other, struct fm_error *err)
{
	uint8_t **bits = &o->stays[stays->pack];

	(void)other;
	if (!*bits)
		*bits = calloc(o->needed->store->pack[stays->pack]->slots / 8 + 1, 1);
	if (!*bits)
		return fm_fail(err, FM_FAILED, "out of memory");
	(*bits)[stays->slot / 8] |= (uint8_t)(1u << stays->slot % 8);
	return 0;
}

static int drop(struct once *o, const struct copy *stays, const struct copy *other, struct fm_error *err)
{
	(void)err;
	if (!o->bad[stays->pack])
		o->needed->bits[other->pack][other->slot / 8] &= (uint8_t)~(1u << other->slot % 8);
	return 0;
}

static int look(struct once *o, struct fm_error *err)
{
	struct pages_store *s = o->needed->store;

	for (size_t i = 0; i < s->packs; i++) {
		if (!o->stays[i] || pack_check_slots(s, s->pack[i], o->stays[i], err) == 0)
			continue;
		if (err->code == FM_BUSY)
			return -1;
		o->bad[i] = true; /* a sweep that writes it anew, or a verify, will say so */
	}
	return 0;
}

int pages_needed_once(struct pages_needed *n, struct fm_error *err)
{
	struct once o = { .needed = n };
	size_t packs = n->store->packs;
	int rc = -1;

	o.stays = calloc(packs + 1, sizeof(*o.stays));
	o.bad = calloc(packs + 1, sizeof(*o.bad));
	if (!o.stays || !o.bad)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (copies_make(&o, err) == 0 && each_pair(&o, note, err) == 0 && look(&o, err) == 0)
		rc = each_pair(&o, drop, err);
	for (size_t i = 0; o.stays && i < packs; i++)
		free(o.stays[i]);
	free(o.stays);
	free(o.bad);
	free(o.copy);
	return rc;
}
