/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker_save_test.c - promise 2, member by member: a save that is broken off at
 * any step leaves the domain running and no file; and promise 3: a stream that
 * does not verify leaves no domain.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/worker_process.h"

#define MIB 4
#define AT "\"map\":\"%s\",\"folder\":\"%s\",\"job\":1"

struct fixture {
	char *folder;
	char *map;
	char sha256[65];
	int64_t bytes, raw_bytes, stored;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->folder = worker_folder();
	f->map = fm_format("%s/member-0.map", f->folder);
	worker_make_domain(f->folder, "fm-1-0", MIB);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_folder_remove(f->folder);
	free(f->map);
	free(f);
	return 0;
}

static void start_save(struct fixture *f, struct worker_process *w, const char *more)
{
	worker_request(w, f->folder, "\"op\":\"save\",\"name\":\"fm-1-0\"," AT "%s", f->map, f->folder,
		       more);
}

static void say(struct worker_process *w, const char *command)
{
	worker_send(w, "{\"cmd\":\"%s\"}", command);
}

static void expect_state(struct fixture *f, const char *name, const char *is)
{
	const char *found = worker_domain_state(f->folder, name);

	if (is)
		assert_string_equal(found ? found : "none", is);
	else
		assert_null(found);
}

static void expect_unharmed(struct fixture *f)
{
	expect_state(f, "fm-1-0", "running");
	assert_int_equal(access(f->map, F_OK), -1);
}

static void expect_armed(struct worker_process *w)
{
	FM_AUTO_JSON struct json_object *o = worker_event(w, "armed");

	assert_true(fm_json_bool_or(o, "live", false));
	assert_int_equal(fm_json_int_or(o, "raw_bytes", 0), MIB << 20);
}

static void expect_cut(struct worker_process *w)
{
	FM_AUTO_JSON struct json_object *o = worker_event(w, "cut");
	int64_t asked = fm_json_int_or(o, "suspend_ns", 0);

	assert_true(asked > INT64_C(1600000000000000000));
	assert_true(fm_json_int_or(o, "suspended_ns", 0) >= asked);
	assert_true(fm_json_bool_or(o, "frozen", false) && fm_json_bool_or(o, "quiet", false));
}

/* One save with nothing wrong. */
static void save(struct fixture *f)
{
	struct worker_process w;

	start_save(f, &w, "");
	expect_armed(&w);
	expect_state(f, "fm-1-0", "running");
	say(&w, "cut");
	expect_cut(&w);
	expect_state(f, "fm-1-0", "suspended");
	say(&w, "release");
	FM_AUTO_JSON struct json_object *released = worker_event(&w, "released");
	assert_true(json_object_get_double(json_object_object_get(released, "stopped_ms")) > 0);
	FM_AUTO_JSON struct json_object *saved = worker_event(&w, "saved");
	snprintf(f->sha256, sizeof(f->sha256), "%s", fm_json_string_or(saved, "sha256", ""));
	f->bytes = fm_json_int_or(saved, "bytes", 0);
	f->raw_bytes = fm_json_int_or(saved, "raw_bytes", 0);
	f->stored = fm_json_int_or(saved, "stored_bytes", 0);
	assert_true(f->raw_bytes > MIB << 20);
	assert_true(f->bytes > 0 && f->bytes < f->raw_bytes);
	worker_end(&w, 0);
	expect_state(f, "fm-1-0", "running");
}

static void start_restore(struct fixture *f, struct worker_process *w, const char *name)
{
	worker_request(w, f->folder,
		       "\"op\":\"restore\",\"name\":\"%s\"," AT ",\"sha256\":\"%s\",\"raw_bytes\":%lld,"
		       "\"params\":{\"params\":\"{\\\"rank\\\":1}\"}",
		       name, f->map, f->folder, f->sha256, (long long)f->raw_bytes);
}

static void expect_restored(struct fixture *f)
{
	struct worker_process w;

	start_restore(f, &w, "fm-2-0");
	FM_AUTO_JSON struct json_object *o = worker_event(&w, "restored");
	assert_string_equal(fm_json_text(json_object_object_get(o, "vifs")), "[\"sim2.0\"]");
	expect_state(f, "fm-2-0", "paused");
	say(&w, "release");
	worker_expect(&w, "running");
	expect_state(f, "fm-2-0", "running");
	say(&w, "thaw");
	worker_expect(&w, "thawed");
	worker_end(&w, 0);
	expect_state(f, "fm-2-0", "running");
}

static void test_save_and_restore(void **state)
{
	save(*state);
	expect_restored(*state);
}

/* The job stands still before the cut; said so, or that it does not. */
static void test_frozen_before(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	for (int answers = 0; answers < 2; answers++) {
		if (!answers)
			worker_inject(f->folder, "save.freeze=fail");
		start_save(f, &w, "");
		expect_armed(&w);
		say(&w, "freeze");
		FM_AUTO_JSON struct json_object *frozen = worker_event(&w, "frozen");
		assert_int_equal(fm_json_bool_or(frozen, "frozen", !answers), answers);
		worker_inject(f->folder, "save.freeze=kill"); /* once is enough */
		say(&w, "cut");
		FM_AUTO_JSON struct json_object *o = worker_event(&w, "cut");
		assert_int_equal(fm_json_bool_or(o, "frozen", !answers), answers);
		say(&w, "abort");
		worker_expect(&w, "aborted");
		worker_end(&w, 0);
		expect_unharmed(f);
		worker_inject(f->folder, "");
	}
}

/* How the leader can break a save off, at every step where it is listened to. */
enum breaking { BY_ABORT, BY_EOF, BY_SIGTERM, BY_BAD_LINE };

static void break_off(struct worker_process *w, enum breaking how)
{
	switch (how) {
	case BY_ABORT:
		say(w, "abort");
		worker_expect(w, "aborted");
		worker_end(w, 0);
		return;
	case BY_EOF:
		worker_hang_up(w);
		worker_expect_error(w, FM_FAILED, "the agent closed the connection");
		break;
	case BY_SIGTERM:
		kill(w->pid, SIGTERM);
		worker_expect_error(w, FM_FAILED, "a signal");
		break;
	case BY_BAD_LINE:
		worker_send(w, "{\"cmd\":");
		worker_expect_error(w, FM_USAGE, "JSON");
		break;
	}
	worker_end(w, 1);
}

static void test_broken_off_while_held(void **state)
{
	struct fixture *f = *state;

	for (enum breaking how = BY_ABORT; how <= BY_BAD_LINE; how++) {
		struct worker_process w;

		start_save(f, &w, "");
		expect_armed(&w);
		break_off(&w, how);
		expect_unharmed(f);
	}
}

static void test_broken_off_while_suspended(void **state)
{
	struct fixture *f = *state;

	for (enum breaking how = BY_ABORT; how <= BY_BAD_LINE; how++) {
		struct worker_process w;

		start_save(f, &w, "");
		expect_armed(&w);
		say(&w, "cut");
		expect_cut(&w);
		break_off(&w, how);
		expect_unharmed(f);
	}
}

static void test_command_out_of_turn(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	start_save(f, &w, "");
	expect_armed(&w);
	say(&w, "release");
	worker_expect_error(&w, FM_USAGE, "out of turn");
	worker_end(&w, 1);
	expect_unharmed(f);
}

static void test_held_too_long(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	start_save(f, &w, ",\"hold_max_ms\":50");
	expect_armed(&w);
	worker_expect_error(&w, FM_TIMEOUT, "held for 50 ms");
	worker_end(&w, 1);
	expect_unharmed(f);
}

static void test_suspended_too_long(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	start_save(f, &w, ",\"stop_max_ms\":50");
	expect_armed(&w);
	say(&w, "cut");
	expect_cut(&w);
	worker_expect_error(&w, FM_TIMEOUT, "suspended for 50 ms");
	worker_end(&w, 1);
	expect_unharmed(f);
}

static void test_driver_fails_at_each_step(void **state)
{
	static const char *const steps[] = { "save.begin", "save.armed", "save.suspend", "save.suspended" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		FM_AUTO_FREE char *fault = fm_format("%s=fail", steps[i]);
		struct worker_process w;

		worker_inject(f->folder, fault);
		start_save(f, &w, "");
		if (i >= 2) {
			expect_armed(&w);
			say(&w, "cut");
		}
		worker_expect_error(&w, FM_FAILED, steps[i]);
		worker_end(&w, 1);
		expect_unharmed(f);
	}
}

static void test_resume_fails(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	worker_inject(f->folder, "save.resume=fail");
	start_save(f, &w, "");
	expect_armed(&w);
	say(&w, "cut");
	expect_cut(&w);
	say(&w, "abort"); /* even then it must not be called aborted */
	worker_expect_error(&w, FM_FAILED, "left suspended");
	worker_end(&w, 1);
	expect_state(f, "fm-1-0", "suspended");
}

static void test_killed_while_suspended(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	worker_inject(f->folder, "save.suspended=kill");
	start_save(f, &w, "");
	expect_armed(&w);
	say(&w, "cut");
	worker_end(&w, -SIGKILL);
	expect_state(f, "fm-1-0", "suspended");

	worker_inject(f->folder, NULL);
	for (int again = 0; again < 2; again++) {
		worker_request(&w, f->folder, "\"op\":\"resume\",\"name\":\"fm-1-0\"");
		FM_AUTO_JSON struct json_object *o = worker_event(&w, "resumed");
		assert_int_equal(fm_json_bool_or(o, "was_suspended", false), !again);
		worker_end(&w, 0);
		expect_state(f, "fm-1-0", "running");
	}
}

static void test_one_save_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct worker_process w, second;
	FM_AUTO_FREE char *other = fm_format("%s/other.map", f->folder);

	start_save(f, &w, "");
	expect_armed(&w);
	worker_request(&second, f->folder, "\"op\":\"save\",\"name\":\"fm-1-0\"," AT, other, f->folder);
	worker_expect_error(&second, FM_BUSY, "under way");
	worker_end(&second, 1);
	assert_int_equal(access(other, F_OK), -1);
	break_off(&w, BY_ABORT);
	expect_unharmed(f);
}

/* A file may not grow beyond this, in the place of a disk that is full. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	signal(SIGXFSZ, SIG_IGN); /* the write fails instead */
	limit_files(64 << 10);
	start_save(f, &w, "");
	limit_files(RLIM_INFINITY);
	/* Armed may have been told before the first block reached the disk. */
	FM_AUTO_JSON struct json_object *o = worker_any_event(&w);
	if (strcmp(fm_json_string_or(o, "event", ""), "armed") == 0)
		worker_expect_error(&w, FM_FAILED, "File too large");
	else
		assert_non_null(strstr(fm_json_string_or(o, "text", ""), "File too large"));
	worker_end(&w, 1);
	expect_unharmed(f);
}

static void damage(struct fixture *f, off_t at)
{
	int fd = open(f->map, O_RDWR | O_CLOEXEC);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)~c;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static void expect_refused(struct fixture *f)
{
	struct worker_process w;

	start_restore(f, &w, "fm-2-0");
	worker_expect_error(&w, FM_CORRUPT, "");
	worker_end(&w, 1);
	expect_state(f, "fm-2-0", NULL);
}

static void test_damaged_streams_are_refused(void **state)
{
	struct fixture *f = *state;

	save(f);
	for (int i = 0; i < 8; i++) {
		off_t at = i < 7 ? f->bytes * i / 7 : f->bytes - 1;

		damage(f, at);
		expect_refused(f);
		damage(f, at); /* back */
	}
	assert_int_equal(truncate(f->map, f->bytes - 1), 0);
	expect_refused(f);
	assert_int_equal(unlink(f->map), 0);
	expect_refused(f);
}

/* Restored on another host from the same store, then saved again: no page is written a second time. */
static void test_pages_are_kept_once(void **state)
{
	struct fixture *f = *state;
	FM_AUTO_FREE char *first = f->map;

	save(f);
	assert_true(f->stored > 0 && f->stored > f->bytes);
	f->map = fm_format("%s/again.map", f->folder);
	save(f);
	assert_int_equal(f->stored, f->bytes); /* the map alone */
	expect_restored(f);
}

static void test_wrong_hash_is_refused(void **state)
{
	struct fixture *f = *state;

	save(f);
	f->sha256[0] = f->sha256[0] == '0' ? '1' : '0';
	expect_refused(f);
}

static void test_restore_undone(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	save(f);
	start_restore(f, &w, "fm-2-0");
	worker_expect(&w, "restored");
	break_off(&w, BY_ABORT);
	expect_state(f, "fm-2-0", NULL);
	start_restore(f, &w, "fm-2-0");
	worker_expect(&w, "restored");
	break_off(&w, BY_EOF);
	expect_state(f, "fm-2-0", NULL);
	for (enum breaking how = BY_ABORT; how <= BY_BAD_LINE; how++) { /* it runs, and is not thawed yet */
		start_restore(f, &w, "fm-2-0");
		worker_expect(&w, "restored");
		say(&w, "release");
		worker_expect(&w, "running");
		break_off(&w, how);
		expect_state(f, "fm-2-0", NULL);
	}
	start_restore(f, &w, "fm-1-0");
	worker_expect_error(&w, FM_BUSY, "exists already");
	worker_end(&w, 1);
	expect_state(f, "fm-1-0", "running");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_save_and_restore),
		TEST(test_frozen_before),
		TEST(test_broken_off_while_held),
		TEST(test_broken_off_while_suspended),
		TEST(test_command_out_of_turn),
		TEST(test_held_too_long),
		TEST(test_suspended_too_long),
		TEST(test_driver_fails_at_each_step),
		TEST(test_resume_fails),
		TEST(test_killed_while_suspended),
		TEST(test_one_save_at_a_time),
		TEST(test_no_room),
		TEST(test_pages_are_kept_once),
		TEST(test_damaged_streams_are_refused),
		TEST(test_wrong_hash_is_refused),
		TEST(test_restore_undone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
