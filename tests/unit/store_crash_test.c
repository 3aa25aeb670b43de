/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_crash_test - death between any two steps never shows a half snapshot.
 *
 * The linker's --wrap puts us in front of every call that changes the disk.
 * A child does a whole life (begin, write, commit, prune, remove, discard) and
 * dies before its k-th such call, for every k; the parent then looks with
 * a reader's eyes.  A second test follows what fsync() has covered and requires
 * that nothing is still volatile at the moment a manifest appears.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define DIED 77
#define STEPS_MAX 5000

static long steps_left = LONG_MAX; /* in the child: calls until death */
static long steps_done;

static void step(void)
{
	steps_done++;
	if (--steps_left < 0)
		_exit(DIED);
}

/* ---- what is not yet durable (second test) ---- */
static bool tracing;
static char volatile_paths[64][PATH_MAX];
static int commits_seen, volatile_at_commit;

static char *slot_of(const char *path)
{
	for (size_t i = 0; i < 64; i++)
		if (strcmp(volatile_paths[i], path) == 0)
			return volatile_paths[i];
	return NULL;
}

static void mark(const char *path, bool is_volatile)
{
	char *slot = slot_of(path);

	if (is_volatile && !slot) {
		slot = slot_of("");
		assert_non_null(slot);
		snprintf(slot, PATH_MAX, "%s", path);
	} else if (!is_volatile && slot) {
		*slot = '\0';
	}
}

static void mark_parent(const char *path)
{
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	mark(parent, true);
}

static void path_of(int fd, char path_r[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path_r, PATH_MAX - 1);
	path_r[n > 0 ? n : 0] = '\0';
}

static void saw_rename(const char *from, const char *to)
{
	char *slot = slot_of(from);

	if (strcmp(to + strlen(to) - strlen("/manifest.json"), "/manifest.json") == 0) {
		commits_seen++;
		for (size_t i = 0; i < 64; i++) {
			/* The temporary manifest's own name is what the rename replaces. */
			if (!*volatile_paths[i])
				continue;
			/* A folder whose only volatile entry is the manifest itself is covered after the rename. */
			if (strncmp(volatile_paths[i], to, strlen(volatile_paths[i])) == 0 &&
			    strcmp(to + strlen(volatile_paths[i]), "/manifest.json") == 0)
				continue;
			print_message("still volatile when %s appears: %s\n", to, volatile_paths[i]);
			volatile_at_commit++;
		}
	}
	if (slot)
		snprintf(slot, PATH_MAX, "%s", to);
	mark_parent(to);
	mark_parent(from);
}

#define WRAP(type, name, args, call)                                                               \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		type rc;                                                                           \
		step();                                                                            \
		rc = __real_##name call;

#define END_WRAP                                                                                   \
		return rc;                                                                         \
	}

WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
	if (tracing && rc > 0) {
		char path[PATH_MAX];

		path_of(fd, path);
		if (*path == '/')
			mark(path, true);
	}
END_WRAP
WRAP(int, fsync, (int fd), (fd))
	if (tracing && rc == 0) {
		char path[PATH_MAX];

		path_of(fd, path);
		mark(path, false);
	}
END_WRAP
WRAP(int, rename, (const char *from, const char *to), (from, to))
	if (tracing && rc == 0)
		saw_rename(from, to);
END_WRAP
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
	if (tracing && rc == 0)
		mark_parent(path);
END_WRAP
WRAP(int, mkostemp, (char *path, int flags), (path, flags))
END_WRAP
WRAP(int, unlink, (const char *path), (path))
	if (tracing && rc == 0)
		mark(path, false);
END_WRAP
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
END_WRAP
WRAP(int, rmdir, (const char *path), (path))
END_WRAP
WRAP(int, close, (int fd), (fd))
END_WRAP

/* A store with something in it: 5.1 and 5.2 whole, 5.3 half. */
static char *furnished(void)
{
	char *store = fixture_store();
	struct fm_snapshot_id id;
	struct fm_error err;

	assert_ok(fixture_snapshot(store, 5, 2, &id, &err), err);
	assert_ok(fixture_snapshot(store, 5, 2, &id, &err), err);
	assert_ok(store_begin(store, 5, &id, &err), err);
	FM_AUTO_FREE char *half = fm_format("%s/5/3/member-0.map", store);
	assert_ok(fm_file_write(half, 0600, "half", 4, &err), err);
	return store;
}

/* All that ever changes the store, once. */
static void whole_life(const char *store)
{
	struct fm_snapshot_id id;
	struct fm_error err;
	unsigned removed;

	if (fixture_script(store, 5, "#!/bin/sh\n", &err) < 0 ||
	    fixture_snapshot(store, 5, 2, &id, &err) < 0 || id.n != 4 ||
	    fixture_prune(store, 5, 2, &removed, &err) < 0 || removed != 1 ||
	    store_begin(store, 5, &id, &err) < 0 || store_discard(store, &id, &err) < 0)
		_exit(1);
	id.n = 4;
	if (store_remove(store, &id, &err) < 0 || fixture_snapshot(store, 5, 2, &id, &err) < 0 ||
	    store_remove(store, &id, &err) < 0)
		_exit(2);
}

/* Everything that is listed must be there in full. */
static void assert_listed_are_whole(const char *store, long k)
{
	struct fm_error err;
	FM_AUTO_JSON struct json_object *list = store_list(store, 0, &err);

	if (!list)
		fail_msg("step %ld: %s", k, err.text);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		FM_AUTO_JSON struct json_object *result = NULL;
		struct fm_snapshot_id id;

		if (strcmp(fm_json_string_or(o, "state", ""), "whole") != 0)
			fail_msg("after death at step %ld: %s", k, json_object_to_json_string(o));
		assert_ok(fm_snapshot_id_parse(fm_json_string_or(o, "snapshot", ""), &id, &err), err);
		assert_ok(fixture_verify(store, &id, &result, &err), err);
		if (!fm_json_bool_or(result, "ok", false))
			fail_msg("after death at step %ld: %s", k, json_object_to_json_string(result));
	}
}

/* And the store must be of use: the next snapshot succeeds with a number of its own. */
static void assert_goes_on(const char *store, long k)
{
	struct fm_snapshot_id before = { .job = 5 }, id;
	struct fm_error err;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, &before, &err);

	if (!manifest && err.code != FM_NOT_FOUND)
		fail_msg("after death at step %ld: %s", k, err.text);
	if (fixture_snapshot(store, 5, 1, &id, &err) < 0)
		fail_msg("after death at step %ld: %s", k, err.text);
	assert_true(id.n > before.n);
	assert_listed_are_whole(store, k);
}

/* True when the child lived to its end. */
static bool live_until(const char *store, long k)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		steps_left = k;
		whole_life(store);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != DIED)
		fail_msg("step %ld: the child failed (%d)", k, WEXITSTATUS(status));
	return WEXITSTATUS(status) == 0;
}

static void death_at_any_step_shows_no_half_snapshot(void **state)
{
	bool lived = false;
	long k;

	for (k = 0; !lived && k < STEPS_MAX; k++) {
		char *store = furnished();

		lived = live_until(store, k);
		assert_listed_are_whole(store, k);
		assert_goes_on(store, k);
		fixture_remove(store);
	}
	assert_true(lived);
	assert_true(k > 60); /* the calls really go through us */
	print_message("%ld steps\n", k - 1);
}

static void nothing_is_volatile_when_a_manifest_appears(void **state)
{
	char *store = fixture_store();
	struct fm_snapshot_id id;
	struct fm_error err;
	int rc;

	tracing = true;
	rc = fixture_snapshot(store, 5, 3, &id, &err);
	tracing = false;
	assert_ok(rc, err);
	assert_int_equal(commits_seen, 1);
	assert_int_equal(volatile_at_commit, 0);
	/* And the manifest's own name is durable when the call returns. */
	for (size_t i = 0; i < 64; i++)
		if (*volatile_paths[i])
			fail_msg("still volatile after the commit: %s", volatile_paths[i]);
	fixture_remove(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(death_at_any_step_shows_no_half_snapshot),
		cmocka_unit_test(nothing_is_volatile_when_a_manifest_appears),
	};

	return cmocka_run_group_tests_name("store crash", tests, NULL, NULL);
}
