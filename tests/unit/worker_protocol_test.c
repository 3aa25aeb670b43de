/* SPDX-License-Identifier: GPL-2.0-or-later */
/* worker_protocol_test.c - fermata-worker's lines: what it refuses, and a domain's short life. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/worker_process.h"

#define CREATE "\"op\":\"create\",\"name\":\"fm-1-0\",\"kernel\":\"/k\",\"memory_mib\":1,\"vcpus\":1"

static int setup(void **state)
{
	*state = worker_folder();
	return 0;
}

static int teardown(void **state)
{
	worker_folder_remove(*state);
	return 0;
}

static void refused(const char *line, const char *part)
{
	struct worker_process w;

	worker_start(&w);
	worker_send(&w, "%s", line);
	worker_expect_error(&w, FM_USAGE, part);
	worker_end(&w, 1);
}

static void test_bad_requests(void **state)
{
	refused("", "JSON");
	refused("nonsense", "JSON");
	refused("[1]", "not an object");
	refused("{\"op\":\"create\"} {\"op\":\"list\"}", "JSON");
	refused("{}", "\"op\" is missing");
	refused("{\"op\":7}", "\"op\" is not of type");
	refused("{\"op\":\"fly\",\"driver\":\"sim\"}", "unknown op \"fly\"");
	refused("{\"op\":\"list\"}", "\"driver\" is missing");
	refused("{\"op\":\"list\",\"driver\":\"bochs\"}", "no hypervisor driver");
	refused("{\"op\":\"list\",\"driver\":\"sim\",\"rundir\":\"here\"}", "absolute path");
	refused("{\"op\":\"destroy\",\"driver\":\"sim\",\"name\":\"Domain-0\"}", "no domain of Fermata's");
	refused("{\"op\":\"destroy\",\"driver\":\"sim\",\"name\":\"fm-../x\"}", "no domain of Fermata's");
	refused("{\"op\":\"destroy\",\"driver\":\"sim\",\"name\":\"fm-\"}", "no domain of Fermata's");
	refused("{\"driver\":\"sim\",\"op\":\"create\",\"name\":\"fm-1-0\"}", "\"kernel\" is missing");
	refused("{\"driver\":\"sim\"," CREATE ",\"type\":\"hvm\"}", "unknown type of guest");
	refused("{\"driver\":\"sim\"," CREATE ",\"memory_mib\":0}", "memory_mib");
	refused("{\"driver\":\"sim\"," CREATE ",\"disks\":{}}", "\"disks\"");
	refused("{\"driver\":\"sim\"," CREATE ",\"disks\":[{\"path\":\"x\",\"vdev\":\"xvda\"}]}", "absolute path");
	refused("{\"driver\":\"sim\"," CREATE ",\"vifs\":[{\"bridge\":\"b\"}]}", "\"mac\" is missing");
	refused("{\"driver\":\"sim\"," CREATE ",\"vifs\":[{\"mac\":\"00:11\"}]}", "bad MAC");
	refused("{\"driver\":\"sim\"," CREATE ",\"params\":{\"a/b\":\"x\"}}", "bad name of a param");
	refused("{\"driver\":\"sim\",\"op\":\"restore\",\"name\":\"fm-1-0\",\"map\":\"/s\",\"folder\":\"/p\",\"job\":1,"
		"\"sha256\":\"zz\",\"raw_bytes\":1}", "64 hexadecimal digits");
	refused("{\"driver\":\"sim\",\"op\":\"save\",\"name\":\"fm-1-0\",\"map\":\"/s\",\"folder\":\"p\",\"job\":1}", "\"folder\"");
	refused("{\"driver\":\"sim\",\"op\":\"save\",\"name\":\"fm-1-0\",\"map\":\"/s\",\"folder\":\"/p\"}", "\"job\"");
}

static void test_line_without_end(void **state)
{
	FM_AUTO_FREE char *flood = malloc((2 << 20) + 1);
	struct worker_process w;

	assert_non_null(flood);
	memset(flood, 'a', 2 << 20);
	flood[2 << 20] = '\0';
	worker_start(&w);
	signal(SIGPIPE, SIG_IGN);
	fm_write_all(w.in, flood, 2 << 20); /* it need not take all of it */
	worker_expect_error(&w, FM_USAGE, "a line longer than");
	worker_end(&w, 1);
}

static void test_eof_before_request(void **state)
{
	struct worker_process w;

	worker_start(&w);
	worker_hang_up(&w);
	worker_expect_error(&w, FM_USAGE, "no request");
	worker_end(&w, 1);
}

static void test_create_and_release(void **state)
{
	struct worker_process w;

	worker_request(&w, *state, CREATE ",\"vifs\":[{\"mac\":\"00:16:3e:00:00:01\"}]");
	FM_AUTO_JSON struct json_object *created = worker_event(&w, "created");
	assert_int_equal(fm_json_int_or(created, "domid", 0), 1);
	assert_string_equal(fm_json_text(json_object_object_get(created, "vifs")), "[\"sim1.0\"]");
	assert_string_equal(worker_domain_state(*state, "fm-1-0"), "paused");
	worker_send(&w, "{\"cmd\":\"release\"}");
	worker_expect(&w, "running");
	worker_end(&w, 0);
	assert_string_equal(worker_domain_state(*state, "fm-1-0"), "running");

	worker_request(&w, *state, CREATE);
	worker_expect_error(&w, FM_BUSY, "exists already");
	worker_end(&w, 1);

	worker_request(&w, *state, "\"op\":\"destroy\",\"name\":\"fm-1-0\"");
	worker_expect(&w, "destroyed");
	worker_end(&w, 0);
	assert_null(worker_domain_state(*state, "fm-1-0"));
	worker_request(&w, *state, "\"op\":\"destroy\",\"name\":\"fm-1-0\"");
	worker_expect(&w, "destroyed");
	worker_end(&w, 0);
}

static void test_abort_removes_new_domain(void **state)
{
	struct worker_process w;

	worker_request(&w, *state, CREATE);
	worker_expect(&w, "created");
	worker_send(&w, "{\"cmd\":\"abort\"}");
	worker_expect(&w, "aborted");
	worker_end(&w, 0);
	assert_null(worker_domain_state(*state, "fm-1-0"));
}

static void test_eof_removes_new_domain(void **state)
{
	struct worker_process w;

	worker_request(&w, *state, CREATE);
	worker_expect(&w, "created");
	worker_hang_up(&w);
	worker_expect_error(&w, FM_FAILED, "the agent closed the connection");
	worker_end(&w, 1);
	assert_null(worker_domain_state(*state, "fm-1-0"));
}

static void test_unknown_command_removes_new_domain(void **state)
{
	struct worker_process w;

	worker_request(&w, *state, CREATE);
	worker_expect(&w, "created");
	worker_send(&w, "{\"cmd\":\"dance\"}");
	worker_expect_error(&w, FM_USAGE, "unknown command \"dance\"");
	worker_end(&w, 1);
	assert_null(worker_domain_state(*state, "fm-1-0"));
}

static void test_failed_release_removes_domain(void **state)
{
	struct worker_process w;

	worker_request(&w, *state, CREATE);
	worker_expect(&w, "created");
	worker_inject(*state, "fm-1-0/release=fail:no power");
	worker_send(&w, "{\"cmd\":\"release\"}");
	worker_expect_error(&w, FM_FAILED, "no power");
	worker_end(&w, 1);
	assert_null(worker_domain_state(*state, "fm-1-0"));
}

static void kill_domain(const char *folder, const char *name, const char *how)
{
	FM_AUTO_FREE char *path = fm_format("%s/sim/%s.death", folder, name);
	struct fm_error err;

	assert_int_equal(fm_file_write(path, 0600, how, strlen(how), &err), 0);
}

static void expect_death(struct worker_process *w, const char *name, const char *reason)
{
	FM_AUTO_JSON struct json_object *o = worker_event(w, "died");

	assert_string_equal(fm_json_string_or(o, "name", ""), name);
	assert_string_equal(fm_json_string_or(o, "reason", ""), reason);
}

/* This death is the next, but for that of fm-2-0, unless that was told before. True: it has been. */
static bool expect_death_or_gone(struct worker_process *w, const char *name, const char *reason, bool seen_gone)
{
	FM_AUTO_JSON struct json_object *o = worker_event(w, "died");

	if (!seen_gone && strcmp(fm_json_string_or(o, "name", ""), "fm-2-0") == 0) {
		assert_string_equal(fm_json_string_or(o, "reason", ""), "gone");
		expect_death(w, name, reason);
		return true;
	}
	assert_string_equal(fm_json_string_or(o, "name", ""), name);
	assert_string_equal(fm_json_string_or(o, "reason", ""), reason);
	return seen_gone;
}

static void test_watch_tells_each_death_once(void **state)
{
	struct worker_process w, other;
	bool seen_gone;

	worker_make_domain(*state, "fm-1-0", 1);
	worker_make_domain(*state, "fm-1-1", 1);
	kill_domain(*state, "fm-1-0", "crash");
	worker_request(&w, *state, "\"op\":\"watch\"");
	expect_death(&w, "fm-1-0", "crash"); /* dead before it looked */
	kill_domain(*state, "fm-1-1", "poweroff");
	expect_death(&w, "fm-1-1", "poweroff");
	worker_make_domain(*state, "fm-2-0", 1);
	worker_request(&other, *state, "\"op\":\"destroy\",\"name\":\"fm-2-0\"");
	worker_expect(&other, "destroyed");
	worker_end(&other, 0);
	/*
	 * One that came and went between two looks was never seen. If it was, the look that finds the third dead
	 * at the latest finds it gone, and tells both in any order; the fourth one's death is a later look's.
	 */
	worker_make_domain(*state, "fm-3-0", 1);
	kill_domain(*state, "fm-3-0", "watchdog");
	seen_gone = expect_death_or_gone(&w, "fm-3-0", "watchdog", false);
	worker_make_domain(*state, "fm-4-0", 1);
	kill_domain(*state, "fm-4-0", "reboot");
	expect_death_or_gone(&w, "fm-4-0", "reboot", seen_gone);
	worker_hang_up(&w);
	worker_end(&w, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_line_without_end),
		cmocka_unit_test(test_eof_before_request),
		cmocka_unit_test_setup_teardown(test_create_and_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort_removes_new_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eof_removes_new_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_command_removes_new_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_release_removes_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_tells_each_death_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
