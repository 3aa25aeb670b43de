/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * level_crash_test - a directory level whose writer is killed anywhere, or whose disk fails anywhere: an object is
 * whole or it is not there, the one it replaces stays until then, and nothing has a name before it is durable.
 *
 * The linker's --wrap puts us in front of every call that changes the disk. For every k a child is killed before its
 * k-th such call; for every k and each of EIO and ENOSPC the k-th call fails.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/levels/directory.h"
#include "common/cleanup.h"
#include "common/io.h"

#define STEPS_MAX 500
#define BYTES ((size_t)600000) /* more than two pieces */

static long steps_left = LONG_MAX;
static int strike; /* an errno; 0: SIGKILL */
static bool struck;
static char order[STEPS_MAX + 1]; /* w, f (file), d (folder), m (mkdir), r */
static size_t order_length;

static bool step(char what)
{
	if (order_length < STEPS_MAX)
		order[order_length++] = what;
	if (--steps_left != 0)
		return false;
	struck = true;
	if (!strike)
		kill(getpid(), SIGKILL);
	errno = strike;
	return true;
}

static char kind_of(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISDIR(st.st_mode) ? 'd' : 'f';
}

#define WRAP(type, name, args, call, what)                                                         \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		return step(what) ? -1 : __real_##name call;                                       \
	}
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), 'w')
WRAP(int, fsync, (int fd), (fd), kind_of(fd))
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), 'm')
WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to), 'r')

/* A close that fails has closed all the same. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	return step('c') ? -1 : r;
}

struct world {
	char *dir, *place, *source[2], *got;
	struct level_object object[2];
};

static void fill(struct world *w)
{
	struct fm_error err;

	w->dir = fixture_store();
	w->place = fm_format("%s/place", w->dir);
	w->got = fm_format("%s/got", w->dir);
	assert_int_equal(mkdir(w->place, 0700), 0);
	for (unsigned i = 0; i < 2; i++) {
		FM_AUTO_FREE unsigned char *data = fixture_state(BYTES, i);

		w->source[i] = fm_format("%s/source%u", w->dir, i);
		assert_ok(fm_file_write(w->source[i], 0600, data, BYTES, &err), err);
		assert_ok(level_object_of_file(w->source[i], &w->object[i], &err), err);
	}
}

static void empty(struct world *w)
{
	free(w->place);
	free(w->got);
	free(w->source[0]);
	free(w->source[1]);
	fixture_remove(w->dir);
}

static int put(struct world *w, unsigned i, struct fm_error *err)
{
	const struct directory_config config = { .path = w->place };
	struct level *level = level_open_directory(&config, err);
	int r;

	if (!level)
		return -1;
	r = level_put(level, "1/7/a", w->source[i], &w->object[i], NULL, NULL, err);
	level_close(level);
	return r;
}

static int count(void *arg, const char *name, uint64_t bytes)
{
	assert_string_equal(name, "1/7/a");
	assert_int_equal(bytes, BYTES);
	++*(unsigned *)arg;
	return 0;
}

/* Which of the two is there: -1 none. `left`: how much a sweep finds at most. */
static int look(struct world *w, unsigned left)
{
	const struct directory_config config = { .path = w->place };
	struct fm_error err;
	struct level *level = level_open_directory(&config, &err);
	unsigned objects = 0, removed;
	struct level_object got;
	int which = -1;

	assert_non_null(level);
	assert_ok(level_list(level, "", count, &objects, &err), err);
	assert_true(objects <= 1);
	if (objects) {
		assert_ok(level_get(level, "1/7/a", w->got, NULL, NULL, &got, &err), err);
		which = !strcmp(got.sha256, w->object[0].sha256) ? 0 : 1;
		assert_string_equal(got.sha256, w->object[which].sha256);
	}
	assert_ok(level_sweep(level, 0, &removed, &err), err);
	assert_true(removed <= left);
	level_close(level);
	return which;
}

/* In a child, killed before its k-th call: true, or it ended. */
static bool killed_at(struct world *w, unsigned i, long k)
{
	struct fm_error err;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		strike = 0;
		steps_left = k;
		_exit(put(w, i, &err) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* replaced 0: the first object ever; 1: over another. */
static void kill_everywhere(bool replaced)
{
	bool killed = true;
	long k;

	for (k = 1; killed && k < STEPS_MAX; k++) {
		struct fm_error err;
		struct world w;
		int which;

		fill(&w);
		if (replaced)
			assert_ok(put(&w, 0, &err), err);
		killed = killed_at(&w, 1, k);
		which = look(&w, 1);
		assert_true(which == 1 || (killed && which == (replaced ? 0 : -1)));
		assert_ok(put(&w, 1, &err), err); /* and it goes on */
		assert_int_equal(look(&w, 0), 1);
		empty(&w);
	}
	assert_false(killed);
	assert_true(k > 8);
	print_message("%ld places\n", k - 2);
}

static void killed_anywhere(void **state)
{
	(void)state;
	kill_everywhere(false);
	kill_everywhere(true);
}

/* Each call fails once. Whatever it was: an error with the place in it, or it did not matter. */
static void fail_everywhere(int error, bool replaced)
{
	long k, errors = 0;

	struck = true;
	for (k = 1; struck && k < STEPS_MAX; k++) {
		struct fm_error err = { 0 };
		struct world w;
		int r, which;

		fill(&w);
		if (replaced)
			assert_ok(put(&w, 0, &err), err);
		struck = false;
		strike = error;
		steps_left = k;
		r = put(&w, 1, &err);
		steps_left = LONG_MAX;
		if (r < 0) {
			errors++;
			assert_non_null(strstr(err.text, w.place));
			assert_non_null(strstr(err.text, strerror(error)));
		}
		which = look(&w, 0); /* nothing is left for a sweep */
		assert_true(which == 1 || (r < 0 && which == (replaced ? 0 : -1)));
		empty(&w);
	}
	assert_false(struck);
	assert_true(errors > 5);
	print_message("%ld calls, %ld of them matter\n", k - 2, errors);
}

static void failing_anywhere(void **state)
{
	(void)state;
	fail_everywhere(EIO, false);
	fail_everywhere(EIO, true);
	fail_everywhere(ENOSPC, false);
	fail_everywhere(ENOSPC, true);
}

/* The file is durable before it has its name, each new folder in its own before that, and the name after. */
static void durable_before_named(void **state)
{
	struct fm_error err;
	struct world w;
	char *rename_at, *c;

	(void)state;
	fill(&w);
	memset(order, 0, sizeof(order));
	order_length = 0;
	assert_ok(put(&w, 0, &err), err);
	/* Closes of the folders that were synced are of no interest. */
	for (c = rename_at = order; *c; c++)
		if (*c != 'c')
			*rename_at++ = *c;
	*rename_at = '\0';
	assert_string_equal(order, "mwwwfmdmdrd");
	empty(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(failing_anywhere),
		cmocka_unit_test(durable_before_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
