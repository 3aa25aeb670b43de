/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * runner_freezer_test.c - the host says freeze: the job's processes stand still, all of them, and the host is told
 * so then and not before; it says nothing more: they go on by themselves.  The cgroup is a real one, xenstore is
 * played by the test on the other side of a pty.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/cgroup.h"
#include "agent/runner/freezer.h"
#include "agent/runner/xenstore.h"
#include "common/io.h"

#define TASK "t1"

static char mount_point[] = "/tmp/fermata-freezer.XXXXXX", root[PATH_MAX];
static int master = -1, slave = -1;
static char device[64];
static pid_t freezer_pid, job_pid, late_pid;
static int job_pipe = -1; /* the job writes a byte now and then */

/* A cgroup of our own to be the root of one guest's. */
static int set_up(void **state)
{
	if (geteuid() != 0 || !mkdtemp(mount_point) || mount("cgroup2", mount_point, "cgroup2", 0, NULL))
		return 0; /* each test says that it is skipped */
	snprintf(root, sizeof(root), "%s/fermata-test-%d", mount_point, (int)getpid());
	assert_int_equal(mkdir(root, 0755), 0);
	cgroup_set_root(root);
	return 0;
}

static int tear_down(void **state)
{
	char path[PATH_MAX + 16];

	if (*root) {
		cgroup_remove(TASK);
		snprintf(path, sizeof(path), "%s/" CGROUP_JOB, root);
		rmdir(path);
		rmdir(root);
		umount(mount_point);
	}
	rmdir(mount_point);
	return 0;
}

/* ---- xenstore's side ------------------------------------------------------------------ */

static void put(uint32_t type, uint32_t request, const char *text, size_t size)
{
	struct xenstore_header head = { .type = type, .request = request, .size = (uint32_t)size };

	assert_int_equal(fm_write_all(master, &head, sizeof(head)), 0);
	assert_int_equal(fm_write_all(master, text, size), 0);
}

/* The next request must be of this type, for this key; its second text, "" if none. */
static const char *expect(enum xenstore_type type, const char *key)
{
	static char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct pollfd in = { .fd = master, .events = POLLIN };
	struct xenstore_header head;
	size_t size = strlen(key) + 1;

	assert_int_equal(poll(&in, 1, 20000), 1);
	assert_int_equal(fm_read_all(master, &head, sizeof(head)), sizeof(head));
	assert_int_equal(head.type, type);
	assert_true(head.size >= size && head.size <= XENSTORE_PAYLOAD_MAX);
	assert_int_equal(fm_read_all(master, payload, head.size), head.size);
	payload[head.size] = 0;
	assert_string_equal(payload, key);
	return head.size > size ? payload + size : "";
}

static bool asks_nothing(int ms)
{
	struct pollfd in = { .fd = master, .events = POLLIN };

	return poll(&in, 1, ms) == 0;
}

/* The key has changed: the freezer reads it. NULL: it is not there. */
static void order(const char *value)
{
	put(XENSTORE_EVENT, 0, FREEZER_KEY "\0freeze", sizeof(FREEZER_KEY "\0freeze"));
	expect(XENSTORE_READ, FREEZER_KEY);
	if (value)
		put(XENSTORE_READ, XENSTORE_READ, value, strlen(value));
	else
		put(XENSTORE_ERROR, XENSTORE_READ, "ENOENT", sizeof("ENOENT"));
}

static const char *next_answer(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s", expect(XENSTORE_WRITE, FREEZER_ANSWER));
	put(XENSTORE_WRITE, XENSTORE_WRITE, "OK", sizeof("OK"));
	return text;
}

static void expect_answer(const char *text)
{
	assert_string_equal(expect(XENSTORE_WRITE, FREEZER_ANSWER), text);
	put(XENSTORE_WRITE, XENSTORE_WRITE, "OK", sizeof("OK"));
}

/* ---- the runner's side, and the job ------------------------------------------------------ */

static void run_freezer(void)
{
	struct loop *loop = loop_create();
	struct fm_error err;

	if (!loop || !freezer_create(loop, device, &err) || loop_run(loop))
		_exit(1);
	_exit(0);
}

static void run_job(int out)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	cgroup_join(TASK);
	while (write(out, "x", 1) == 1)
		nanosleep(&pause, NULL);
	_exit(0);
}

static bool job_runs(int ms)
{
	struct pollfd in = { .fd = job_pipe, .events = POLLIN };
	char bytes[4096];

	while (poll(&in, 1, 0) > 0 && read(job_pipe, bytes, sizeof(bytes)) > 0)
		;
	return poll(&in, 1, ms) > 0;
}

/* A device for each test: a freezer may be killed between two halves of a message, the next one would read the rest. */
static void open_device(void)
{
	struct termios raw;

	master = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master) && !ptsname_r(master, device, sizeof(device)));
	slave = open(device, O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
}

static void begin(void)
{
	int ends[2];

	if (!*root) {
		print_message("SKIP: needs root and cgroup v2\n");
		skip();
	}
	open_device();
	assert_int_equal(cgroup_create(TASK), 0);
	assert_int_equal(pipe(ends), 0);
	job_pipe = ends[0];
	job_pid = fork();
	if (!job_pid)
		run_job(ends[1]);
	close(ends[1]);
	assert_true(job_runs(10000));
	freezer_pid = fork();
	if (!freezer_pid)
		run_freezer();
	assert_string_equal(expect(XENSTORE_WATCH, FREEZER_KEY), "freeze");
	put(XENSTORE_WATCH, XENSTORE_WATCH, "OK", sizeof("OK"));
	order(NULL); /* xenstore's first event follows every watch */
	expect_answer("-");
}

static void end_process(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static void end_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* After every test, a failed one, too: nothing stays frozen. */
static int end(void **state)
{
	end_process(&freezer_pid);
	if (*root)
		cgroup_freeze(0);
	end_process(&job_pid);
	end_process(&late_pid);
	end_file(&job_pipe);
	end_file(&master);
	end_file(&slave);
	return 0;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void freezes_and_thaws(void **state)
{
	begin();
	assert_true(job_runs(10000));
	order("token-1 20000");
	expect_answer("token-1");
	assert_false(job_runs(100));
	order(NULL);
	expect_answer("-");
	assert_true(job_runs(10000));
	order("token-2");
	expect_answer("token-2");
	order("");
	expect_answer("-");
	assert_true(job_runs(10000));
}

/* After a restore the key has another token: it stands still from the snapshot on, and says so anew. */
static void stays_frozen(void **state)
{
	begin();
	order("cut 20000");
	expect_answer("cut");
	order("restored");
	expect_answer("restored");
	assert_false(job_runs(100));
	order(NULL);
	expect_answer("-");
	assert_true(job_runs(10000));
}

static void goes_on_by_itself(void **state)
{
	begin();
	order("cut 200");
	if (strcmp(next_answer(), "-") != 0) /* a busy machine may take as long to freeze it */
		expect_answer("-");
	assert_true(job_runs(10000));
}

/* A process that comes into being stopped is in the cgroup before it does anything. */
static void new_process(void **state)
{
	int ends[2];

	begin();
	order("cut");
	expect_answer("cut");
	assert_int_equal(pipe(ends), 0);
	late_pid = fork();
	if (!late_pid)
		run_job(ends[1]);
	close(ends[1]);
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 200), 0);
	order("");
	expect_answer("-");
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 10000), 1);
	close(ends[0]);
}

/* Events that come before the answer to a read lead to one more read, whose word counts. */
static void last_word_counts(void **state)
{
	begin();
	put(XENSTORE_EVENT, 0, FREEZER_KEY "\0freeze", sizeof(FREEZER_KEY "\0freeze"));
	expect(XENSTORE_READ, FREEZER_KEY);
	put(XENSTORE_EVENT, 0, FREEZER_KEY "\0freeze", sizeof(FREEZER_KEY "\0freeze"));
	put(XENSTORE_EVENT, 0, FREEZER_KEY "\0freeze", sizeof(FREEZER_KEY "\0freeze"));
	put(XENSTORE_ERROR, XENSTORE_READ, "ENOENT", sizeof("ENOENT"));
	expect_answer("-");
	expect(XENSTORE_READ, FREEZER_KEY);
	put(XENSTORE_READ, XENSTORE_READ, "cut", 3);
	expect_answer("cut");
	assert_true(asks_nothing(50));
}

/* Cut apart and put together: a message is a message. */
static void bytewise(void **state)
{
	static const char message[] = FREEZER_KEY "\0freeze";
	struct xenstore_header head = { .type = XENSTORE_EVENT, .size = sizeof(message) };
	char bytes[sizeof(head) + sizeof(message)];

	begin();
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), message, sizeof(message));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(write(master, bytes + i, 1), 1);
		poll(NULL, 0, 1);
	}
	expect(XENSTORE_READ, FREEZER_KEY);
	put(XENSTORE_READ, XENSTORE_READ, "cut", 3);
	expect_answer("cut");
	order(NULL);
	expect_answer("-");
}

/* Restored by somebody else, on a host without the keys: it goes on. */
static void not_allowed(void **state)
{
	begin();
	order("cut");
	assert_string_equal(expect(XENSTORE_WRITE, FREEZER_ANSWER), "cut");
	put(XENSTORE_ERROR, XENSTORE_WRITE, "EACCES", sizeof("EACCES"));
	put(XENSTORE_EVENT, 0, FREEZER_KEY "\0freeze", sizeof(FREEZER_KEY "\0freeze"));
	expect(XENSTORE_READ, FREEZER_KEY);
	put(XENSTORE_ERROR, XENSTORE_READ, "EACCES", sizeof("EACCES"));
	expect_answer("-");
	assert_true(job_runs(10000));
}

static void none_there(void **state)
{
	struct loop *loop = loop_create();
	struct fm_error err;

	cgroup_set_root("/nonexistent");
	assert_null(freezer_create(loop, "/nonexistent", &err));
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	cgroup_set_root(root);
	if (*root) {
		assert_null(freezer_create(loop, "/nonexistent", &err));
		assert_non_null(strstr(err.text, "/nonexistent"));
	}
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(freezes_and_thaws, end),
		cmocka_unit_test_teardown(stays_frozen, end),
		cmocka_unit_test_teardown(goes_on_by_itself, end),
		cmocka_unit_test_teardown(new_process, end),
		cmocka_unit_test_teardown(last_word_counts, end),
		cmocka_unit_test_teardown(bytewise, end),
		cmocka_unit_test_teardown(not_allowed, end),
		cmocka_unit_test(none_there),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
