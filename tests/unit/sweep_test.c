/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep_test - a sweep removes what no map needs, all of it, and nothing else; beside whoever writes and reads. */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

#define LIMIT_S 60 /* of every wait: generous, for a machine that does much else */

static const struct sweep_options defaults;

static uint64_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static int setup(void **state)
{
	struct sweep_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	sweep_world_make(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct sweep_world *w = *state;

	sweep_world_destroy(w);
	free(w);
	return 0;
}

static uint32_t make(const struct sweep_world *w, uint32_t parent, bool inherit)
{
	struct fm_error err;
	uint32_t n;

	assert_ok(sweep_world_save(w, parent, inherit, &n, &err), err);
	assert_ok(sweep_world_commit(w, n, &err), err);
	return n;
}

static void assert_all_there(const struct sweep_world *w, const char *when)
{
	uint32_t numbers[64];
	size_t count = sweep_world_numbers(w, numbers, 64);
	struct fm_error err;

	for (size_t i = 0; i < count; i++)
		if (sweep_world_read(w, numbers[i], &err) < 0)
			fail_msg("%s: snapshot %u: %s", when, numbers[i], err.text);
}

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
	assert_all_there(w, when);
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
		uint64_t dice = random_next(&random) % 10;
		struct fm_error err;

		if (count == 0 || dice < 4) {
			make(&w, last, dice < 2);
		} else if (dice == 4) { /* without a manifest, perhaps under way */
			assert_ok(sweep_world_save(&w, last, false, &unfinished, &err), err);
		} else {
			uint32_t n = numbers[random_next(&random) % count];
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
	for (uint64_t seed = 1; seed <= 12; seed++)
		live(seed, &tally);
	print_message("%u sweeps, %u packs removed, %u rewritten\n", tally.sweeps, tally.removed, tally.rewritten);
	assert_true(tally.sweeps > 30 && tally.removed > 100 && tally.rewritten > 50);
}

/* ---- what stops it, and what does not -------------------------------------------------------- */

static uint64_t pack_count(const struct sweep_world *w)
{
	char **packs;
	size_t count = fixture_files(w->pages, ".pack", &packs);

	fixture_free(packs, count);
	return count;
}

static void an_unreadable_map_stops_it(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = make(w, 0, false), second = make(w, 0, false);
	FM_AUTO_FREE char *map = sweep_world_path(w, first, "member-1.map");
	uint64_t packs = pack_count(w);
	struct sweep_result r;
	struct fm_error err;

	assert_ok(sweep_world_remove(w, second, &err), err);
	fixture_damage(map, -9);
	assert_code(store_sweep(w->store, JOB, &defaults, &r, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, map));
	assert_non_null(strstr(err.text, "no page of job 77 is removed"));
	assert_int_equal(pack_count(w), packs);
	fixture_damage(map, -9); /* as it was */
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_true(r.removed > 0);
	assert_int_equal(r.maps, 2);
	assert_all_there(w, "after it");
}

static void a_damaged_pack_is_left_while_it_is_needed(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = make(w, 0, false), second = make(w, 0, false);
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
	assert_int_equal(pack_count(w), count - r.removed);
	assert_ok(sweep_world_remove(w, first, &err), err);
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_int_equal(r.damaged, 0);
	assert_int_equal(pack_count(w), 0);
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
	uint32_t first = make(w, 0, false), second = make(w, 0, false), again;
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
	uint32_t n = make(w, 0, false);
	FM_AUTO_FREE char *manifest = sweep_world_path(w, n, "manifest.json");
	FM_AUTO_FREE char *removed = sweep_world_path(w, n, "manifest.removed");
	struct sweep_result r;
	struct fm_error err;

	assert_int_equal(rename(manifest, removed), 0); /* what a removal does first */
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_int_equal(r.maps, 0);
	assert_int_equal(pack_count(w), 0);
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

/* ---- beside others ------------------------------------------------------------------------------ */

static void a_reader_keeps_it_away(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = make(w, 0, false);
	FM_AUTO_FREE char *path = sweep_world_path(w, n, "member-0.map");
	struct pages_store *s;
	struct pages_map *m;
	struct pages_reader *r;
	struct pages_batch batch;
	struct sweep_result result;
	struct fm_error err;

	s = pages_store_open(w->pages, JOB, &err);
	m = pages_map_open(path, JOB, NULL, &err);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 1 }, &err);
	assert_non_null(r);
	assert_ok(sweep_world_remove(w, n, &err), err);
	assert_code(store_sweep(w->store, JOB, &defaults, &result, &err), err, FM_BUSY);
	while (pages_reader_next(r, &batch, &err) > 0) /* to its end, though the snapshot is gone */
		assert_true(batch.count > 0);
	pages_reader_destroy(r);
	assert_ok(store_sweep(w->store, JOB, &defaults, &result, &err), err);
	assert_int_equal(pack_count(w), 0);
	/* The map was open, the packs were not. */
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 1 }, &err);
	assert_null(r);
	assert_int_equal(err.code, FM_CORRUPT);
	assert_int_equal(store_removed_meanwhile(path, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_string_equal(err.text, "snapshot 77.1 was removed meanwhile");
	pages_map_close(m);
	pages_store_close(s);
}

static void damage_is_not_called_removal(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = make(w, 0, false);
	FM_AUTO_FREE char *path = sweep_world_path(w, n, "member-0.map");
	struct fm_error err;

	fixture_damage(path, -9);
	assert_null(pages_map_open(path, JOB, NULL, &err));
	assert_int_equal(store_removed_meanwhile(path, &err), -1);
	assert_int_equal(err.code, FM_CORRUPT);
}

static bool soon(bool (*condition)(const void *), const void *arg)
{
	const struct timespec pause = { 0, 5000000 };
	time_t end = time(NULL) + LIMIT_S;

	while (!condition(arg)) {
		if (time(NULL) > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool is_wanted(const void *arg)
{
	return pages_sweep_wanted(arg);
}

static void it_gives_way(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = make(w, 0, false), second;
	struct pages_rewrite_options keep = { .codec = PAGES_LZ4 };
	struct pages_store *s;
	uint64_t before, after;
	struct fm_error err;
	char id[65];
	int status;
	pid_t pid;

	s = pages_store_open(w->pages, JOB, &err);
	assert_ok(pages_store_scan(s, &err), err);
	assert_true(pages_store_pack(s, 0, id));
	assert_ok(pages_sweep_begin(s, &err), err);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) { /* a writer that comes, on another node */
		pages_sweep_end(s);
		_exit(sweep_world_save(w, n, false, &second, &err) == 0 ? 0 : 1);
	}
	assert_true(soon(is_wanted, s));
	assert_code(pages_pack_rewrite(s, id, &keep, &before, &after, &err), err, FM_BUSY);
	pages_sweep_end(s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_ok(pages_pack_rewrite(s, id, &keep, &before, &after, &err), err);
	pages_store_close(s);
	assert_all_there(w, "after it gave way");
}

/* What processes that run at the same time tell each other. */
struct shared {
	atomic_uint sweeps, busy, given_way, packs_removed, reads, gone;
	atomic_bool stop, failed;
	char why[900];
};

static void child_fails(struct shared *shared, const char *who, const struct fm_error *err)
{
	if (!atomic_exchange(&shared->failed, true))
		snprintf(shared->why, sizeof(shared->why), "%s: %s", who, err->text);
	_exit(1);
}

static void sweeper(const struct sweep_world *w, struct shared *shared)
{
	const struct timespec pause = { 0, 1000000 };
	struct sweep_result r;
	struct fm_error err;

	while (!shared->stop) {
		if (store_sweep(w->store, JOB, &(struct sweep_options){ .share = 90 }, &r, &err) == 0) {
			shared->packs_removed += (unsigned)(r.removed + r.rewritten);
			shared->given_way += r.given_way;
			shared->sweeps++;
		} else if (err.code == FM_BUSY) {
			shared->busy++;
		} else {
			child_fails(shared, "sweeper", &err);
		}
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

static void reader(const struct sweep_world *w, struct shared *shared)
{
	const struct timespec pause = { 0, 2000000 };
	uint64_t random = 7;

	while (!shared->stop) {
		uint32_t numbers[64];
		size_t count = sweep_world_numbers(w, numbers, 64);
		uint32_t n = count ? numbers[random_next(&random) % count] : 0;
		FM_AUTO_FREE char *map = sweep_world_path(w, n, "member-0.map");
		struct fm_error err;

		if (n && sweep_world_read(w, n, &err) == 0) {
			shared->reads++;
		} else if (n) {
			store_removed_meanwhile(map, &err);
			if (err.code != FM_NOT_FOUND || !strstr(err.text, "was removed meanwhile"))
				child_fails(shared, "reader", &err);
			shared->gone++;
		}
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

/* Until all have done something since: a sweep and a read. */
static void await_others(struct shared *shared)
{
	const struct timespec pause = { 0, 2000000 };
	unsigned sweeps = shared->sweeps, reads = shared->reads + shared->gone;
	time_t end = time(NULL) + LIMIT_S;

	while (!shared->failed && (shared->sweeps == sweeps || shared->reads + shared->gone == reads)) {
		if (time(NULL) > end)
			fail_msg("nothing was swept or read for %d s (%u sweeps, %u busy, %u reads)", LIMIT_S,
				 shared->sweeps, shared->busy, shared->reads);
		nanosleep(&pause, NULL);
	}
	if (shared->failed)
		fail_msg("%s", shared->why);
}

static void write_beside(const struct sweep_world *w, struct shared *shared)
{
	uint32_t last = 0;

	for (unsigned round = 0; round < 24; round++) {
		uint32_t numbers[64];
		size_t count;
		struct fm_error err;
		uint32_t n;

		assert_ok(sweep_world_save(w, last, round % 3 == 0, &n, &err), err);
		assert_ok(sweep_world_commit(w, n, &err), err);
		last = n;
		count = sweep_world_numbers(w, numbers, 64);
		if (count > 3) /* an old one goes, now and then two */
			assert_ok(sweep_world_remove(w, numbers[round % 2], &err), err);
		if (count > 5)
			assert_ok(sweep_world_remove(w, numbers[(round + 1) % 2], &err), err);
		if (round % 4 == 3)
			await_others(shared);
		if (shared->failed)
			fail_msg("%s", shared->why);
	}
}

static void writers_readers_and_sweepers(void **state)
{
	struct sweep_world *w = *state;
	void (*const lives[])(const struct sweep_world *, struct shared *) = { sweeper, sweeper, reader };
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sweep_result r;
	struct fm_error err;
	pid_t pid[3];
	int status;

	assert_ptr_not_equal(shared, MAP_FAILED);
	make(w, 0, false);
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			lives[i](w, shared);
	}
	write_beside(w, shared);
	shared->stop = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		if (status != 0)
			fail_msg("status %#x: %s", (unsigned)status, shared->why);
	}
	assert_true(shared->packs_removed > 0);
	print_message("%u sweeps, %u gave way, %u found it busy, %u packs removed or rewritten, %u reads, %u of what was gone\n",
		      shared->sweeps, shared->given_way, shared->busy, shared->packs_removed, shared->reads, shared->gone);
	assert_ok(store_sweep(w->store, JOB, &defaults, &r, &err), err);
	assert_all_there(w, "at the end");
	sweep_world_assert_tidy(w, 50);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_life_keeps_what_is_needed),
		T(an_unreadable_map_stops_it),
		T(a_damaged_pack_is_left_while_it_is_needed),
		T(a_page_that_moved_is_kept),
		T(a_removal_cut_short_holds_nothing),
		T(nothing_to_sweep),
		T(a_reader_keeps_it_away),
		T(damage_is_not_called_removal),
		T(it_gives_way),
		T(writers_readers_and_sweepers),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
