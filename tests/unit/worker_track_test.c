/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker_track_test.c - promise 1 where only what has changed is saved: every snapshot is what the domain was at its cut,
 * and whatever is in doubt, it is a whole one.  A simulated domain's pages have versions, which a restore compares with
 * those at the cut (sim_pages.h): a page that should have been saved and was not is FM_CORRUPT.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/worker_process.h"

#define MIB 4
#define PAGES (MIB * 256)
#define SNAPSHOTS 8

struct shot {
	char *map;
	char sha256[65];
	int64_t raw_bytes, put, stored_bytes;
	char *pages; /* <name>.pages at its cut; NULL: untouched */
};

struct fixture {
	char *folder, *touched;
	struct shot shot[SNAPSHOTS];
	struct worker_process w;
	int n; /* the last snapshot begun */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct fm_error err;

	f->folder = worker_folder();
	f->touched = fm_format("%s/sim/fm-1-0.pages", f->folder);
	for (int n = 1; n < SNAPSHOTS; n++) {
		FM_AUTO_FREE char *dir = fm_format("%s/%d", f->folder, n);

		assert_int_equal(fm_mkdir_all(dir, 0700, &err), 0);
		f->shot[n].map = fm_format("%s/member-0.map", dir);
	}
	worker_make_domain(f->folder, "fm-1-0", MIB);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_folder_remove(f->folder);
	free(f->touched);
	for (int n = 1; n < SNAPSHOTS; n++) {
		free(f->shot[n].map);
		free(f->shot[n].pages);
	}
	free(f);
	return 0;
}

/* Write to `count` of the guest's pages. */
static void touch(struct fixture *f, int first, int count, int version)
{
	FM_AUTO_FREE char *text = calloc(1, (size_t)count * 24 + 1);
	struct fm_error err;
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += (size_t)sprintf(text + size, "%d %d\n", first + i, version);
	assert_int_equal(fm_file_write(f->touched, 0600, text, size, &err), 0);
}

static void say(struct fixture *f, const char *command)
{
	worker_send(&f->w, "{\"cmd\":\"%s\"}", command);
}

/* The next snapshot is asked for; base 0: none. */
static char *next_request(struct fixture *f, int base)
{
	struct shot *s = &f->shot[++f->n];
	char *text;

	assert_true(asprintf(&text, "\"op\":\"save\",\"name\":\"fm-1-0\",\"map\":\"%s\",\"folder\":\"%s\",\"job\":1,\"track\":true%s%s%s",
			     s->map, f->folder, base ? ",\"base\":\"" : "", base ? f->shot[base].map : "", base ? "\"" : "") > 0);
	return text;
}

static void ask(struct fixture *f, int base)
{
	FM_AUTO_FREE char *text = next_request(f, base);

	worker_send(&f->w, "{\"driver\":\"sim\",\"rundir\":\"%s\",%s}", f->folder, text);
}

static void begin(struct fixture *f)
{
	FM_AUTO_FREE char *text = next_request(f, 0);

	worker_request(&f->w, f->folder, "%s", text);
}

static void note_saved(struct shot *s, struct json_object *saved)
{
	snprintf(s->sha256, sizeof(s->sha256), "%s", fm_json_string_or(saved, "sha256", ""));
	s->raw_bytes = fm_json_int_or(saved, "raw_bytes", 0);
	s->put = fm_json_int_or(saved, "zero_pages", 0) + fm_json_int_or(saved, "known_pages", 0) +
		 fm_json_int_or(saved, "stored_pages", 0);
	s->stored_bytes = fm_json_int_or(saved, "stored_bytes", 0);
	assert_int_equal(fm_json_int_or(saved, "pages", 0), PAGES);
}

/* From armed to saved; its guest writes to `late` pages after that (0: to none). */
static void run(struct fixture *f, bool tracked, int late)
{
	struct shot *s = &f->shot[f->n];
	struct fm_error err;

	worker_expect(&f->w, "armed");
	if (late)
		touch(f, 7, late, 100 + f->n);
	s->pages = fm_file_read(f->touched, 1 << 20, NULL, &err);
	say(f, "cut");
	FM_AUTO_JSON struct json_object *cut = worker_event(&f->w, "cut");
	assert_int_equal(fm_json_bool_or(cut, "tracked", false), tracked);
	say(f, "release");
	worker_expect(&f->w, "released");
	FM_AUTO_JSON struct json_object *saved = worker_event(&f->w, "saved");
	assert_true(fm_json_bool_or(saved, "tracking", false));
	note_saved(s, saved);
}

/* Its group is whole. */
static void commit(struct fixture *f)
{
	FM_AUTO_FREE char *path = fm_format("%s/%d/manifest.json", f->folder, f->n);
	struct fm_error err;

	assert_int_equal(fm_file_write(path, 0600, "{}", 2, &err), 0);
}

static void first(struct fixture *f)
{
	begin(f);
	run(f, false, 0);
	assert_int_equal(f->shot[f->n].put, PAGES);
	commit(f);
}

static void expect_running(struct fixture *f)
{
	const char *is = worker_domain_state(f->folder, "fm-1-0");

	assert_string_equal(is ? is : "none", "running");
}

static void leave(struct fixture *f)
{
	worker_hang_up(&f->w);
	worker_end(&f->w, 0);
	expect_running(f);
}

/* Of every snapshot the domain comes back as it was at that cut. */
static void expect_exact(struct fixture *f, int n)
{
	FM_AUTO_FREE char *path = fm_format("%s/sim/fm-2-0.pages", f->folder);
	FM_AUTO_FREE char *pages = NULL;
	const struct shot *s = &f->shot[n];
	struct worker_process w;
	struct fm_error err;

	worker_request(&w, f->folder, "\"op\":\"restore\",\"name\":\"fm-2-0\",\"map\":\"%s\",\"folder\":\"%s\",\"job\":1,"
		       "\"sha256\":\"%s\",\"raw_bytes\":%lld", s->map, f->folder, s->sha256, (long long)s->raw_bytes);
	worker_expect(&w, "restored"); /* each page was compared */
	pages = fm_file_read(path, 1 << 20, NULL, &err);
	if (s->pages)
		assert_string_equal(pages ? pages : "", s->pages);
	else
		assert_null(pages);
	say(&(struct fixture){ .w = w }, "abort");
	worker_expect(&w, "aborted");
	worker_end(&w, 0);
}

static void test_only_what_changed(void **state)
{
	struct fixture *f = *state;

	first(f);
	touch(f, 40, 10, 1);
	ask(f, 1);
	run(f, true, 0);
	commit(f);
	assert_int_equal(f->shot[2].put, 10);
	touch(f, 45, 20, 2); /* 40–44 are what they were at first */
	ask(f, 2);
	run(f, true, 3); /* and so are all these; three others by the time of the cut */
	commit(f);
	assert_true(f->shot[3].put > 3 && f->shot[3].put <= 25 + 20 + 3);
	ask(f, 3);
	run(f, true, 0);
	assert_int_equal(f->shot[4].put, 0);
	assert_true(f->shot[4].stored_bytes < f->shot[1].stored_bytes / 4); /* the map alone */
	leave(f);
	for (int n = 1; n <= 4; n++)
		expect_exact(f, n);
}

/* A snapshot that is to be a whole one is one, and the next can be of what has changed since. */
static void expect_whole(struct fixture *f, int base)
{
	touch(f, 200, 5, 50 + f->n);
	ask(f, base);
	run(f, false, 0);
	assert_int_equal(f->shot[f->n].put, PAGES);
	assert_true(f->shot[f->n].stored_bytes < f->shot[1].stored_bytes / 2); /* found by hash */
	commit(f);
	touch(f, 300, 2, 70 + f->n);
	ask(f, f->n);
	run(f, true, 0);
	commit(f);
	leave(f);
	for (int n = 1; n <= f->n; n++)
		if (access(f->shot[n].map, F_OK) == 0 && n != 1)
			expect_exact(f, n);
}

static void test_told_to_be_whole(void **state)
{
	first(*state);
	expect_whole(*state, 0);
}

static void test_another_base(void **state)
{
	struct fixture *f = *state;

	first(f);
	ask(f, 1);
	run(f, true, 0);
	commit(f);
	expect_whole(f, 1); /* not the last one */
}

static void test_last_not_committed(void **state)
{
	struct fixture *f = *state;
	FM_AUTO_FREE char *manifest = fm_format("%s/1/manifest.json", f->folder);

	first(f);
	assert_int_equal(unlink(manifest), 0);
	expect_whole(f, 1);
}

static void test_last_map_removed(void **state)
{
	struct fixture *f = *state;

	first(f);
	assert_int_equal(unlink(f->shot[1].map), 0);
	expect_whole(f, 1);
}

static void flip(const char *path)
{
	FILE *file = fopen(path, "r+b");
	int c;

	assert_non_null(file);
	assert_int_equal(fseek(file, -40, SEEK_END), 0);
	c = fgetc(file);
	assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
	fputc(c ^ 1, file);
	assert_int_equal(fclose(file), 0);
}

static void test_last_map_damaged(void **state)
{
	struct fixture *f = *state;

	first(f);
	flip(f->shot[1].map);
	expect_whole(f, 1);
}

/* By one that verifies, but is another snapshot's. */
static void test_last_map_replaced(void **state)
{
	struct fixture *f = *state;
	FM_AUTO_FREE char *copy = NULL;
	struct fm_error err;
	size_t size;

	first(f);
	touch(f, 60, 4, 1);
	ask(f, 1);
	run(f, true, 0);
	commit(f);
	copy = fm_file_read(f->shot[1].map, 1 << 20, &size, &err);
	assert_non_null(copy);
	assert_int_equal(fm_file_write(f->shot[2].map, 0600, copy, size, &err), 0);
	ask(f, 2);
	run(f, false, 0);
	leave(f);
	expect_exact(f, 1);
	expect_exact(f, 3);
}

/* Then nothing is found by hash either. */
static void test_pack_gone(void **state)
{
	struct fixture *f = *state;
	FM_AUTO_FREE char *packs = fm_format("%s/pages", f->folder);
	struct dirent *entry;
	DIR *dir;

	first(f);
	dir = opendir(packs);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".pack"))
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	closedir(dir);
	ask(f, 1);
	run(f, false, 0);
	assert_int_equal(f->shot[2].put, PAGES);
	leave(f);
	expect_exact(f, 2);
}

/* Somebody else had the log of written pages, and the driver has seen it in time. */
static void test_doubt_before_armed(void **state)
{
	struct fixture *f = *state;

	first(f);
	touch(f, 1, 3, 9);
	worker_inject(f->folder, "save.track=fail:another program saved the domain");
	ask(f, 1);
	run(f, false, 0);
	commit(f);
	worker_inject(f->folder, NULL);
	touch(f, 2, 3, 10);
	ask(f, 2);
	run(f, true, 0);
	leave(f);
	expect_exact(f, 2);
	expect_exact(f, 3);
}

/* And where it shows only at the cut, there is no snapshot, and no tracking either. */
static void test_doubt_at_the_cut(void **state)
{
	struct fixture *f = *state;

	first(f);
	worker_inject(f->folder, "save.tracked=fail:another program saved the domain");
	ask(f, 1);
	worker_expect(&f->w, "armed");
	say(f, "cut");
	worker_expect_error(&f->w, 1, "another program saved the domain");
	worker_end(&f->w, 1);
	expect_running(f);
	assert_int_equal(access(f->shot[2].map, F_OK), -1);
	worker_inject(f->folder, NULL);
	begin(f);
	run(f, false, 0);
	leave(f);
	expect_exact(f, 3);
}

/* Given up at each step, by the agent or its death: the domain runs, the last snapshot is what it was. */
static void test_given_up(void **state)
{
	struct fixture *f = *state;

	for (int step = 0; step < 6; step++) {
		f->n = 0;
		unlink(f->shot[1].map);
		unlink(f->shot[2].map);
		first(f);
		touch(f, 10, 4, 1 + step);
		ask(f, 1);
		if (step / 2 >= 1) {
			worker_expect(&f->w, "armed");
			say(f, "cut");
			worker_expect(&f->w, "cut");
		}
		if (step / 2 >= 2) {
			say(f, "release");
			worker_expect(&f->w, "released");
			worker_expect(&f->w, "saved");
		}
		if (step % 2)
			say(f, "abort");
		else
			worker_hang_up(&f->w);
		FM_AUTO_JSON struct json_object *o = step == 4 ? NULL : worker_any_event(&f->w);
		if (step / 2 == 0 && strcmp(fm_json_string_or(o, "event", ""), "armed") == 0) {
			json_object_put(fm_steal_ptr(&o));
			o = worker_any_event(&f->w);
		}
		if (step != 4)
			assert_string_equal(fm_json_string_or(o, "event", ""), step % 2 ? "aborted" : "error");
		worker_end(&f->w, step % 2 || step == 4 ? 0 : 1);
		expect_running(f);
		assert_int_equal(access(f->shot[2].map, F_OK), step / 2 == 2 ? 0 : -1);
		expect_exact(f, 1);
	}
}

static void test_killed_while_it_waits(void **state)
{
	struct fixture *f = *state;

	first(f);
	kill(f->w.pid, SIGKILL);
	worker_end(&f->w, -SIGKILL);
	expect_running(f);
	begin(f);
	run(f, false, 0);
	leave(f);
	expect_exact(f, 1);
	expect_exact(f, 2);
}

/* One saver a domain, also while it waits. */
static void test_nobody_else_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	first(f);
	worker_request(&w, f->folder, "\"op\":\"save\",\"name\":\"fm-1-0\",\"map\":\"%s\",\"folder\":\"%s\",\"job\":1",
		       f->shot[2].map, f->folder);
	worker_expect_error(&w, 8, "fm-1-0");
	worker_end(&w, 1);
	ask(f, 1);
	run(f, true, 0);
	leave(f);
}

/* A domain that cannot be tracked: a whole snapshot, though its stream has come to a checkpoint, and the worker goes. */
static void test_cannot_be_tracked(void **state)
{
	struct fixture *f = *state;

	touch(f, 3, 3, 3);
	worker_inject(f->folder, "save.untracked=fail");
	begin(f);
	worker_expect(&f->w, "armed");
	say(f, "cut");
	worker_expect(&f->w, "cut");
	say(f, "release");
	worker_expect(&f->w, "released");
	FM_AUTO_JSON struct json_object *saved = worker_event(&f->w, "saved");
	assert_false(fm_json_bool_or(saved, "tracking", false));
	note_saved(&f->shot[1], saved);
	worker_end(&f->w, 0);
	expect_running(f);
	f->shot[1].pages = strdup("3 3\n4 3\n5 3\n");
	expect_exact(f, 1);
}

static void test_wrong_request(void **state)
{
	struct fixture *f = *state;

	first(f);
	worker_send(&f->w, "{\"driver\":\"sim\",\"op\":\"destroy\",\"name\":\"fm-1-0\"}");
	worker_expect_error(&f->w, 2, "something else");
	worker_end(&f->w, 1);
	expect_running(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_what_changed), TEST(told_to_be_whole), TEST(another_base), TEST(last_not_committed),
		TEST(last_map_removed), TEST(last_map_damaged), TEST(last_map_replaced), TEST(pack_gone), TEST(doubt_before_armed),
		TEST(doubt_at_the_cut), TEST(given_up), TEST(killed_while_it_waits), TEST(nobody_else_meanwhile),
		TEST(cannot_be_tracked), TEST(wrong_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
