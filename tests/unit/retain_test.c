/* SPDX-License-Identifier: GPL-2.0-or-later */
/* retain_test - which snapshots go, and that they do; pins; what is left of a job. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "agent/store/pin.h"
#include "agent/store/retain.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/sweep_fixture.h"

#define HOUR 3600
#define NOW 1800000000 /* 2027-01-15T08:00:00Z */

/* ---- decisions ----------------------------------------------------------------------------- */

/*
 * A life in a word, oldest first: a letter a snapshot. w whole, p pinned, d damaged, u unknown, i in use; each is an hour
 * older than the next, the newest an hour old. The answer: which are removed.
 */
struct plan {
	const char *life;
	struct retain_wishes w;
	const char *removed; /* "x" removed, "." not */
};

static const struct plan plans[] = {
	{ "www", { .damaged = false }, "..." }, /* no rule */
	{ "wwww", { .rules.keep = 2 }, "xx.." },
	{ "w", { .rules.keep = 1 }, "." },
	{ "wpwpw", { .rules.keep = 2 }, "x...." }, /* a pinned one stays, and takes no place */
	{ "wpwpw", { .rules.keep = 1 }, "x.x.." },
	{ "wwd", { .rules.keep = 1 }, "x.." }, /* a damaged one is not the newest */
	{ "wwu", { .rules.keep = 1 }, "x.." },
	{ "dwd", { .rules.keep = 1, .damaged = true }, "x.x" },
	{ "dpd", { .damaged = true }, "x.x" },
	{ "www", { .rules.max_age_s = 2 * HOUR }, "x.." },
	{ "www", { .rules.max_age_s = 60 }, "xx." }, /* the newest stays at any age */
	{ "wwwd", { .rules.max_age_s = 60 }, "xx.." },
	{ "wwwp", { .rules.max_age_s = 60 }, "xxx." }, /* it is whole, and stays */
	{ "www", { .rules.max_age_s = 60, .ended = true }, "xxx" },
	{ "wpw", { .rules.max_age_s = 60, .ended = true }, "x.x" },
	{ "wwww", { .rules = { 3, 2 * HOUR } }, "xx.." },
	{ "wwww", { .rules = { 1, 2 * HOUR } }, "xxx." },
	{ "wiw", { .rules.keep = 1 }, "x.." },
	{ "iww", { .rules.max_age_s = 60, .ended = true }, ".xx" },
	{ "", { .rules.keep = 1 }, "" },
};

static void entries_of(const char *life, struct retain_entry *e)
{
	size_t count = strlen(life);

	memset(e, 0, count * sizeof(*e));
	for (size_t i = 0; i < count; i++) {
		e[i].n = (uint32_t)i + 1;
		e[i].created = NOW - (int64_t)(count - i) * HOUR;
		e[i].pinned = life[i] == 'p';
		e[i].in_use = life[i] == 'i';
		e[i].state = life[i] == 'd' ? RETAIN_DAMAGED : life[i] == 'u' ? RETAIN_UNKNOWN : RETAIN_WHOLE;
	}
}

static void who_stays(void **state)
{
	(void)state;
	for (size_t p = 0; p < sizeof(plans) / sizeof(*plans); p++) {
		struct retain_wishes w = plans[p].w;
		struct retain_entry e[8];
		char removed[9] = "";

		w.now = NOW;
		entries_of(plans[p].life, e);
		retain_decide(e, strlen(plans[p].life), &w);
		for (size_t i = 0; plans[p].life[i]; i++) {
			removed[i] = e[i].remove ? 'x' : '.';
			assert_true(e[i].state == RETAIN_UNKNOWN || *e[i].why);
		}
		if (strcmp(removed, plans[p].removed) != 0)
			fail_msg("plan %zu, %s: %s, not %s", p, plans[p].life, removed, plans[p].removed);
	}
}

static void the_stricter_rule_holds(void **state)
{
	static const struct {
		struct retain_rules a, b, both;
	} cases[] = {
		{ { 0, 0 }, { 0, 0 }, { 0, 0 } },       { { 3, 0 }, { 0, 60 }, { 3, 60 } },
		{ { 3, 90 }, { 5, 60 }, { 3, 60 } },    { { 5, 60 }, { 3, 90 }, { 3, 60 } },
		{ { 0, 60 }, { 2, 0 }, { 2, 60 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct retain_rules r = retain_stricter(cases[i].a, cases[i].b);

		assert_int_equal(r.keep, cases[i].both.keep);
		assert_int_equal(r.max_age_s, cases[i].both.max_age_s);
	}
}

/* ---- on disk --------------------------------------------------------------------------------- */

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

/* A whole snapshot of job 5, so many hours old, whose job wants `keep`. */
static void make(const char *store, unsigned hours, unsigned keep)
{
	FM_AUTO_JSON struct json_object *manifest = NULL;
	FM_AUTO_FREE char *path = NULL, *text = NULL;
	time_t created = NOW - (time_t)hours * HOUR;
	struct fm_snapshot_id id;
	struct fm_error err;
	char when[32];
	struct tm tm;

	assert_ok(fixture_snapshot(store, 5, 1, &id, &err), err);
	manifest = store_manifest(store, &id, &err);
	assert_non_null(manifest);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&created, &tm));
	fm_json_set_string(manifest, "created", when);
	fm_json_set_int(manifest_get(manifest, "job"), "keep", keep);
	text = manifest_seal(manifest, &err);
	path = folder_path(store, &id, MANIFEST_NAME, &err);
	assert_non_null(text);
	assert_ok(fm_file_write(path, 0600, text, strlen(text), &err), err);
}

static struct json_object *retain(const char *store, const struct retain_options *options)
{
	struct retain_options o = *options;
	struct json_object *report;
	struct fm_error err;

	o.now = NOW;
	assert_ok(store_retain(store, 5, &o, &report, &err), err);
	assert_null(manifest_get(report, "sweep_error"));
	return report;
}

static void job_and_site_together(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *dry = NULL, *done = NULL, *again = NULL;
	const struct retain_options o = { .site = { 4, 150 * 60 }, .dry_run = true };
	struct retain_options really = o;

	for (unsigned hours = 6; hours > 0; hours--)
		make(store, hours, 3); /* 6 h … 1 h old */
	dry = retain(store, &o);
	assert_int_equal(fm_json_int_or(dry, "keep", 0), 3);
	assert_int_equal(fm_json_int_or(dry, "max_age_s", 0), 150 * 60);
	assert_int_equal(fm_json_int_or(dry, "removed", 0), 4);
	assert_string_equal(fixture_listed(store, 5), "1 2 3 4 5 6");
	really.dry_run = false;
	done = retain(store, &really);
	assert_string_equal(json_object_to_json_string(dry), json_object_to_json_string(done));
	assert_true(fm_json_int_or(done, "freed", 0) > 4 * 1000);
	assert_string_equal(fixture_listed(store, 5), "5 6");
	again = retain(store, &really);
	assert_int_equal(fm_json_int_or(again, "removed", 9), 0);
}

static void one_that_lost_a_file_pushes_none_out(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *report = NULL, *damaged = NULL;
	FM_AUTO_FREE char *held = fm_format("%s/5/3/member-0.held", store);

	for (unsigned hours = 3; hours > 0; hours--)
		make(store, hours, 0);
	assert_int_equal(unlink(held), 0);
	report = retain(store, &(struct retain_options){ .given = true, .rules.keep = 1 });
	assert_string_equal(fixture_listed(store, 5), "2 3");
	assert_non_null(strstr(json_object_to_json_string_ext(report, JSON_C_TO_STRING_NOSLASHESCAPE), held));
	damaged = retain(store, &(struct retain_options){ .given = true, .damaged = true });
	assert_int_equal(fm_json_int_or(damaged, "removed", 0), 1);
	assert_string_equal(fixture_listed(store, 5), "2");
}

static void a_pin_holds(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *report = NULL, *pin = NULL;
	FM_AUTO_FREE char *content = fm_format("%s/5/1/pinned", store);
	struct fm_snapshot_id id = { .job = 5, .n = 1 }, none = { .job = 5, .n = 9 };
	struct fm_error err;

	make(store, 3, 0);
	make(store, 2, 0);
	assert_ok(store_pin(store, &id, 0, "for the paper", &err), err);
	assert_code(store_pin(store, &none, 0, NULL, &err), err, FM_NOT_FOUND);
	assert_code(store_unpin(store, &none, &err), err, FM_NOT_FOUND);
	pin = pin_read(store, &id);
	assert_string_equal(fm_json_string_or(pin, "comment", ""), "for the paper");
	assert_string_equal(fm_json_string_or(pin, "by", ""), "root");
	assert_code(store_remove(store, &id, &err), err, FM_BUSY);
	assert_string_equal(err.text, "snapshot 5.1 is pinned by root, for the paper: unpin it first");
	report = retain(store, &(struct retain_options){ .given = true, .rules = { 1, 1 }, .ended = true });
	assert_string_equal(fixture_listed(store, 5), "1");
	assert_false(fm_json_bool_or(report, "folder_removed", true));
	assert_int_equal(truncate(content, 3), 0); /* what it says is damaged: it holds */
	assert_code(store_remove(store, &id, &err), err, FM_BUSY);
	assert_ok(store_unpin(store, &id, &err), err);
	assert_ok(store_unpin(store, &id, &err), err);
	assert_ok(store_remove(store, &id, &err), err);
	assert_code(store_pin(store, &id, 0, NULL, &err), err, FM_NOT_FOUND);
	assert_string_equal(fixture_listed(store, 5), "");
}

/* Pinned and removed at the same time, many times: one of both is refused. */
static void a_pin_and_a_removal_at_once(void **state)
{
	const char *store = *state;
	unsigned stayed = 0, went = 0;

	for (unsigned i = 0; i < 40; i++) {
		struct fm_snapshot_id id;
		struct fm_error err;
		bool pinned;
		int status;
		pid_t pid;

		assert_ok(fixture_snapshot(store, 5, 1, &id, &err), err);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0 && nanosleep(&(struct timespec){ 0, i * 100000 }, NULL) == 0) /* now before, now after, now amid */
			_exit(store_remove(store, &id, &err) == 0 ? 0 : err.code == FM_BUSY ? 1 : 2);
		pinned = store_pin(store, &id, 0, NULL, &err) == 0;
		if (!pinned)
			assert_int_equal(err.code, FM_NOT_FOUND);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		if (pinned) { /* it was told so: it must be there */
			assert_int_equal(WEXITSTATUS(status), 1);
			assert_int_equal(folder_is_whole(store, &id, &err), 1);
			assert_int_equal(pin_is(store, &id, &err), 1);
		}
		if (WEXITSTATUS(status) == 0)
			assert_int_equal(folder_is_whole(store, &id, &err), 0);
		stayed += WEXITSTATUS(status) == 1;
		went += WEXITSTATUS(status) == 0;
	}
	print_message("%u stayed, %u went\n", stayed, went);
}

static bool only_users(void *arg, struct json_object *manifest)
{
	const int64_t *uid = arg;

	return manifest && fm_json_int_or(manifest_get(manifest, "job"), "uid", -1) == *uid;
}

static void what_is_not_the_callers_stays(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *report = NULL;
	FM_AUTO_FREE char *script = fm_format("%s/5/script", store);
	int64_t uid = 4711; /* the fixture's are 1000's */
	struct fm_error err;

	make(store, 3, 0);
	make(store, 2, 0);
	assert_ok(fixture_script(store, 5, "#!/bin/sh\n", &err), err);
	report = retain(store, &(struct retain_options){ .given = true, .rules = { 1, 1 }, .ended = true, .damaged = true,
							  .allowed = only_users, .arg = &uid });
	assert_int_equal(json_object_array_length(manifest_get(report, "snapshots")), 0);
	assert_string_equal(fixture_listed(store, 5), "1 2");
	assert_int_equal(access(script, F_OK), 0);
}

static void a_job_that_has_ended_goes_with_its_last(void **state)
{
	const char *store = *state;
	FM_AUTO_JSON struct json_object *dry = NULL, *some = NULL, *all = NULL;
	FM_AUTO_FREE char *folder = fm_format("%s/5", store), *pages = fm_format("%s/5/pages", store);
	FM_AUTO_FREE char *gone = fm_format("%s/.5.gone", store);
	struct retain_options o = { .given = true, .rules.max_age_s = 150 * 60, .ended = true };
	struct pages_store *s;
	struct pages_writer *w;
	struct fm_error err;

	make(store, 3, 0);
	make(store, 2, 0);
	assert_ok(fixture_script(store, 5, "#!/bin/sh\n", &err), err);
	some = retain(store, &o);
	assert_false(fm_json_bool_or(some, "folder_removed", true));
	assert_string_equal(fixture_listed(store, 5), "2");
	o.rules.max_age_s = 60;
	o.dry_run = true;
	dry = retain(store, &o);
	assert_true(fm_json_bool_or(dry, "folder_removed", false));
	assert_int_equal(access(folder, F_OK), 0);
	o.dry_run = false;
	/* Somebody is writing pages: it has not. */
	s = pages_store_open(pages, 5, NULL, &err);
	w = pages_writer_create(s, &(struct pages_writer_options){ 0 }, &err);
	assert_non_null(w);
	assert_ok(store_retain(store, 5, &o, &all, &err), err);
	assert_false(fm_json_bool_or(all, "folder_removed", true));
	assert_non_null(strstr(fm_json_string_or(all, "sweep_error", ""), "being written"));
	pages_writer_abort(w);
	pages_store_close(s);
	json_object_put(all);
	assert_int_equal(access(folder, F_OK), 0);
	/* A removal cut short, and one of another time. */
	assert_ok(fm_mkdir_all(gone, 0700, &err), err);
	all = retain(store, &o);
	assert_true(fm_json_bool_or(all, "folder_removed", false));
	assert_int_not_equal(access(folder, F_OK), 0);
	assert_int_not_equal(access(gone, F_OK), 0);
}

static void a_removal_cut_short_is_finished(void **state)
{
	const char *store = *state;
	struct fm_snapshot_id id = { .job = 5, .n = 1 };
	struct fm_error err;

	for (unsigned hours = 4; hours > 0; hours--)
		make(store, hours, 0);
	for (uint32_t n = 1; n <= 4; n++) { /* 4: the job's highest number; 3: pinned in the same moment */
		FM_AUTO_FREE char *from = fm_format("%s/5/%u/manifest.json", store, n);
		FM_AUTO_FREE char *to = fm_format("%s/5/%u/manifest.removed", store, n);

		id.n = n;
		if (n == 3)
			assert_ok(store_pin(store, &id, 0, NULL, &err), err);
		if (n != 2)
			assert_int_equal(rename(from, to), 0);
	}
	json_object_put(retain(store, &(struct retain_options){ 0 }));
	assert_string_equal(fixture_listed(store, 5), "2 3");
	id.n = 1;
	assert_int_equal(folder_is_removed(store, &id, &err), 0);
	assert_ok(fixture_snapshot(store, 5, 1, &id, &err), err);
	assert_int_equal(id.n, 5);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_stays),
		cmocka_unit_test(the_stricter_rule_holds),
		T(job_and_site_together),
		T(one_that_lost_a_file_pushes_none_out),
		T(a_pin_holds),
		T(a_pin_and_a_removal_at_once),
		T(what_is_not_the_callers_stays),
		T(a_job_that_has_ended_goes_with_its_last),
		T(a_removal_cut_short_is_finished),
	};

	return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
