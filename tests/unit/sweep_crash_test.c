/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep_crash_test - a removal and its sweep killed anywhere, or failing anywhere: what was not removed is whole.
 *
 * The linker's --wrap puts us in front of every call that changes the disk. For every k a child removes two snapshots and
 * sweeps, and is killed (SIGKILL) before its k-th such call; for every k the k-th call fails. Then all snapshots that are
 * listed read back whole, a removed one is gone or there in full, and the next sweep leaves nothing that is not needed.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/folder.h"
#include "agent/store/pin.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

#define STEPS_MAX 2000
#define SNAPSHOTS 4u

static atomic_long steps_left = LONG_MAX;
static atomic_bool strike_kills;
static atomic_long strikes;

/* True: this call is the one that fails. */
static bool step(void)
{
	if (atomic_fetch_sub(&steps_left, 1) != 1)
		return false;
	strikes++;
	if (strike_kills)
		kill(getpid(), SIGKILL);
	errno = EIO;
	return true;
}

#define WRAP(type, name, args, call)                                                               \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		return step() ? -1 : __real_##name call;                                           \
	}
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkostemp, (char *path, int flags), (path, flags))

/* Somebody who pins this store's snapshot 1 just before it is taken out of sight. */
static const char *pin_before;

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
	struct fm_snapshot_id id = { .job = JOB, .n = 1 };
	const char *store = pin_before;
	struct fm_error err;

	if (store && strstr(to, "/manifest.removed")) {
		pin_before = NULL;
		assert_ok(store_pin(store, &id, 0, NULL, &err), err);
	}
	return step() ? -1 : __real_rename(from, to);
}

/* A close that fails has closed all the same. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	return step() ? -1 : r;
}

static bool compact; /* the sweep is the pass in the background */

static int sweep(const struct sweep_world *w, struct sweep_result *r, struct fm_error *err)
{
	const struct sweep_options o = { .share = 90, .compact = compact, .background = compact };

	return store_sweep(w->store, JOB, &o, r, err);
}

/* 1 to 4; the second goes, and the fourth, whose folder must stay, empty. */
static void fill(struct sweep_world *w)
{
	struct fm_error err;
	uint32_t n;

	sweep_world_make(w);
	w->packs_most = compact ? 1 : 0; /* else nothing is there twice */
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		assert_ok(sweep_world_save(w, i, i % 2, &n, &err), err);
		assert_int_equal(n, i + 1);
		assert_ok(sweep_world_commit(w, n, &err), err);
	}
}

static int collect(const struct sweep_world *w, struct sweep_result *r, struct fm_error *err)
{
	if (sweep_world_remove(w, 2, err) < 0 || sweep_world_remove(w, 4, err) < 0)
		return -1;
	return sweep(w, r, err);
}

/* Listed is what has a manifest: it must be all there. */
static void look(const struct sweep_world *w, const char *when)
{
	for (uint32_t n = 1; n <= SNAPSHOTS; n++) {
		struct fm_snapshot_id id = { .job = JOB, .n = n };
		struct fm_error err;
		int whole = folder_is_whole(w->store, &id, &err);

		assert_true(whole >= 0);
		if (n % 2)
			assert_int_equal(whole, 1);
		if (whole && sweep_world_read(w, n, &err) < 0)
			fail_msg("%s: snapshot %u: %s", when, n, err.text);
	}
}

/* The next one's work: to the same end as if nothing had happened. */
static void go_on(const struct sweep_world *w, const char *when)
{
	struct sweep_result r;
	struct fm_error err;
	uint32_t n;

	assert_ok(folder_settle(w->store, JOB, &err), err);
	for (n = 2; n <= 4; n += 2)
		if (sweep_world_remove(w, n, &err) < 0)
			assert_int_equal(err.code, FM_NOT_FOUND);
	if (sweep(w, &r, &err) < 0)
		fail_msg("%s: the next one: %s", when, err.text);
	look(w, when);
	if (!compact)
		sweep_world_assert_tidy(w, 90);
	assert_ok(sweep_world_save(w, 3, true, &n, &err), err);
	assert_int_equal(n, 5); /* no number twice */
	assert_ok(sweep_world_read(w, n, &err), err);
}

static bool child_collects(const struct sweep_world *w, long until)
{
	struct sweep_result r;
	struct fm_error err;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		strike_kills = true;
		steps_left = until;
		_exit(collect(w, &r, &err) == 0 && r.removed > 0 && r.rewritten > 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(status, 0);
	return false;
}

static void killed_before_any_call(void **state)
{
	bool killed = true;
	long k;

	(void)state;
	for (k = 1; killed && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("killed before call %ld", k);
		struct sweep_world w;

		fill(&w);
		killed = child_collects(&w, k);
		look(&w, when);
		go_on(&w, when);
		sweep_world_destroy(&w);
	}
	assert_false(killed);
	assert_true(k > 60);
	print_message("%ld places\n", k - 2);
}

static void any_call_fails(void **state)
{
	bool struck = true;
	long k, errors = 0;

	(void)state;
	for (k = 1; struck && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("call %ld failed", k);
		struct fm_error err = { 0 };
		struct sweep_result r;
		struct sweep_world w;
		int rc;

		fill(&w);
		strikes = 0;
		steps_left = k;
		rc = collect(&w, &r, &err);
		struck = strikes > 0;
		steps_left = LONG_MAX;
		if (rc < 0) {
			errors++;
			if (!strstr(err.text, w.store))
				fail_msg("%s: %s", when, err.text);
		}
		look(&w, when);
		go_on(&w, when);
		sweep_world_destroy(&w);
	}
	assert_false(struck);
	assert_true(errors > 40);
	print_message("%ld calls, %ld of them matter\n", k - 2, errors);
}

/* It has looked for a pin and found none; then there is one, and who pinned it was told that it holds. */
static void a_pin_that_comes_in_between_holds(void **state)
{
	struct fm_snapshot_id id = { .job = JOB, .n = 1 };
	struct sweep_world w;
	struct fm_error err;
	int rc;

	(void)state;
	fill(&w);
	pin_before = w.store;
	rc = sweep_world_remove(&w, 1, &err);
	assert_null(pin_before);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, FM_BUSY);
	assert_int_equal(folder_is_whole(w.store, &id, &err), 1);
	look(&w, "after the pin");
	sweep_world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_before_any_call),
		cmocka_unit_test(any_call_fails),
		cmocka_unit_test(a_pin_that_comes_in_between_holds),
	};

	int failed = cmocka_run_group_tests_name("sweep crash", tests, NULL, NULL);

	compact = true;
	return failed + cmocka_run_group_tests_name("compact crash", tests, NULL, NULL);
}
