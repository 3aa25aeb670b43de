/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listing.c - see listing.h. */
#include "config.h"

#include "agent/store/copies/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(void *arg, const char *name, uint64_t bytes)
{
	struct listing *l = arg;
	struct listing_object *bigger;

	if (l->count == l->room) {
		bigger = reallocarray(l->object, 2 * l->room + 64, sizeof(*bigger));
		if (!bigger)
			return -1;
		l->object = bigger;
		l->room = 2 * l->room + 64;
	}
	l->object[l->count] = (struct listing_object){ strdup(name), bytes };
	return l->object[l->count].name ? (l->count++, 0) : -1;
}

/* Not to be ended by whoever is told: then memory was short. */
struct telling {
	struct listing *listing;
	bool short_of_memory;
};

static int each(void *arg, const char *name, uint64_t bytes)
{
	struct telling *t = arg;

	t->short_of_memory = add(t->listing, name, bytes) < 0;
	return t->short_of_memory;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct listing_object *)a)->name, ((const struct listing_object *)b)->name);
}

int listing_read(struct listing *l, struct level *level, const char *prefix, struct fm_error *err)
{
	struct telling t = { .listing = l };

	memset(l, 0, sizeof(*l));
	if (level_list(level, prefix, each, &t, err) < 0) {
		if (err->code == FM_NOT_FOUND) /* the place is not there: what is in it is not known */
			err->code = FM_FAILED;
		return -1;
	}
	if (t.short_of_memory)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (l->count)
		qsort(l->object, l->count, sizeof(*l->object), compare);
	return 0;
}

void listing_dispose(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->object[i].name);
	free(l->object);
	memset(l, 0, sizeof(*l));
}

size_t listing_first(const struct listing *l, const char *prefix)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(l->object[middle].name, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < l->count && !strncmp(l->object[low].name, prefix, strlen(prefix)) ? low : l->count;
}

const struct listing_object *listing_find(const struct listing *l, const char *name)
{
	size_t at = listing_first(l, name);

	return at < l->count && !strcmp(l->object[at].name, name) ? &l->object[at] : NULL;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int listing_numbers(const struct listing *l, uint32_t job, const char *name, struct folder_numbers *numbers_r,
		    struct fm_error *err)
{
	memset(numbers_r, 0, sizeof(*numbers_r));
	numbers_r->values = calloc(l->count + 1, sizeof(*numbers_r->values));
	if (!numbers_r->values)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < l->count; i++) {
		uint32_t of, n;
		int at = 0;
		char text[32];

		if (sscanf(l->object[i].name, "%" SCNu32 "/%" SCNu32 "/%n", &of, &n, &at) != 2 || !at || of != job || !n ||
		    strcmp(l->object[i].name + at, name))
			continue;
		snprintf(text, sizeof(text), "%" PRIu32 "/%" PRIu32 "/", of, n); /* "07/3/" is not ours */
		if (!strncmp(l->object[i].name, text, strlen(text)))
			numbers_r->values[numbers_r->count++] = n;
	}
	if (numbers_r->count)
		qsort(numbers_r->values, numbers_r->count, sizeof(uint32_t), compare_numbers);
	return 0;
}
