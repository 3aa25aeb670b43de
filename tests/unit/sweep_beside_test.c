/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep_beside_test - a sweep beside whoever writes and reads: it waits for its turn, gives way, and takes nothing from them. */
#include "config.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

#define LIMIT_S 60 /* of every wait: generous, for a machine that does much else */

static const struct sweep_options defaults;

static void a_reader_keeps_it_away(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *path = sweep_world_path(w, n, "member-0.map");
	struct pages_store *s;
	struct pages_map *m;
	struct pages_reader *r;
	struct pages_batch batch;
	struct sweep_result result;
	struct fm_error err;

	s = pages_store_open(w->pages, JOB, NULL, &err);
	m = pages_map_open(path, JOB, NULL, NULL, &err);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 1 }, &err);
	assert_non_null(r);
	assert_ok(sweep_world_remove(w, n, &err), err);
	assert_code(store_sweep(w->store, JOB, &defaults, &result, &err), err, FM_BUSY);
	while (pages_reader_next(r, &batch, &err) > 0) /* to its end, though the snapshot is gone */
		assert_true(batch.count > 0);
	pages_reader_destroy(r);
	assert_ok(store_sweep(w->store, JOB, &defaults, &result, &err), err);
	assert_int_equal(sweep_world_packs(w), 0);
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

/* Its map was opened, then it was removed, and swept: what would be inherited from it is not there any more. */
static void a_parent_that_went_is_noticed(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *path = sweep_world_path(w, first, "member-0.map");
	const struct sweep_options strict = { .share = 100 };
	struct pages_writer_options o = { .codec = PAGES_LZ4, .inherit = true };
	struct pages_store *s;
	struct pages_map *m;
	struct sweep_result r;
	struct fm_error err;

	sweep_world_add(w, first, false); /* needs some pages of each pack */
	s = pages_store_open(w->pages, JOB, NULL, &err);
	m = pages_map_open(path, JOB, NULL, NULL, &err);
	assert_non_null(m);
	o.parent = m;
	assert_ok(sweep_world_remove(w, first, &err), err);
	assert_ok(store_sweep(w->store, JOB, &strict, &r, &err), err);
	assert_true(r.rewritten > 0);
	assert_null(pages_writer_create(s, &o, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_int_equal(store_removed_meanwhile(path, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
	pages_map_close(m);
	pages_store_close(s);
}

/*
 * A store that stays open between two writers, as one who tracks a domain has it, has looked at its packs before a sweep
 * took pages out of them: what the next writer takes for known must be there.
 */
static void what_a_sweep_took_is_not_known_any_more(void **state)
{
	struct sweep_world *w = *state;
	uint32_t first = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *map = sweep_world_path(w, first + 1, "again.map");
	const struct sweep_options strict = { .share = 100 };
	const struct pages_writer_options o = { .codec = PAGES_LZ4 };
	struct pages_store *s = pages_store_open(w->pages, JOB, NULL, &(struct fm_error){ 0 });
	struct pages_writer *writer;
	struct fixture_guest g;
	struct pages_saved saved;
	struct sweep_result r;
	struct fm_error err;
	unsigned char page[PAGES_SIZE];

	assert_ok(pages_store_scan(s, &err), err);
	sweep_world_add(w, first, false);
	assert_ok(sweep_world_remove(w, first, &err), err);
	assert_ok(store_sweep(w->store, JOB, &strict, &r, &err), err);
	assert_true(r.rewritten > 0);
	writer = pages_writer_create(s, &o, &err);
	assert_non_null(writer);
	sweep_world_guest(&g, first, 0); /* the guest's memory is again what it was */
	for (uint64_t i = 0; i < g.pages; i++)
		if (g.content[i] != FIXTURE_HOLE) {
			fixture_page(g.content[i], page);
			assert_ok(pages_writer_put(writer, &i, page, 1, &err), err);
		}
	assert_ok(pages_writer_finish(writer, map, "skeleton", 8, &saved, &err), err);
	assert_true(saved.progress.known > 0); /* from the second */
	assert_ok(fixture_check(w->pages, map, NULL, &g, &err), err);
	fixture_guest_dispose(&g);
	pages_store_close(s);
}

static void damage_is_not_called_removal(void **state)
{
	struct sweep_world *w = *state;
	uint32_t n = sweep_world_add(w, 0, false);
	FM_AUTO_FREE char *path = sweep_world_path(w, n, "member-0.map");
	struct fm_error err;

	fixture_damage(path, -9);
	assert_null(pages_map_open(path, JOB, NULL, NULL, &err));
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
	uint32_t n = sweep_world_add(w, 0, false), second;
	struct pages_rewrite_options keep = { .codec = PAGES_LZ4 };
	struct pages_store *s;
	uint64_t before, after;
	struct fm_error err;
	char id[65];
	int status;
	pid_t pid;

	s = pages_store_open(w->pages, JOB, NULL, &err);
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
	sweep_world_assert_whole(w, "after it gave way");
}

/* What processes that run at the same time tell each other. */
struct shared {
	atomic_uint sweeps, busy, given_way, packs_removed, reads, gone;
	atomic_uint reads_wanted; /* then the reader rests, or on a slow machine there is never a moment without one */
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
		bool rest = shared->reads + shared->gone >= shared->reads_wanted;
		size_t count = sweep_world_numbers(w, numbers, 64);
		uint32_t n = count && !rest ? numbers[sweep_world_random(&random) % count] : 0;
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

	shared->reads_wanted = reads + 2;
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

	for (unsigned round = 0; round < 20; round++) {
		uint32_t numbers[64];
		size_t count;
		struct fm_error err;
		uint32_t n;

		assert_ok(sweep_world_save(w, last, round % 3 == 0, &n, &err), err);
		assert_ok(sweep_world_commit(w, n, &err), err);
		last = n;
		shared->reads_wanted++;
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
	sweep_world_add(w, 0, false);
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
	sweep_world_assert_whole(w, "at the end");
	sweep_world_assert_tidy(w, 50);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, sweep_world_setup, sweep_world_teardown)
	const struct CMUnitTest tests[] = {
		T(a_reader_keeps_it_away),
		T(a_parent_that_went_is_noticed),
		T(what_a_sweep_took_is_not_known_any_more),
		T(damage_is_not_called_removal),
		T(it_gives_way),
		T(writers_readers_and_sweepers),
	};

	return cmocka_run_group_tests_name("sweep beside", tests, NULL, NULL);
}
