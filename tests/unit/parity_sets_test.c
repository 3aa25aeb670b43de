/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_sets_test - which nodes keep parity of which: every node once, each with the same to do, in different racks
 * wherever that is possible at all, the same for every order of the list; and a job whose nodes are lost and rebuilt.
 */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/parity/sets.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/parity_fixture.h"

#define NODES 200

struct cluster {
	size_t nodes;
	struct sets_node node[NODES];
	char name[NODES][16], rack[NODES][16];
};

enum layout { NO_RACKS, ONE_RACK, IN_TURN, IN_BLOCKS, SKEWED, SOME_UNKNOWN, LAYOUTS };

static void cluster_make(struct cluster *c, size_t nodes, enum layout layout, unsigned racks, uint64_t *seed)
{
	c->nodes = nodes;
	for (size_t i = 0; i < nodes; i++) {
		uint64_t r = fixture_random(seed);
		size_t rack = 0;

		if (layout == IN_TURN)
			rack = i % racks;
		if (layout == IN_BLOCKS)
			rack = i * racks / nodes;
		if (layout == SKEWED || layout == SOME_UNKNOWN)
			rack = r % racks * (r >> 20) % racks;
		snprintf(c->name[i], sizeof(c->name[i]), "n%03zu", i);
		snprintf(c->rack[i], sizeof(c->rack[i]), "r%zu", rack);
		c->node[i].name = c->name[i];
		c->node[i].rack = layout == NO_RACKS || (layout == SOME_UNKNOWN && r % 5 == 0) ? NULL : c->rack[i];
	}
}

static bool together(const struct cluster *c, size_t a, size_t b)
{
	return a == b || (c->node[a].rack && c->node[b].rack && strcmp(c->node[a].rack, c->node[b].rack) == 0);
}

/* Nodes in the rack of the fullest. */
static size_t fullest_rack(const struct cluster *c)
{
	size_t most = 0;

	for (size_t i = 0; i < c->nodes; i++) {
		size_t n = 0;

		for (size_t j = 0; j < c->nodes; j++)
			n += together(c, i, j);
		most = n > most ? n : most;
	}
	return most;
}

/* One code: its shards are on different nodes; returns the most of them in one rack. */
static unsigned code_check(const struct cluster *c, const struct sets *sets, const struct sets_set *set, unsigned code,
			   unsigned *data_r, unsigned *parity_r)
{
	unsigned w = set->k + set->m, most = 0;

	for (unsigned s = 0; s < w; s++) {
		unsigned place = sets_place(set, code, s), beside = 0;

		assert_true(place < set->members);
		for (unsigned other = 0; other < w; other++) {
			unsigned there = sets_place(set, code, other);

			assert_true(s == other || place != there);
			beside += together(c, sets->member[set->first + place], sets->member[set->first + there]);
		}
		most = beside > most ? beside : most;
		if (s < set->k) {
			data_r[place]++;
			assert_int_equal(sets_code(set, place, s), code);
		} else {
			parity_r[place]++;
		}
	}
	return most;
}

static unsigned set_check(const struct cluster *c, const struct sets *sets, const struct sets_set *set, bool *seen)
{
	unsigned data[NODES] = { 0 }, parity[NODES] = { 0 }, most = 1;

	assert_true(set->members >= set->k + set->m);
	assert_int_equal(set->codes, set->members);
	for (unsigned code = 0; code < set->codes; code++) {
		unsigned n = code_check(c, sets, set, code, data, parity);

		most = n > most ? n : most;
	}
	assert_int_equal(most, set->rack_most);
	for (unsigned i = 0; i < set->members; i++) {
		size_t node = sets->member[set->first + i], beside = 0, in_rack = 0;

		assert_true(node < c->nodes);
		assert_false(seen[node]);
		seen[node] = true;
		assert_int_equal(data[i], set->k); /* each of its pieces once: they are different by sets_code() */
		assert_int_equal(parity[i], set->m);
		for (unsigned j = 0; j < set->members; j++)
			beside += together(c, node, sets->member[set->first + j]);
		for (size_t j = 0; j < c->nodes; j++)
			in_rack += together(c, node, j);
		assert_true(beside <= (in_rack + sets->sets - 1) / sets->sets); /* spread over the sets */
	}
	return most;
}

static bool noted(const struct sets *sets, const char *what)
{
	for (unsigned i = 0; i < SETS_NOTES_MAX; i++)
		if (strstr(sets->note[i], what))
			return true;
	return false;
}

static void check(const struct cluster *c, const struct sets *sets, unsigned k, unsigned m)
{
	bool seen[NODES] = { false }, unknown = false, known = false;
	unsigned smallest = UINT_MAX, largest = 0, most = 1;

	for (size_t i = 0; i < sets->sets; i++) {
		const struct sets_set *set = &sets->set[i];
		unsigned n = set_check(c, sets, set, seen);

		most = n > most ? n : most;
		smallest = set->members < smallest ? set->members : smallest;
		largest = set->members > largest ? set->members : largest;
		if (c->nodes >= k + m)
			assert_true(set->k == k && set->m == m);
		else
			assert_true(set->k + set->m == c->nodes && set->m == (m < c->nodes ? m : c->nodes - 1));
	}
	for (size_t i = 0; i < c->nodes; i++) {
		assert_true(seen[i]);
		*(c->node[i].rack ? &known : &unknown) = true;
	}
	assert_true(largest - smallest <= 1);
	assert_int_equal(sets->sets, c->nodes < k + m ? 1 : c->nodes / (k + m));
	/* Different racks exactly when it is possible with an even load. */
	assert_int_equal(most == 1, fullest_rack(c) <= c->nodes / (sets->set[0].k + sets->set[0].m));
	assert_int_equal(noted(sets, "too few racks"), most > 1);
	assert_int_equal(noted(sets, "NOT survived"), most > sets->set[0].m);
	assert_int_equal(noted(sets, "too few for"), c->nodes < k + m);
	assert_int_equal(noted(sets, "not known"), known && unknown);
}

/* The same nodes in another order: the same sets, by name. */
static void order_does_not_matter(const struct cluster *c, const struct sets *sets, unsigned k, unsigned m, uint64_t *seed)
{
	struct sets_node node[NODES];
	struct sets other;
	struct fm_error err;

	memcpy(node, c->node, sizeof(node));
	for (size_t i = c->nodes; i-- > 1;) {
		size_t j = fixture_random(seed) % (i + 1);
		struct sets_node swap = node[i];

		node[i] = node[j];
		node[j] = swap;
	}
	assert_ok(sets_choose(&(struct sets_request){ node, c->nodes, NULL, 0, k, m }, &other, &err), err);
	assert_int_equal(other.sets, sets->sets);
	assert_memory_equal(other.set, sets->set, sets->sets * sizeof(*sets->set));
	assert_memory_equal(other.note, sets->note, sizeof(sets->note));
	for (size_t i = 0; i < c->nodes; i++)
		assert_string_equal(node[other.member[i]].name, c->node[sets->member[i]].name);
	sets_dispose(&other);
}

static void whatever_the_cluster(void **state)
{
	static const unsigned codes[][2] = { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 4, 1 }, { 3, 2 }, { 8, 2 }, { 10, 4 } };
	uint64_t seed = 20261123;
	struct cluster c;

	for (size_t nodes = 2; nodes <= NODES; nodes += nodes < 34 ? 1 : 83)
		for (enum layout layout = 0; layout < LAYOUTS; layout++)
			for (unsigned i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
				unsigned racks = 2 + (unsigned)(fixture_random(&seed) % nodes);
				struct sets sets;
				struct fm_error err;

				cluster_make(&c, nodes, layout, racks, &seed);
				assert_ok(sets_choose(&(struct sets_request){ c.node, nodes, NULL, 0, codes[i][0], codes[i][1] },
						      &sets, &err), err);
				check(&c, &sets, codes[i][0], codes[i][1]);
				order_does_not_matter(&c, &sets, codes[i][0], codes[i][1], &seed);
				sets_dispose(&sets);
			}
}

/* "a b c|d e f": into a static buffer. */
static const char *shown(const struct sets *sets, const struct sets_request *r)
{
	static char text[1024];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sets->sets; i++)
		for (unsigned j = 0; j < sets->set[i].members; j++) {
			size_t n = sets->member[sets->set[i].first + j];

			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", j ? " " : i ? "|" : "",
						 n < r->nodes ? r->node[n].name : r->spare[n - r->nodes].name);
		}
	return text;
}

/* Nodes of two versions of this code must agree: what it gives is part of the contract. */
static void the_choice_stays(void **state)
{
	static const struct sets_node node[] = {
		{ "a1", "A" }, { "a2", "A" }, { "a3", "A" }, { "b1", "B" }, { "b2", "B" }, { "b3", "B" },
		{ "c1", "C" }, { "c2", "C" }, { "c3", "C" }, { "d1", "D" }, { "d2", "D" }, { "e1", NULL },
	};
	static const struct {
		size_t nodes;
		unsigned k, m;
		const char *expected;
	} cases[] = {
		{ 12, 3, 1, "a1 b1 c1 d1|a2 b2 c2 d2|a3 b3 c3 e1" },
		{ 12, 1, 1, "a1 c1|a2 c2|a3 c3|b1 d1|b2 d2|b3 e1" },
		{ 11, 3, 1, "a1 b2 c3 a3 c1 d2|a2 b3 d1 b1 c2" },
		{ 7, 2, 1, "a1 b2 a3 c1|a2 b3 b1" },
		{ 2, 4, 2, "a1 a2" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sets_request r = { node, cases[i].nodes, NULL, 0, cases[i].k, cases[i].m };
		struct sets sets;
		struct fm_error err;

		assert_ok(sets_choose(&r, &sets, &err), err);
		assert_string_equal(shown(&sets, &r), cases[i].expected);
		sets_dispose(&sets);
	}
}

/* ---- one node ---- */

static void a_job_of_one_node(void **state)
{
	static const struct sets_node node = { "a1", "A" };
	static const struct sets_node spare[] = { { "a2", "A" }, { "b1", "B" }, { "b2", "B" }, { "c1", "C" }, { "a1", "A" }, { "b1", "B" } };
	struct sets_request r = { &node, 1, NULL, 0, 4, 2 };
	struct sets sets;
	struct fm_error err;
	const char *text;

	assert_ok(sets_choose(&r, &sets, &err), err);
	assert_int_equal(sets.sets, 0);
	assert_true(noted(&sets, "not survived"));
	sets_dispose(&sets);

	r.spare = spare;
	r.spares = 6;
	assert_ok(sets_choose(&r, &sets, &err), err);
	text = shown(&sets, &r); /* two copies, in B and C */
	if (strcmp(text, "b1 c1 a1") && strcmp(text, "b2 c1 a1") && strcmp(text, "c1 b1 a1") && strcmp(text, "c1 b2 a1"))
		fail_msg("%s", text);
	assert_int_equal(sets.set[0].codes, 1);
	assert_int_equal(sets.set[0].rack_most, 1);
	assert_true(noted(&sets, "2 copies on nodes outside"));
	assert_int_equal(sets_code(&sets.set[0], 2, 0), 0);
	assert_int_equal(sets_code(&sets.set[0], 0, 0), UINT_MAX);
	assert_int_equal(sets_code(&sets.set[0], 1, 0), UINT_MAX);
	assert_int_equal(sets_place(&sets.set[0], 0, 0), 2);
	assert_int_equal(sets_place(&sets.set[0], 0, 1), 0);
	assert_int_equal(sets_place(&sets.set[0], 0, 2), 1);
	sets_dispose(&sets);

	r.spares = 1; /* only one, in the same rack */
	assert_ok(sets_choose(&r, &sets, &err), err);
	assert_string_equal(shown(&sets, &r), "a2 a1");
	assert_int_equal(sets.set[0].rack_most, 2);
	assert_true(noted(&sets, "no other rack"));
	sets_dispose(&sets);
}

/* Many jobs of one node each do not all have the same keeper. */
static void spares_share_the_load(void **state)
{
	unsigned used[10] = { 0 };
	struct cluster c;
	uint64_t seed = 1;

	cluster_make(&c, 10, NO_RACKS, 1, &seed);
	for (unsigned n = 0; n < 1000; n++) {
		FM_AUTO_FREE char *name = fm_format("job%u", n);
		struct sets_node node = { name, NULL };
		struct sets_request r = { &node, 1, c.node, 10, 1, 1 };
		struct sets sets;
		struct fm_error err;

		assert_ok(sets_choose(&r, &sets, &err), err);
		used[sets.member[0] - 1]++;
		sets_dispose(&sets);
	}
	for (unsigned i = 0; i < 10; i++)
		assert_true(used[i] > 50 && used[i] < 200);
}

/* ---- the rest ---- */

static void bad_requests(void **state)
{
	static const struct sets_node node[] = { { "a", NULL }, { "b", NULL }, { "a", "R" } };
	struct sets sets;
	struct fm_error err;

	assert_code(sets_choose(&(struct sets_request){ node, 3, NULL, 0, 1, 1 }, &sets, &err), err, FM_USAGE);
	assert_non_null(strstr(err.text, "node a"));
	assert_code(sets_choose(&(struct sets_request){ node, 0, NULL, 0, 1, 1 }, &sets, &err), err, FM_USAGE);
	assert_code(sets_choose(&(struct sets_request){ node, 2, NULL, 0, 0, 1 }, &sets, &err), err, FM_USAGE);
	assert_code(sets_choose(&(struct sets_request){ node, 2, NULL, 0, 1, 0 }, &sets, &err), err, FM_USAGE);
	assert_code(sets_choose(&(struct sets_request){ node, 2, NULL, 0, PARITY_K_MAX + 1, 1 }, &sets, &err), err, FM_USAGE);
	assert_code(sets_choose(&(struct sets_request){ node, 2, NULL, 0, 1, PARITY_M_MAX + 1 }, &sets, &err), err, FM_USAGE);
}

static void pieces_are_all_of_it(void **state)
{
	static const uint64_t lengths[] = { 0, 1, 4095, 4096, 4097, 40960, 40961, 1000003, (uint64_t)1 << 40 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (unsigned k = 1; k <= PARITY_K_MAX; k++) {
			uint64_t next = 0, longest = 0;

			for (unsigned p = 0; p < k; p++) {
				uint64_t offset, length;

				sets_piece(lengths[i], k, p, &offset, &length);
				assert_int_equal(offset, next);
				assert_true(offset % 4096 == 0 || offset == lengths[i]);
				next += length;
				longest = length > longest ? length : longest;
			}
			assert_int_equal(next, lengths[i]);
			assert_true(longest < lengths[i] / k + 4096 + 4096);
		}
}

/* ---- nodes are lost ---- */

#define GROUP 7u
struct group {
	struct sets sets;
	struct memory file[GROUP];          /* by place in the ring */
	struct memory parity[GROUP][3];     /* by code */
	struct parity_made made[GROUP];
};

/* Shard s of a code as a source: a piece of a member's file, or parity. */
static struct parity_source shard_source(struct group *g, unsigned code, unsigned s, struct memory *piece)
{
	const struct sets_set *set = &g->sets.set[0];
	const struct memory *file = &g->file[sets_place(set, code, s)];
	uint64_t offset, length;

	if (s >= set->k)
		return memory_source(&g->parity[code][s - set->k]);
	sets_piece(file->size, set->k, s, &offset, &length);
	*piece = (struct memory){ .data = file->data + offset, .size = length };
	snprintf(piece->name, sizeof(piece->name), "%.48s[%u]", file->name, s);
	return memory_source(piece);
}

static void group_make(struct group *g)
{
	const struct sets_set *set = &g->sets.set[0];

	for (unsigned code = 0; code < set->codes; code++) {
		struct memory piece[3];
		struct parity_source source[3];
		struct parity_sink sink[3];
		struct parity_data data[3];
		struct fm_error err;

		for (unsigned s = 0; s < set->k; s++) {
			source[s] = shard_source(g, code, s, &piece[s]);
			data[s] = (struct parity_data){ piece[s].name, 0, piece[s].size, NULL };
		}
		for (unsigned i = 0; i < set->m; i++) {
			snprintf(g->parity[code][i].name, sizeof(g->parity[code][i].name), "code %u parity %u", code, i);
			sink[i] = memory_sink(&g->parity[code][i]);
		}
		assert_ok(parity_make(&(struct parity_spec){ set->k, set->m, 4096, data }, source, sink, NULL, &g->made[code], &err), err);
	}
}

/* As the job's manifest would say it: both parity shards of a code may be lost. */
static void known_of(struct group *g, unsigned code, struct parity_about *about_r)
{
	static struct memory piece[3];

	memcpy(about_r->id, g->made[code].id, sizeof(about_r->id));
	about_r->stripe = 4096;
	for (unsigned s = 0; s < g->sets.set[0].k; s++) {
		shard_source(g, code, s, &piece[s]);
		about_r->data[s].name = piece[s].name;
		about_r->data[s].offset = 0;
		about_r->data[s].length = piece[s].size;
		memcpy(about_r->data[s].sha256, g->made[code].data_sha256[s], 65);
	}
}

/* All that was on the nodes at these places, code by code. */
static void group_rebuild(struct group *g, unsigned lost)
{
	const struct sets_set *set = &g->sets.set[0];

	for (unsigned code = 0; code < set->codes; code++) {
		struct memory piece[6], result[6] = { 0 };
		struct parity_source source[6];
		struct parity_sink sink[6];
		const struct parity_source *sources[6];
		const struct parity_sink *sinks[6];
		static struct parity_about known;
		struct parity_report report;
		struct fm_error err;

		known_of(g, code, &known);
		for (unsigned s = 0; s < set->k + set->m; s++) {
			bool gone = lost >> sets_place(set, code, s) & 1;

			source[s] = shard_source(g, code, s, &piece[s]);
			sink[s] = memory_sink(&result[s]);
			sources[s] = gone ? NULL : &source[s];
			sinks[s] = gone ? &sink[s] : NULL;
		}
		assert_ok(parity_rebuild(&(struct parity_shards){ set->k, set->m, NULL, &known, sources }, sinks, NULL,
					 &report, &err), err);
		for (unsigned s = 0; s < set->k + set->m; s++) {
			const struct memory *was = source[s].arg;

			if (sinks[s]) {
				assert_int_equal(result[s].size, was->size);
				if (was->size > 0)
					assert_memory_equal(result[s].data, was->data, was->size);
			}
			memory_dispose(&result[s]);
		}
	}
}

/* Seven nodes in sets of 3 + 2: a ring that is longer than a code. Any two may be lost. */
static void any_two_nodes_are_lost(void **state)
{
	static const struct sets_node node[GROUP] = { { "a", "1" }, { "b", "2" }, { "c", "3" }, { "d", "4" }, { "e", "5" }, { "f", "6" }, { "g", "7" } };
	struct group g = { .file = { { .name = "" } } };
	struct fm_error err;

	assert_ok(sets_choose(&(struct sets_request){ node, GROUP, NULL, 0, 3, 2 }, &g.sets, &err), err);
	assert_int_equal(g.sets.set[0].codes, GROUP);
	for (unsigned i = 0; i < GROUP; i++) {
		size_t size = i == 2 ? 0 : 9000 * i + 17;
		FM_AUTO_FREE unsigned char *bytes = malloc(size + 8);

		fixture_bytes(bytes, size, 40 + i);
		memory_set(&g.file[i], bytes, size);
		snprintf(g.file[i].name, sizeof(g.file[i].name), "%s", node[g.sets.member[i]].name);
	}
	group_make(&g);
	for (unsigned lost = 0; lost < 1u << GROUP; lost++)
		if (__builtin_popcount(lost) <= 2)
			group_rebuild(&g, lost);
	for (unsigned i = 0; i < GROUP; i++) {
		memory_dispose(&g.file[i]);
		for (unsigned j = 0; j < 2; j++)
			memory_dispose(&g.parity[i][j]);
	}
	sets_dispose(&g.sets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_cluster),
		cmocka_unit_test(the_choice_stays),
		cmocka_unit_test(a_job_of_one_node),
		cmocka_unit_test(spares_share_the_load),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(pieces_are_all_of_it),
		cmocka_unit_test(any_two_nodes_are_lost),
	};

	return cmocka_run_group_tests_name("parity sets", tests, NULL, NULL);
}
