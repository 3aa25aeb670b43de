/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_test - the life of snapshots on disk.  Promise 3: a snapshot is whole or
 * it is not there; and a number never names two snapshots.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

/* In the C library's place: from the given call on, folders cannot be made durable. */
static unsigned folders_until_failure;

int fsync(int fd)
{
	struct stat st;

	if (folders_until_failure > 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && --folders_until_failure == 0) {
		folders_until_failure = 1;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static int setup(void **state)
{
	*state = fixture_store();
	return 0;
}

static int teardown(void **state)
{
	fixture_remove(*state);
	return 0;
}

static struct fm_snapshot_id make(const char *store, uint32_t job, unsigned members)
{
	struct fm_snapshot_id id;
	struct fm_error err;

	assert_ok(fixture_snapshot(store, job, members, &id, &err), err);
	return id;
}

static bool there(const char *store, const char *path)
{
	FM_AUTO_FREE char *full = fm_format("%s/%s", store, path);

	return access(full, F_OK) == 0;
}

static void put(const char *store, const char *path, const char *text)
{
	FM_AUTO_FREE char *full = fm_format("%s/%s", store, path);
	struct fm_error err;

	assert_ok(fm_file_write(full, 0600, text, strlen(text), &err), err);
}

static void damage(const char *store, const char *path, long at)
{
	FM_AUTO_FREE char *full = fm_format("%s/%s", store, path);

	fixture_damage(full, at);
}

static void a_snapshot_is_listed_and_verifies(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 12, 3);
	FM_AUTO_JSON struct json_object *result = NULL;
	struct fm_error err;
	struct stat st;

	assert_int_equal(id.job, 12);
	assert_int_equal(id.n, 1);
	assert_string_equal(fixture_listed(store, 12), "1");
	assert_string_equal(fixture_listed(store, 13), "");
	assert_ok(fixture_verify(store, &id, &result, &err), err);
	assert_true(fm_json_bool_or(result, "ok", false));
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, &id);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void verify_names_the_member(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 12, 3);
	FM_AUTO_JSON struct json_object *result = NULL;
	struct json_object *members;
	struct fm_error err;

	damage(store, "12/1/member-1.map", 100);
	damage(store, "12/1/member-2.held", 17);
	assert_ok(fixture_verify(store, &id, &result, &err), err);
	assert_false(fm_json_bool_or(result, "ok", true));
	json_object_object_get_ex(result, "members", &members);
	for (size_t i = 0; i < 3; i++) {
		struct json_object *m = json_object_array_get_idx(members, i);

		assert_int_equal(fm_json_int_or(m, "rank", -1), i);
		assert_int_equal(fm_json_bool_or(m, "ok", true), i == 0);
		assert_int_equal(*fm_json_string_or(m, "error", "") == '\0', i == 0);
	}
	assert_non_null(strstr(json_object_to_json_string(result), "member-2.held"));
}

static void without_a_manifest_it_is_not_there(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 1), again = { .job = 5 };
	FM_AUTO_FREE char *manifest = fm_format("%s/5/1/manifest.json", store);
	struct json_object *result;
	struct fm_error err;

	assert_int_equal(unlink(manifest), 0);
	assert_string_equal(fixture_listed(store, 0), "");
	assert_null(store_manifest(store, &id, &err));
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_null(store_manifest(store, &again, &err));
	assert_int_equal(err.code, FM_NOT_FOUND);
	assert_code(fixture_verify(store, &id, &result, &err), err, FM_NOT_FOUND);
	assert_code(store_remove(store, &id, &err), err, FM_NOT_FOUND);
}

static void begin_removes_leftovers_only(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id whole = make(store, 5, 2), half, next;
	struct fm_error err;

	assert_ok(store_begin(store, 5, &half, &err), err);
	assert_int_equal(half.n, 2);
	put(store, "5/2/member-0.map", "half");
	put(store, "5/2/manifest.json.tmp.abc", "half");
	put(store, "5/script", "#!/bin/sh\n");
	assert_string_equal(fixture_listed(store, 5), "1");
	assert_ok(store_begin(store, 5, &next, &err), err);
	assert_int_equal(next.n, 3);
	assert_false(there(store, "5/2"));
	assert_true(there(store, "5/3"));
	assert_true(there(store, "5/script"));
	assert_string_equal(fixture_listed(store, 5), "1");
	assert_int_equal(whole.n, 1);
	FM_AUTO_JSON struct json_object *result = NULL;
	assert_ok(fixture_verify(store, &whole, &result, &err), err);
	assert_true(fm_json_bool_or(result, "ok", false));
}

static void begin_finishes_an_interrupted_removal(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 1);
	FM_AUTO_FREE char *from = fm_format("%s/5/1", store), *to = fm_format("%s/5/.1.gone", store);
	struct fm_error err;

	assert_int_equal(rename(from, to), 0);
	assert_string_equal(fixture_listed(store, 5), "");
	assert_ok(store_begin(store, 5, &id, &err), err);
	assert_false(there(store, "5/.1.gone"));
}

static void discard_takes_a_half_one_only(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id whole = make(store, 5, 1), half;
	struct fm_error err;

	assert_ok(store_begin(store, 5, &half, &err), err);
	put(store, "5/2/member-0.map", "half");
	assert_ok(store_discard(store, &half, &err), err);
	assert_false(there(store, "5/2/member-0.map"));
	assert_ok(store_discard(store, &half, &err), err); /* twice is fine */
	assert_code(store_discard(store, &whole, &err), err, FM_BUSY);
	assert_string_equal(fixture_listed(store, 5), "1");
	half.n = 0;
	assert_code(store_discard(store, &half, &err), err, FM_USAGE);
}

static void a_number_is_given_once(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 1);
	struct fm_error err;

	assert_ok(store_remove(store, &id, &err), err);
	assert_false(there(store, "5/1/member-0.map"));
	assert_string_equal(fixture_listed(store, 5), "");
	assert_ok(store_begin(store, 5, &id, &err), err);
	assert_int_equal(id.n, 2);
	assert_ok(store_discard(store, &id, &err), err);
	assert_ok(store_begin(store, 5, &id, &err), err);
	assert_int_equal(id.n, 3);
	assert_false(there(store, "5/1"));
	assert_false(there(store, "5/2"));
}

static void remove_takes_an_old_one_away(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id first = make(store, 5, 2);
	struct fm_error err;

	make(store, 5, 2);
	assert_ok(store_remove(store, &first, &err), err);
	assert_false(there(store, "5/1"));
	assert_string_equal(fixture_listed(store, 5), "2");
	assert_code(store_remove(store, &first, &err), err, FM_NOT_FOUND);
	first.n = 0;
	assert_code(store_remove(store, &first, &err), err, FM_USAGE);
}

static void the_newest_whole_one_is_found(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = { .job = 5 };
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_error err;

	for (int i = 0; i < 11; i++)
		make(store, 5, 1); /* 11 > 9: by number, not by text */
	manifest = store_manifest(store, &id, &err);
	assert_non_null(manifest);
	assert_int_equal(id.n, 11);
}

static void a_damaged_newest_one_is_passed_over(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = { .job = 5 }, third = { .job = 5, .n = 3 };
	FM_AUTO_FREE char *member = fm_format("%s/5/2/member-0.map", store);
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_error err;

	for (int i = 0; i < 3; i++)
		make(store, 5, 1);
	damage(store, "5/3/manifest.json", 40);
	assert_int_equal(truncate(member, 10), 0);
	manifest = store_manifest(store, &id, &err);
	assert_non_null(manifest);
	assert_int_equal(id.n, 1);
	/* By its number the damaged one says what is wrong, and it can be removed. */
	assert_null(store_manifest(store, &third, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_non_null(strstr(err.text, "5.3"));
	assert_string_equal(fixture_listed(store, 5), "1 2 3!");
	assert_ok(store_remove(store, &third, &err), err);
	assert_string_equal(fixture_listed(store, 5), "1 2");
}

static void only_damaged_ones_is_corrupt_not_missing(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 1);
	struct fm_error err;

	damage(store, "5/1/manifest.json", 40);
	id.n = 0;
	assert_null(store_manifest(store, &id, &err));
	assert_int_equal(err.code, FM_CORRUPT);
}

static void commit_refuses_what_is_not_there(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 2), next;
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_error err;

	manifest = store_manifest(store, &id, &err);
	assert_ok(store_begin(store, 5, &next, &err), err);
	assert_code(store_commit(store, &next, manifest, &err), err, FM_CORRUPT); /* it is 5.1's */
	fm_json_set_string(manifest, "snapshot", "5.2");
	assert_code(store_commit(store, &next, manifest, &err), err, FM_CORRUPT); /* no files */
	assert_non_null(strstr(err.text, "member 0"));
	put(store, "5/2/member-0.map", "short");
	assert_code(store_commit(store, &next, manifest, &err), err, FM_CORRUPT);
	assert_false(there(store, "5/2/manifest.json"));
	assert_string_equal(fixture_listed(store, 5), "1");
}

/* The folder is made durable before the manifest has its name, and after. */
static void a_commit_that_fails_leaves_no_snapshot(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = make(store, 5, 1);
	FM_AUTO_FREE char *path = fm_format("%s/5/1/manifest.json", store);
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_error err;

	manifest = store_manifest(store, &id, &err);
	assert_int_equal(unlink(path), 0);
	for (unsigned n = 1; n <= 2; n++) {
		folders_until_failure = n;
		assert_int_equal(store_commit(store, &id, manifest, &err), -1);
		assert_int_equal(folders_until_failure, 1);
		folders_until_failure = 0;
		assert_string_equal(fixture_listed(store, 5), "");
	}
	assert_ok(store_commit(store, &id, manifest, &err), err);
	assert_string_equal(fixture_listed(store, 5), "1");
}

static void commit_fails_once_the_folder_is_gone(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id old, young;
	struct store_file file = { .name = "member-0.map" };
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_error err;

	/* A lead that was cut off commits after the job began anew elsewhere. */
	assert_ok(store_begin(store, 5, &old, &err), err);
	memset(file.sha256, 'a', 64);
	manifest = fixture_manifest(&old, 1, &file, NULL);
	put(store, "5/1/member-0.map", "");
	assert_ok(store_begin(store, 5, &young, &err), err);
	assert_int_equal(store_commit(store, &old, manifest, &err), -1);
	assert_string_equal(fixture_listed(store, 5), "");
}

static void prune_keeps_the_newest(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id half;
	struct fm_error err;
	unsigned removed = 99;

	for (int i = 0; i < 6; i++)
		make(store, 5, 1);
	make(store, 6, 1);
	damage(store, "5/5/manifest.json", 40); /* neither counted nor removed */
	assert_ok(store_begin(store, 5, &half, &err), err);
	assert_ok(fixture_prune(store, 5, 0, &removed, &err), err);
	assert_int_equal(removed, 0);
	assert_ok(fixture_prune(store, 5, 9, &removed, &err), err);
	assert_int_equal(removed, 0);
	assert_ok(fixture_prune(store, 5, 2, &removed, &err), err);
	assert_int_equal(removed, 3);
	assert_string_equal(fixture_listed(store, 5), "4 5! 6");
	assert_true(there(store, "5/7"));
	assert_ok(fixture_prune(store, 5, 1, &removed, &err), err);
	assert_string_equal(fixture_listed(store, 5), "5! 6");
	assert_string_equal(fixture_listed(store, 6), "1");
	assert_ok(fixture_prune(store, 77, 1, &removed, &err), err);
}

static void a_list_of_all_jobs_is_in_order(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *list = NULL;
	struct fm_error err;
	FM_AUTO_FREE char *stray = fm_format("%s/lost+found", store);

	assert_int_equal(mkdir(stray, 0700), 0);
	put(store, "31", "a file, not a job");
	put(store, "notes.txt", "x");
	make(store, 30, 1);
	make(store, 4, 1);
	make(store, 4, 1);
	list = store_list(store, 0, &err);
	assert_non_null(list);
	assert_int_equal(json_object_array_length(list), 3);
	static const char *const expected[] = { "4.1", "4.2", "30.1" };
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(fm_json_string_or(json_object_array_get_idx(list, i), "snapshot", ""), expected[i]);
}

static void a_missing_store_is_empty(void **state)
{
	FM_AUTO_FREE char *nowhere = fm_format("%s/nowhere", (char *)*state);

	assert_string_equal(fixture_listed(nowhere, 0), "");
}

static void numbers_are_plain(void **state)
{
	const char *store = *state;
	static const char *const odd[] = { "5/007", "5/0", "5/-1", "5/+2", "5/4294967296", "5/1x", "5/ 1" };
	struct fm_snapshot_id id = make(store, 5, 1);
	struct fm_error err;

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s", store, odd[i]);

		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_ok(store_begin(store, 5, &id, &err), err);
	assert_int_equal(id.n, 2);
	assert_string_equal(fixture_listed(store, 5), "1");
	assert_true(there(store, "5/007"));
}

static void names_are_plain(void **state)
{
	static const char *const bad[] = { "../x", "/etc/passwd", "a/b", "", ".", "..", ".hidden", "a\nb" };
	const char *store = *state;
	struct store_file file = { .bytes = 1 };
	struct fm_error err;
	void *data;
	size_t size;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct store_file expected = { .bytes = 1 };

		snprintf(expected.name, sizeof(expected.name), "%s", bad[i]);
		assert_code(store_file_write(store, bad[i], "x", 1, &file, &err), err, FM_USAGE);
		assert_code(store_file_read(store, &expected, 100, &data, &size, &err), err, FM_USAGE);
	}
}

static void a_small_file_comes_back_or_is_refused(void **state)
{
	const char *store = *state;
	FM_AUTO_FREE void *data = NULL;
	struct store_file file;
	struct fm_error err;
	size_t size;

	assert_ok(store_file_write(store, "member-0.held", "a\0b", 3, &file, &err), err);
	assert_ok(store_file_read(store, &file, 3, &data, &size, &err), err);
	assert_int_equal(size, 3);
	assert_memory_equal(data, "a\0b", 3);
	void *none;
	assert_code(store_file_read(store, &file, 2, &none, &size, &err), err, FM_CORRUPT);
	for (long at = 0; at < 3; at++) {
		damage(store, "member-0.held", at);
		assert_code(store_file_read(store, &file, 3, &none, &size, &err), err, FM_CORRUPT);
		damage(store, "member-0.held", at);
	}
	file.bytes = 4;
	assert_code(store_file_read(store, &file, 9, &none, &size, &err), err, FM_CORRUPT);
	file.bytes = 2;
	assert_code(store_file_read(store, &file, 9, &none, &size, &err), err, FM_CORRUPT);
	snprintf(file.name, sizeof(file.name), "nothing");
	assert_code(store_file_read(store, &file, 9, &none, &size, &err), err, FM_CORRUPT);
}

/* Each child takes `takes` numbers and writes them into the pipe. */
static void take_numbers(const char *store, int go, int out, int takes)
{
	struct fm_snapshot_id id;
	struct fm_error err;
	char c;

	if (read(go, &c, 1) < 0)
		_exit(1);
	for (int i = 0; i < takes; i++) {
		if (store_begin(store, 5, &id, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(2);
		}
		if (write(out, &id.n, sizeof(id.n)) != sizeof(id.n))
			_exit(3);
	}
	_exit(0);
}

static void processes_get_distinct_numbers(void **state)
{
	enum { CHILDREN = 4, TAKES = 25 };
	const char *store = *state;
	unsigned char seen[CHILDREN * TAKES * 2] = { 0 };
	int go[2], out[2], status;
	pid_t pids[CHILDREN];
	uint32_t n;

	assert_int_equal(pipe(go) | pipe(out), 0);
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			close(go[1]);
			take_numbers(store, go[0], out[1], TAKES);
		}
	}
	close(go[1]); /* all start now */
	close(out[1]);
	for (int i = 0; i < CHILDREN * TAKES; i++) {
		assert_int_equal(read(out[0], &n, sizeof(n)), sizeof(n));
		assert_in_range(n, 1, sizeof(seen) - 1);
		if (seen[n]++)
			fail_msg("number %u was given twice", n);
	}
	for (int i = 0; i < CHILDREN; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	close(go[0]);
	close(out[0]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_snapshot_is_listed_and_verifies),
		T(verify_names_the_member),
		T(without_a_manifest_it_is_not_there),
		T(begin_removes_leftovers_only),
		T(begin_finishes_an_interrupted_removal),
		T(discard_takes_a_half_one_only),
		T(a_number_is_given_once),
		T(remove_takes_an_old_one_away),
		T(the_newest_whole_one_is_found),
		T(a_damaged_newest_one_is_passed_over),
		T(only_damaged_ones_is_corrupt_not_missing),
		T(commit_refuses_what_is_not_there),
		T(a_commit_that_fails_leaves_no_snapshot),
		T(commit_fails_once_the_folder_is_gone),
		T(prune_keeps_the_newest),
		T(a_list_of_all_jobs_is_in_order),
		T(a_missing_store_is_empty),
		T(numbers_are_plain),
		T(names_are_plain),
		T(a_small_file_comes_back_or_is_refused),
		T(processes_get_distinct_numbers),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
