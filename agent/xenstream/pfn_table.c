/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pfn_table.c - see pfn_table.h. */
#include "config.h"

#include "agent/xenstream/pfn_table.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

void pfn_table_init(struct pfn_table *t, size_t most)
{
	*t = (struct pfn_table){ .most = most };
}

void pfn_table_dispose(struct pfn_table *t)
{
	for (size_t i = 0; i < t->size; i++)
		free(t->slots[i]);
	free(t->slots);
	*t = (struct pfn_table){ 0 };
}

/* Where number is, or belongs. The table is never full. Fibonacci hashing. */
static size_t slot_of(struct pfn_leaf *const *slots, size_t size, uint64_t number)
{
	size_t i = (size_t)((number * 0x9e3779b97f4a7c15u) >> 32) & (size - 1);

	while (slots[i] && slots[i]->number != number)
		i = (i + 1) & (size - 1);
	return i;
}

static bool grow(struct pfn_table *t)
{
	size_t size = t->size ? t->size * 2 : FIRST_SIZE;
	struct pfn_leaf **slots = calloc(size, sizeof(struct pfn_leaf *));

	if (!slots)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (t->slots[i])
			slots[slot_of(slots, size, t->slots[i]->number)] = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->size = size;
	return true;
}

struct pfn_leaf *pfn_table_find(struct pfn_table *t, uint64_t pfn)
{
	uint64_t number = pfn >> PFN_LEAF_BITS;
	struct pfn_leaf *leaf;

	if (t->last && t->last->number == number)
		return t->last;
	leaf = t->size ? t->slots[slot_of(t->slots, t->size, number)] : NULL;
	if (leaf)
		t->last = leaf;
	return leaf;
}

struct pfn_leaf *pfn_table_need(struct pfn_table *t, uint64_t pfn, bool *full_r)
{
	struct pfn_leaf *leaf = pfn_table_find(t, pfn);

	*full_r = !leaf && t->used == t->most;
	if (leaf || *full_r || (t->used * 2 >= t->size && !grow(t)))
		return leaf;
	leaf = malloc(sizeof(*leaf));
	if (!leaf)
		return NULL;
	leaf->number = pfn >> PFN_LEAF_BITS;
	memset(leaf->state, PFN_STATE_NEW, sizeof(leaf->state));
	t->slots[slot_of(t->slots, t->size, leaf->number)] = leaf;
	t->used++;
	t->last = leaf;
	return leaf;
}

static int by_number(const void *a, const void *b)
{
	const struct pfn_leaf *const *x = a, *const *y = b;

	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

struct pfn_leaf **pfn_table_sorted(const struct pfn_table *t)
{
	struct pfn_leaf **list = calloc(t->used + 1, sizeof(struct pfn_leaf *));
	size_t n = 0;

	for (size_t i = 0; list && i < t->size; i++)
		if (t->slots[i])
			list[n++] = t->slots[i];
	if (list)
		qsort(list, n, sizeof(struct pfn_leaf *), by_number);
	return list;
}
