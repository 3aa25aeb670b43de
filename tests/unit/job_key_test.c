/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job_key_test - a job's key is made once, by however many at once and whatever is killed or fails when: there is none, or
 * it is whole, and who comes next has the same one.
 *
 * The linker's --wrap puts us in front of every call that changes the disk.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "tests/unit/key_fixture.h"

static long steps_left = LONG_MAX;
static bool strike_kills;
static char events[64]; /* of a life that is followed: w write, f fsync of a file, d of a folder, l link, u unlink */
static size_t events_count;

/* True: this call is the one that fails. */
static bool step(char what)
{
	if (events_count + 1 < sizeof(events))
		events[events_count++] = what;
	if (steps_left-- != 1)
		return false;
	if (strike_kills)
		kill(getpid(), SIGKILL);
	errno = EIO;
	return true;
}

static bool is_folder(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

#define WRAP(type, name, args, call, what)                                                         \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		return step(what) ? -1 : __real_##name call;                                       \
	}
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), 'w')
WRAP(int, fsync, (int fd), (fd), is_folder(fd) ? 'd' : 'f')
WRAP(int, link, (const char *from, const char *to), (from, to), 'l')
WRAP(int, unlink, (const char *path), (path), 'u')
WRAP(int, mkostemp, (char *path, int flags), (path, flags), 'c')

#define MAKERS 8

/* Waits until all may go; says the key's id. */
static void maker_run(const struct key_world *w, int go, int said)
{
	struct pages_key *key = NULL;
	struct fm_error err;
	char byte;

	if (read(go, &byte, 1) != 0 || pages_key_make(w->folder, JOB, w->site, w->packs, &key, &err) < 0 ||
	    __real_write(said, pages_key_id(key), 16) != 16)
		_exit(1);
	_exit(0);
}

static void many_make_it_at_once(void **state)
{
	const struct key_world *w = *state;

	for (unsigned round = 0; round < 10; round++) {
		char first[17] = "", id[17] = "";
		struct pages_key *key;
		int go[2], said[2];
		pid_t pid[MAKERS];

		assert_int_equal(pipe(go), 0);
		assert_int_equal(pipe(said), 0);
		for (unsigned i = 0; i < MAKERS; i++) {
			pid[i] = fork();
			assert_true(pid[i] >= 0);
			if (pid[i] == 0) {
				close(go[1]);
				maker_run(w, go[0], said[1]);
			}
		}
		close(go[0]);
		close(go[1]);
		close(said[1]);
		for (unsigned i = 0; i < MAKERS; i++) {
			assert_int_equal(fm_read_all(said[0], id, 16), 16);
			if (i == 0)
				memcpy(first, id, 16);
			assert_string_equal(id, first);
		}
		for (unsigned i = 0; i < MAKERS; i++) {
			int status;

			assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
			assert_int_equal(status, 0);
		}
		close(said[0]);
		key = key_world_key(w);
		assert_string_equal(pages_key_id(key), first);
		key_world_has_only_the_key(w);
		pages_key_free(key);
		assert_int_equal(__real_unlink(w->path), 0);
	}
}

/* Killed before its k-th call, or that call fails: there is a key, whole, or none; and then there is one. */
static bool struck_at(const struct key_world *w, long k, bool kills, bool *there_r)
{
	struct pages_key *key = NULL, *before = NULL;
	struct fm_error err = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		strike_kills = kills;
		steps_left = k;
		if (pages_key_make(w->folder, JOB, w->site, w->packs, &key, &err) == 0)
			_exit(0);
		_exit(strstr(err.text, w->folder) ? 3 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (kills)
		assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	else
		assert_true(status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 3));
	assert_ok(pages_key_open(w->folder, JOB, w->site, &before, &err), err);
	*there_r = before;
	key = key_world_key(w);
	if (before)
		assert_string_equal(pages_key_id(key), pages_key_id(before));
	key_world_has_only_the_key(w);
	pages_key_free(before);
	pages_key_free(key);
	assert_int_equal(__real_unlink(w->path), 0);
	return status != 0;
}

static void killed_while_it_is_made(void **state)
{
	long k = 1, without = 0;
	bool there;

	for (; struck_at(*state, k, true, &there); k++)
		without += !there;
	assert_true(there);
	assert_true(without >= 4 && k > without + 1); /* make, write, fsync, link; and after that */
	print_message("killed at %ld places\n", k - 1);
}

static void a_call_fails_while_it_is_made(void **state)
{
	unsigned errors = 0;
	bool there;

	for (long k = 1; k < 10; k++)
		errors += struck_at(*state, k, false, &there);
	assert_true(errors >= 4);
}

/* Durable before it has its name, the name before it is used: by whoever found it there, too. */
static void durable_before_it_is_used(void **state)
{
	struct key_world *w = *state;

	events_count = 0;
	pages_key_free(key_world_key(w));
	events[events_count] = '\0';
	assert_string_equal(events, "cwflud");
	events_count = 0;
	pages_key_free(key_world_key(w));
	events[events_count] = '\0';
	assert_string_equal(events, "d");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, key_world_make, key_world_remove)
	const struct CMUnitTest tests[] = {
		TEST(many_make_it_at_once),
		TEST(killed_while_it_is_made),
		TEST(a_call_fails_while_it_is_made),
		TEST(durable_before_it_is_used),
	};

	return cmocka_run_group_tests_name("a job's key", tests, NULL, NULL);
}
