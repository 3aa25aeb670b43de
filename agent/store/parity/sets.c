/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sets.c - see sets.h. */
#include "config.h"

#include "agent/store/parity/sets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "agent/store/parity/parity.h"
#include "common/cleanup.h"

struct candidate {
	size_t number; /* of the request's node or spare */
	const char *name, *rack; /* rack NULL: of its own */
	bool beside;       /* a spare: in the node's own rack … */
	uint64_t order;    /* … and when its turn is, among equals */
};

static const char *rack_of(const struct sets_node *node)
{
	return node->rack && *node->rack ? node->rack : NULL;
}

static bool same_rack(const struct candidate *a, const struct candidate *b)
{
	return a == b || (a->rack && b->rack && strcmp(a->rack, b->rack) == 0);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct candidate *)a)->name, ((const struct candidate *)b)->name);
}

/* Nodes of one rack behind each other, then by name. Those without one at the end: all are racks of one. */
static int by_rack(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (!x->rack != !y->rack)
		return x->rack ? -1 : 1;
	if (x->rack && strcmp(x->rack, y->rack) != 0)
		return strcmp(x->rack, y->rack);
	return by_name(a, b);
}

/* Of nodes in that order. */
static size_t fullest_rack(const struct candidate *c, size_t count)
{
	size_t most = 1, run = 1;

	for (size_t i = 1; i < count; i++) {
		run = same_rack(&c[i - 1], &c[i]) ? run + 1 : 1;
		most = run > most ? run : most;
	}
	return most;
}

static struct candidate *candidates(const struct sets_request *r, struct fm_error *err)
{
	FM_AUTO_FREE struct candidate *c = calloc(r->nodes, sizeof(*c));

	if (!c) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < r->nodes; i++)
		c[i] = (struct candidate){ .number = i, .name = r->node[i].name, .rack = rack_of(&r->node[i]) };
	qsort(c, r->nodes, sizeof(*c), by_name);
	for (size_t i = 1; i < r->nodes; i++)
		if (strcmp(c[i - 1].name, c[i].name) == 0) {
			fm_fail(err, FM_USAGE, "node %s is in the list twice", c[i].name);
			return NULL;
		}
	qsort(c, r->nodes, sizeof(*c), by_rack);
	return fm_steal_ptr(&c);
}

static void note(struct sets *sets, const char *text)
{
	for (unsigned i = 0; i < SETS_NOTES_MAX; i++)
		if (!*sets->note[i]) {
			snprintf(sets->note[i], sizeof(sets->note[i]), "%s", text);
			return;
		}
}

/*
 * Set s's members, every sets-th of those in the racks' order, into its ring: those of one rack as far from each other
 * as can be. Dealt to as many rows as the set has of its fullest rack, then row by row.
 */
static void ring(const struct candidate *c, size_t count, size_t sets, size_t s, size_t *member_r)
{
	size_t rows = 1, run = 1, at = 0, members = (count - s + sets - 1) / sets;

	for (size_t i = 1; i < members; i++) {
		run = same_rack(&c[s + (i - 1) * sets], &c[s + i * sets]) ? run + 1 : 1;
		rows = run > rows ? run : rows;
	}
	for (size_t row = 0; row < rows; row++)
		for (size_t i = row; i < members; i += rows)
			member_r[at++] = s + i * sets; /* the candidate; the caller makes the node of it */
}

/* member: candidates yet. */
static unsigned rack_most(const struct candidate *c, const struct sets_set *set, const size_t *member)
{
	unsigned most = 1, w = set->k + set->m;

	/* Of the windows of w places that have most of a rack, one begins with a member of it. */
	for (unsigned i = 0; i < set->members; i++) {
		unsigned n = 1;

		for (unsigned j = i + 1; j < i + w; j++)
			n += same_rack(&c[member[i]], &c[member[j % set->members]]);
		most = n > most ? n : most;
	}
	return most;
}

static void notes_racks(struct sets *sets, const struct candidate *c, size_t count)
{
	unsigned most = 1, k = sets->set[0].k, m = sets->set[0].m;
	size_t unknown = 0, fits = count / fullest_rack(c, count);
	char text[256], better[100] = "";

	for (size_t i = 0; i < count; i++)
		unknown += !c[i].rack;
	for (size_t i = 0; i < sets->sets; i++)
		most = sets->set[i].rack_most > most ? sets->set[i].rack_most : most;
	if (unknown > 0 && unknown < count) {
		snprintf(text, sizeof(text), "the rack of %zu of %zu nodes is not known: they count as in racks of their own",
			 unknown, count);
		note(sets, text);
	}
	if (most < 2)
		return;
	if (fits > m)
		snprintf(better, sizeof(better), "; with %zu data shards instead of %u all would be in different racks",
			 fits - m, k);
	snprintf(text, sizeof(text), "too few racks for sets of %u data and %u parity shards: up to %u of a set are in one rack, whose loss is %s%s",
		 k, m, most, most <= m ? "survived all the same" : "NOT survived", better);
	note(sets, text);
}

static int allocate(struct sets *sets, size_t count, size_t members, struct fm_error *err)
{
	sets->set = calloc(count, sizeof(*sets->set));
	sets->member = calloc(members, sizeof(*sets->member));
	if (!sets->set || !sets->member)
		return fm_fail(err, FM_FAILED, "out of memory");
	sets->sets = count;
	return 0;
}

static int choose_inside(const struct sets_request *r, const struct candidate *c, struct sets *sets,
			 struct fm_error *err)
{
	unsigned m = r->m < r->nodes ? r->m : (unsigned)r->nodes - 1;
	unsigned k = r->k + m <= r->nodes ? r->k : (unsigned)r->nodes - m;
	size_t count = r->nodes / (k + m), first = 0;
	char text[256];

	if (allocate(sets, count, r->nodes, err) < 0)
		return -1;
	if (k != r->k || m != r->m) {
		snprintf(text, sizeof(text), "%zu nodes are too few for %u data and %u parity shards: %u and %u it is, any %u may be lost",
			 r->nodes, r->k, r->m, k, m, m);
		note(sets, text);
	}
	for (size_t s = 0; s < count; s++) {
		struct sets_set *set = &sets->set[s];
		unsigned members = (unsigned)((r->nodes - s + count - 1) / count);

		*set = (struct sets_set){ .k = k, .m = m, .members = members, .codes = members, .first = first };
		ring(c, r->nodes, count, s, sets->member + first);
		set->rack_most = rack_most(c, set, sets->member + first);
		first += members;
	}
	notes_racks(sets, c, r->nodes);
	for (size_t i = 0; i < r->nodes; i++)
		sets->member[i] = c[sets->member[i]].number;
	return 0;
}

/* Those in other racks first; among them by a hash of both names, so that many such jobs spread over all spares. */
static int by_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->beside != y->beside)
		return x->beside ? 1 : -1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return by_name(a, b);
}

/* The first `wanted` of c in different racks, too, as far as that leaves them outside the node's own. */
static void spread(struct candidate *c, size_t count, size_t wanted)
{
	for (size_t i = 1; i < wanted && i < count; i++)
		for (size_t j = i; j < count; j++) {
			bool used = false;

			for (size_t before = 0; before < i; before++)
				used |= same_rack(&c[before], &c[j]);
			if (!used && c[j].beside == c[i].beside) {
				struct candidate next = c[j];

				memmove(&c[i + 1], &c[i], (j - i) * sizeof(*c));
				c[i] = next;
				break;
			}
		}
}

static void note_outside(const struct sets_request *r, const struct candidate *c, unsigned m, struct sets *sets)
{
	char text[256];
	unsigned beside = 0;

	for (unsigned i = 0; i < m; i++)
		beside += c[i].beside;
	snprintf(text, sizeof(text), "the job has one node: %u %s outside of it instead of %u data and %u parity shards",
		 m, m == 1 ? "copy on a node" : "copies on nodes", r->k, r->m);
	note(sets, text);
	if (beside > 0) {
		snprintf(text, sizeof(text), "no other rack for %u of the copies: %s is in %s's, too", beside,
			 c[m - 1].name, r->node[0].name);
		note(sets, text);
	}
}

/* The spares that may be taken, the best first; the node itself may be among them. */
static size_t spares(const struct sets_request *r, const struct candidate *self, struct candidate *c_r)
{
	uint64_t seed = XXH3_64bits(self->name, strlen(self->name));
	size_t count = 0, different = 0;

	for (size_t i = 0; i < r->spares; i++) {
		struct candidate *c = &c_r[count];

		*c = (struct candidate){ .number = i, .name = r->spare[i].name, .rack = rack_of(&r->spare[i]) };
		c->beside = same_rack(c, self);
		c->order = XXH3_64bits_withSeed(c->name, strlen(c->name), seed);
		count += strcmp(c->name, self->name) != 0;
	}
	qsort(c_r, count, sizeof(*c_r), by_name);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(c_r[different - 1].name, c_r[i].name) != 0)
			c_r[different++] = c_r[i];
	qsort(c_r, different, sizeof(*c_r), by_order);
	return different;
}

/* One node, copies elsewhere. */
static int choose_outside(const struct sets_request *r, struct sets *sets, struct fm_error *err)
{
	FM_AUTO_FREE struct candidate *c = calloc(r->spares + 1, sizeof(*c));
	struct candidate self = { .name = r->node[0].name, .rack = rack_of(&r->node[0]) };
	size_t count;
	unsigned m;

	if (!c)
		return fm_fail(err, FM_FAILED, "out of memory");
	count = spares(r, &self, c);
	if (count == 0) {
		note(sets, "the job has one node, and there is none outside of it to keep a copy: on this level its loss is not survived");
		return 0;
	}
	m = r->m < count ? r->m : (unsigned)count;
	spread(c, count, m);
	if (allocate(sets, 1, m + 1, err) < 0)
		return -1;
	sets->set[0] = (struct sets_set){ .k = 1, .m = m, .members = m + 1, .codes = 1 };
	for (unsigned i = 0; i < m; i++)
		sets->member[i] = i;
	c[count] = self;
	sets->member[m] = count;
	sets->set[0].rack_most = rack_most(c, &sets->set[0], sets->member);
	for (unsigned i = 0; i < m; i++)
		sets->member[i] = r->nodes + c[i].number;
	sets->member[m] = 0;
	note_outside(r, c, m, sets);
	return 0;
}

int sets_choose(const struct sets_request *r, struct sets *sets_r, struct fm_error *err)
{
	FM_AUTO_FREE struct candidate *c = NULL;
	int rc;

	memset(sets_r, 0, sizeof(*sets_r));
	if (r->nodes < 1 || r->nodes > SETS_NODES_MAX || r->spares > SETS_NODES_MAX)
		return fm_fail(err, FM_USAGE, "%zu nodes: 1 to %u are possible", r->nodes, SETS_NODES_MAX);
	if (r->k < 1 || r->k > PARITY_K_MAX || r->m < 1 || r->m > PARITY_M_MAX)
		return fm_fail(err, FM_USAGE, "%u data and %u parity shards: 1 to %u and 1 to %u are possible", r->k, r->m,
			       PARITY_K_MAX, PARITY_M_MAX);
	c = candidates(r, err);
	if (!c)
		return -1;
	rc = r->nodes == 1 ? choose_outside(r, sets_r, err) : choose_inside(r, c, sets_r, err);
	if (rc < 0)
		sets_dispose(sets_r);
	return rc;
}

void sets_dispose(struct sets *sets)
{
	free(sets->set);
	free(sets->member);
	sets->set = NULL;
	sets->member = NULL;
	sets->sets = 0;
}

unsigned sets_place(const struct sets_set *set, unsigned c, unsigned s)
{
	/* Data shard s stands behind the parity. */
	return (c + (s < set->k ? set->m + s : s - set->k)) % set->members;
}

unsigned sets_code(const struct sets_set *set, unsigned place, unsigned p)
{
	unsigned c = (place + 2 * set->members - set->m - p) % set->members;

	return c < set->codes ? c : UINT_MAX;
}

void sets_piece(uint64_t length, unsigned k, unsigned p, uint64_t *offset_r, uint64_t *length_r)
{
	uint64_t pages = length / 4096 + (length % 4096 != 0), each = (pages / k + (pages % k != 0)) * 4096;
	uint64_t begin = p * each < length ? p * each : length, end = begin + each < length ? begin + each : length;

	*offset_r = begin;
	*length_r = end - begin;
}
