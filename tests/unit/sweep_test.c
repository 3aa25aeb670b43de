/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep_test - a sweep removes what no map needs, all of it, and nothing else. Beside others: sweep_beside_test. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

static const struct sweep_options defaults;

/* ---- any life ---------------------------------------------------------------------------- */

struct tally {
	unsigned sweeps, removed, rewritten;
};

static void sweep_and_look(const struct sweep_world *w, unsigned share, const char *when, struct tally *tally)
{
	const struct sweep_options o = { .share = share };
	struct sweep_result dry, r;
	struct fm_error err;

	assert_ok(store_sweep(w->store, JOB, &(struct sweep_options){ .share = share, .dry_run = true }, &dry, &err), err);
	if (store_sweep(w->store, JOB, &o, &r, &err) < 0)
		fail_msg("%s: %s", when, err.text);
	assert_int_equal(dry.removed, r.removed);
	assert_int_equal(dry.rewritten, r.rewritten);
	assert_int_equal(r.damaged, 0);
	assert_false(r.given_way);
	assert_true(r.freed <= r.bytes);
	sweep_world_assert_whole(w, when);
	sweep_world_assert_tidy(w, share);
	assert_ok(store_sweep(w->store, JOB, &o, &r, &err), err); /* it was all that is to be done */
	assert_int_equal(r.removed + r.rewritten, 0);
	tally->sweeps++;
	tally->removed += (unsigned)dry.removed;
	tally->rewritten += (unsigned)dry.rewritten;
}

static uint32_t newest_whole(const struct sweep_world *w)
{
	uint32_t numbers[64];

	for (size_t i = sweep_world_numbers(w, numbers, 64); i-- > 0;) {
		FM_AUTO_FREE char *manifest = sweep_world_path(w, numbers[i], "manifest.json");

		if (access(manifest, F_OK) == 0)
			return numbers[i];
	}
	return 0;
}

/* Snapshots made and removed in any order; some are never finished. */
static void live(uint64_t seed, struct tally *tally)
{
	static const unsigned shares[] = { 50, 100, 1, 80 };
	uint64_t random = seed;
	struct sweep_world w;
	uint32_t last = 0, unfinished;

	sweep_world_make(&w);
	for (unsigned step = 0; step < 16; step++) {
		FM_AUTO_FREE char *when = fm_format("seed %u, step %u", (unsigned)seed, step);
		uint32_t numbers[64];
		size_t count = sweep_world_numbers(&w, numbers, 64);
		uint64_t dice = sweep_world_random(&random) % 10;
		struct fm_error err;

		if (count == 0 || dice < 4) {
			sweep_world_add(&w, last, dice < 2);
		} else if (dice == 4) { /* without a manifest, perhaps under way */
			assert_ok(sweep_world_save(&w, last, false, &unfinished, &err), err);
		} else {
			uint32_t n = numbers[sweep_world_random(&random) % count];
			struct fm_snapshot_id id = { .job = JOB, .n = n };

			if (sweep_world_remove(&w, n, &err) < 0) {
				assert_int_equal(err.code, FM_NOT_FOUND);
				assert_ok(store_discard(w.store, &id, &err), err);
			}
			sweep_and_look(&w, shares[seed % 4], when, tally);
		}
		last = newest_whole(&w);
	}
	sweep_world_destroy(&w);
}

static void any_life_keeps_what_is_needed(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++)
		live(seed, &tally);
	print_message("%u sweeps, %u packs removed, %u rewritten\n", tally.sweeps, tally.removed, tally.rewritten);
	assert_true(tally.sweeps > 20 && tally.removed > 60 && tally.rewritten > 30);
}

/*
 * Where a compaction has left a page in one of two packs, a map that says the other one needs that, too, for the page's hash,
 * also when no page of it is left.
 */
static void compact_and_live(uint64_t seed, unsigned *compacted)
{
	uint64_t random = seed;
	struct sweep_world w;

	sweep_world_make(&w);
	w.packs_most = 1; /* so that there are pages that two packs have */
	for (unsigned step = 0; step < 20; step++) {
		FM_AUTO_FREE char *when = fm_format("seed %u, step %u", (unsigned)seed, step);
		struct sweep_options o = { .share = seed % 2 ? 100 : 50 };
		struct sweep_result dry, r;
		uint32_t numbers[64];
		size_t count = sweep_world_numbers(&w, numbers, 64);
		uint64_t dice = sweep_world_random(&random) % 10;
		struct fm_error err;

		if (count < 2 || dice < 5) {
			sweep_world_add(&w, dice < 2 ? newest_whole(&w) : 0, false);
			continue;
		}
		o.compact = dice < 7;
		if (!o.compact)
			assert_ok(sweep_world_remove(&w, numbers[sweep_world_random(&random) % count], &err), err);
		o.dry_run = true;
		assert_ok(store_sweep(w.store, JOB, &o, &dry, &err), err);
		o.dry_run = false;
		assert_ok(store_sweep(w.store, JOB, &o, &r, &err), err);
		assert_int_equal(dry.removed, r.removed);
		assert_int_equal(dry.rewritten, r.rewritten);
		assert_int_equal(r.damaged, 0);
		sweep_world_assert_whole(&w, when);
		*compacted += o.compact ? (unsigned)r.rewritten : 0;
		assert_ok(store_sweep(w.store, JOB, &o, &r, &err), err); /* it was all that is to be done */
		assert_int_equal(r.removed + r.rewritten, 0);
	}
	sweep_world_destroy(&w);
}

static void a_pack_that_is_named_is_kept_for_its_hashes(void **state)
{
	unsigned compacted = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 24; seed++)
		compact_and_live(seed, &compacted);
	assert_true(compacted > 50);
}

/* ---- what stops it, and what does not -------------------------------------------------------- */

static void an_unreadable_map_stops_it(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = sweep_world_add(w, 0, false), second = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *map = sweep_world_path(w, first, "member-1.map");
	uint64_t packs = sweep_world_packs(w);
	struct sweep_result r;
	struct fm_error err;

	assert_ok(sweep_world_remove(w, second, &err), err);
	fixture_damage(map, -9);
	assert_code(store_sweep(w->store, JOB, &defaults, &r, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, map));
	assert_non_null(strstr(err.text, "no page of job 77 is removed"));
	assert_int_equal(sweep_world_packs(w), packs);
	fixture_damage(map, -9); /* as it was */
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_true(r.removed > 0);
	assert_int_equal(r.maps, 2);
	sweep_world_assert_whole(w, "after it");
}

static void a_damaged_pack_is_left_while_it_is_needed(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = sweep_world_add(w, 0, false), second = sweep_world_add(w, 0, false);
	char **packs;
	size_t count = fixture_files(w->pages, ".pack", &packs);
	struct sweep_result r;
	struct fm_error err;

	for (size_t i = 0; i < count; i++)
		fixture_damage(packs[i], -1); /* all of them */
	assert_ok(sweep_world_remove(w, second, &err), err); /* the first has what both need */
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_true(r.damaged > 0 && r.removed > 0);
	assert_non_null(strstr(r.damaged_text, ".pack"));
	assert_int_equal(sweep_world_packs(w), count - r.removed);
	assert_ok(sweep_world_remove(w, first, &err), err);
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_int_equal(r.damaged, 0);
	assert_int_equal(sweep_world_packs(w), 0);
	fixture_free(packs, count);
}

/* A snapshot of what `like` was, whole. */
static uint32_t make_again(const struct sweep_world *w, uint32_t like)
{
	struct fm_snapshot_id id;
	struct fm_error err;

	assert_ok(store_begin(w->store, JOB, &id, &err), err);
	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++) {
		FM_AUTO_FREE char *name = fm_format("member-%u.map", rank);
		FM_AUTO_FREE char *map = sweep_world_path(w, id.n, name);
		struct fixture_guest g;
		struct pages_saved saved;

		sweep_world_guest(&g, like, rank);
		assert_ok(fixture_save(w->pages, map, &(struct fixture_save){ { .codec = PAGES_LZ4 }, &g, NULL, NULL }, &saved,
				       &err), err);
		fixture_guest_dispose(&g);
	}
	assert_ok(sweep_world_commit(w, id.n, &err), err);
	return id.n;
}

/* Absent from its pack, and kept wherever else it is: as a reader looks for it. */
static void a_page_that_moved_is_kept(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = sweep_world_add(w, 0, false), second = sweep_world_add(w, 0, false), again;
	const struct sweep_options strict = { .share = 100 };
	char *there[2], *aside[2];
	struct sweep_result r;
	struct fm_error err;

	/* Sweep the first's pages away, behind its back… */
	for (unsigned rank = 0; rank < 2; rank++) {
		FM_AUTO_FREE char *name = fm_format("member-%u.map", rank);

		there[rank] = sweep_world_path(w, first, name);
		aside[rank] = fixture_path(w->store, name);
		assert_int_equal(rename(there[rank], aside[rank]), 0);
	}
	assert_ok(store_sweep(w->store, JOB, &strict, &r, &err), err);
	assert_true(r.rewritten > 0);
	for (unsigned rank = 0; rank < 2; rank++)
		assert_int_equal(rename(aside[rank], there[rank]), 0);
	assert_code(sweep_world_read(w, first, &err), err, FM_CORRUPT);
	/* …and write them again: into another pack, where it finds them from now on. */
	again = make_again(w, first);
	assert_ok(sweep_world_read(w, first, &err), err);
	assert_ok(sweep_world_remove(w, again, &err), err);
	assert_ok(store_sweep(w->store, JOB, &strict, &r, &err), err);
	assert_ok(sweep_world_read(w, first, &err), err);
	assert_ok(sweep_world_read(w, second, &err), err);
	for (unsigned rank = 0; rank < 2; rank++) {
		free(there[rank]);
		free(aside[rank]);
	}
}

static void a_removal_cut_short_holds_nothing(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *manifest = sweep_world_path(w, n, "manifest.json");
	FM_AUTO_FREE char *removed = sweep_world_path(w, n, "manifest.removed");
	struct sweep_result r;
	struct fm_error err;

	assert_int_equal(rename(manifest, removed), 0); /* what a removal does first */
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_int_equal(r.maps, 0);
	assert_int_equal(sweep_world_packs(w), 0);
}

static void nothing_to_sweep(void **state)
{
	struct sweep_world *w = *state;
	struct sweep_result r;
	struct fm_error err;

	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_int_equal(r.packs, 0);
	assert_int_not_equal(access(w->pages, F_OK), 0); /* nor made */
}

/* Each page once, all by zstd; every snapshot reads as before, also after more of them and a plain sweep. */
static void compact_keeps_one_copy(void **state)
{
	const struct sweep_world *w = *state;
	const struct sweep_options compact = { .compact = true };
	struct sweep_result r, plain;
	uint32_t first = sweep_world_add(w, 0, false);
	struct fm_error err;

	sweep_world_add(w, first, false);
	sweep_world_add(w, 0, false);
	assert_ok(store_sweep(w->store, JOB, &(struct sweep_options){ .compact = true, .dry_run = true }, &plain, &err), err);
	assert_ok(store_sweep(w->store, JOB, &compact, &r, &err), err);
	assert_true(r.rewritten > 0 && r.rewritten == plain.rewritten);
	assert_true(r.freed > r.bytes / 20);
	sweep_world_assert_whole(w, "compact");
	assert_ok(store_sweep(w->store, JOB, &compact, &r, &err), err);
	assert_int_equal(r.rewritten + r.removed, 0);
	sweep_world_add(w, first, false);
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_ok(store_sweep(w->store, JOB, &compact, &r, &err), err);
	assert_ok(sweep_world_remove(w, first, &err), err);
	assert_ok(store_sweep(w->store, JOB, &compact, &r, &err), err);
	sweep_world_assert_whole(w, "compact, and one removed");
	assert_ok(store_sweep(w->store, JOB, &compact, &r, &err), err);
	assert_int_equal(r.rewritten + r.removed, 0);
}

/* Writers that did not know of each other wrote the same: one of them keeps it. */
static void compact_of_what_was_written_twice(void **state)
{
	struct sweep_world *w = *state;
	struct sweep_result r, plain;
	struct fm_error err;

	w->packs_most = 1;
	for (unsigned i = 0; i < 3; i++)
		sweep_world_add(w, 0, false);
	assert_ok(store_sweep(w->store, JOB, &defaults, &plain, &err), err);
	assert_int_equal(plain.freed, 0);
	assert_ok(store_sweep(w->store, JOB, &(struct sweep_options){ .compact = true }, &r, &err), err);
	assert_true(r.freed * 3 > r.bytes);
	sweep_world_assert_whole(w, "twice");
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	sweep_world_assert_whole(w, "twice, swept again");
	/* What is inherited from one that has lost pages to others is named where it is by now. */
	for (uint32_t n = 1; n <= 3; n++)
		sweep_world_add(w, n, true);
	for (uint32_t n = 1; n <= 3; n++)
		assert_ok(sweep_world_remove(w, n, &err), err);
	assert_ok(store_sweep(w->store, JOB, &(struct sweep_options){ .compact = true }, &r, &err), err);
	sweep_world_assert_whole(w, "inherited, and the parents gone");
}

/*
 * Two snapshots name one pack for a page that has become absent from it; the one that needed the rest of it goes. The pack
 * has no page then that anybody needs, and is needed all the same: where the other page is found by is its hash.
 */
static void a_pack_of_hashes_alone_stays(void **state)
{
	struct sweep_world *w = *state;
	const struct sweep_options strict = { .share = 100 };
	struct sweep_result r;
	struct fm_error err;
	uint32_t n[6];

	w->packs_most = 1;
	for (unsigned i = 0; i < 6; i++)
		n[i] = sweep_world_add(w, i == 0 ? 0 : n[i - 1], false);
	for (unsigned i = 0; i < 6; i++) {
		assert_ok(store_sweep(w->store, JOB, &(struct sweep_options){ .compact = true }, &r, &err), err);
		sweep_world_assert_whole(w, "compact");
		assert_ok(sweep_world_remove(w, n[i], &err), err);
		assert_ok(store_sweep(w->store, JOB, &strict, &r, &err), err);
		sweep_world_assert_whole(w, "one removed");
	}
	assert_int_equal(sweep_world_packs(w), 0);
}

/* One of the packs is damaged, in its first frame. What can be read can be read after the pass; is some of it only then? */
static bool compact_beside_damage(unsigned k)
{
	struct sweep_world w;
	struct sweep_result r;
	struct fm_error err;
	bool readable[4] = { false }, lost = false;
	char **packs;
	size_t count;

	sweep_world_make(&w);
	w.packs_most = 1;
	for (unsigned i = 0; i < 3; i++)
		sweep_world_add(&w, 0, false);
	count = fixture_files(w.pages, ".pack", &packs);
	fixture_damage(packs[k % count], 150 + k);
	for (uint32_t n = 1; n <= 3; n++)
		readable[n] = sweep_world_read(&w, n, &err) == 0;
	assert_ok(store_sweep(w.store, JOB, &(struct sweep_options){ .compact = true }, &r, &err), err);
	for (uint32_t n = 1; n <= 3; n++) {
		if (readable[n] && sweep_world_read(&w, n, &err) < 0)
			fail_msg("%s damaged: snapshot %u: %s", packs[k % count], n, err.text);
		lost = lost || !readable[n];
	}
	fixture_free(packs, count);
	sweep_world_destroy(&w);
	return lost && r.damaged > 0;
}

/* Of a page that two packs have, the copy that can be read stays: whichever pack is damaged. */
static void compact_does_not_rely_on_a_damaged_copy(void **state)
{
	unsigned damaged = 0;

	(void)state;
	for (unsigned k = 0; k < 24; k++)
		damaged += compact_beside_damage(k);
	assert_true(damaged > 6);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, sweep_world_setup, sweep_world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_life_keeps_what_is_needed),
		cmocka_unit_test(a_pack_that_is_named_is_kept_for_its_hashes),
		T(an_unreadable_map_stops_it),
		T(a_damaged_pack_is_left_while_it_is_needed),
		T(a_page_that_moved_is_kept),
		T(a_removal_cut_short_holds_nothing),
		T(nothing_to_sweep),
		T(compact_keeps_one_copy),
		T(compact_of_what_was_written_twice),
		T(a_pack_of_hashes_alone_stays),
		cmocka_unit_test(compact_does_not_rely_on_a_damaged_copy),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
