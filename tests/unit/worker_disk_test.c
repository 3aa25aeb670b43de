/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker_disk_test.c - a member's writable disk: it is saved at its domain's instant and comes back as it was then, or the
 * save fails and leaves nothing; no domain is ever given a disk that another had; memory is never restored without it.
 *
 * Simulated domains with Disks=sim:…, whose files the test writes in the guest's place.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/worker_process.h"

#define SIZE ((size_t)2 << 20)
#define BLOCKS (SIZE / 4096)
#define AT "\"map\":\"%s\",\"folder\":\"%s\",\"job\":1"
#define NEW "\"op\":\"create\",\"kernel\":\"/x\",\"memory_mib\":1,\"vcpus\":1,\"vifs\":[{\"mac\":\"00:16:3e:00:00:01\"}]"

struct fixture {
	char *folder, *disks, *base, *map, *disk_map;
	char *place; /* a request's field, with the comma */
	struct json_object *saved;
};

/* One word in each block tells who wrote it; every fourth is left as it is. */
static void scribble(const char *path, unsigned who)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	unsigned char block[4096];

	assert_true(fd >= 0);
	for (size_t i = 0; i < BLOCKS; i++) {
		for (size_t k = 0; k < sizeof(block); k++)
			block[k] = (unsigned char)(rand() >> 8);
		snprintf((char *)block, sizeof(block), "%u wrote %zu", who, i);
		if (i % 4)
			assert_int_equal(pwrite(fd, block, sizeof(block), (off_t)(i * sizeof(block))), sizeof(block));
	}
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
}

/* Who wrote it, all of it; 0: several did. */
static unsigned written_by(const char *path)
{
	struct fm_error err;
	size_t size;
	FM_AUTO_FREE char *text = fm_file_read(path, SIZE, &size, &err);
	unsigned who = 0;

	if (!text)
		fail_msg("%s", err.text);
	assert_int_equal(size, SIZE);
	for (size_t i = 0; i < BLOCKS; i++) {
		unsigned by = 0;
		size_t block;

		if (i % 4 == 0) {
			assert_int_equal(text[i * 4096], 0);
			continue;
		}
		assert_int_equal(sscanf(text + i * 4096, "%u wrote %zu", &by, &block), 2);
		assert_int_equal(block, i);
		if (who && by != who)
			return 0;
		who = by;
	}
	return who;
}

static char *disk_of(const struct fixture *f, const char *domain)
{
	return fm_format("%s/%s.xvdb", f->disks, domain);
}

static void expect_disk(const struct fixture *f, const char *domain, unsigned who)
{
	FM_AUTO_FREE char *path = disk_of(f, domain);

	if (who)
		assert_int_equal(written_by(path), who);
	else
		assert_int_equal(access(path, F_OK), -1);
}

static void write_disk(const struct fixture *f, const char *domain, unsigned who)
{
	FM_AUTO_FREE char *path = disk_of(f, domain);

	scribble(path, who);
}

static void expect_cut_left(const struct fixture *f, bool left)
{
	FM_AUTO_FREE char *path = fm_format("%s/fm-1-0.xvdb@cut", f->disks);

	assert_int_equal(access(path, F_OK), left ? 0 : -1);
}

static void start_create(struct fixture *f, struct worker_process *w, const char *name, const char *place)
{
	worker_request(w, f->folder, NEW ",\"name\":\"%s\",\"disks\":[{\"path\":\"%s\",\"vdev\":\"xvdb\"}]%s", name, f->base, place);
}

static void make_domain(struct fixture *f, const char *name)
{
	struct worker_process w;

	start_create(f, &w, name, f->place);
	worker_expect(&w, "created");
	worker_send(&w, "{\"cmd\":\"release\"}");
	worker_expect(&w, "running");
	worker_end(&w, 0);
}

static void destroy(struct fixture *f, const char *name)
{
	struct worker_process w;

	worker_request(&w, f->folder, "\"op\":\"destroy\",\"name\":\"%s\"%s", name, f->place);
	worker_expect(&w, "destroyed");
	worker_end(&w, 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->folder = worker_folder();
	f->disks = fm_format("%s/disks", f->folder);
	f->base = fm_format("%s/base", f->folder);
	f->map = fm_format("%s/member-0.map", f->folder);
	f->disk_map = fm_format("%s/member-0.disk-xvdb.map", f->folder);
	f->place = fm_format(",\"disk_place\":\"sim:%s\"", f->disks);
	scribble(f->base, 1);
	make_domain(f, "fm-1-0");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_folder_remove(f->folder);
	json_object_put(f->saved);
	free(f->disks);
	free(f->base);
	free(f->map);
	free(f->disk_map);
	free(f->place);
	free(f);
	return 0;
}

static void say(struct worker_process *w, const char *command)
{
	worker_send(w, "{\"cmd\":\"%s\"}", command);
}

static void start_save(struct fixture *f, struct worker_process *w)
{
	worker_request(w, f->folder, "\"op\":\"save\",\"name\":\"fm-1-0\"," AT "%s", f->map, f->folder, f->place);
}

static void to_cut(struct fixture *f, struct worker_process *w)
{
	start_save(f, w);
	worker_expect(w, "armed");
	say(w, "cut");
}

static void expect_state(struct fixture *f, const char *name, const char *is)
{
	const char *found = worker_domain_state(f->folder, name);

	assert_string_equal(found ? found : "none", is);
}

/* It runs with its disk, and nothing tells of the save. */
static void expect_unharmed(struct fixture *f, unsigned who)
{
	expect_state(f, "fm-1-0", "running");
	expect_disk(f, "fm-1-0", who);
	expect_cut_left(f, false);
	assert_int_equal(access(f->map, F_OK), -1);
	assert_int_equal(access(f->disk_map, F_OK), -1);
}

static struct json_object *saved_disk(struct fixture *f)
{
	struct json_object *disks = json_object_object_get(f->saved, "disks");

	assert_int_equal(json_object_array_length(disks), 1);
	return json_object_array_get_idx(disks, 0);
}

static void finish_save(struct fixture *f, struct worker_process *w)
{
	json_object_put(f->saved);
	worker_expect(w, "released");
	f->saved = worker_event(w, "saved");
	worker_end(w, 0);
	expect_cut_left(f, false);
}

static void save(struct fixture *f)
{
	struct worker_process w;

	to_cut(f, &w);
	worker_expect(&w, "cut");
	say(&w, "release");
	finish_save(f, &w);
}

static void start_restore_with(struct fixture *f, struct worker_process *w, const char *name, const char *disks)
{
	worker_request(w, f->folder, "\"op\":\"restore\",\"name\":\"%s\"," AT ",\"sha256\":\"%s\",\"raw_bytes\":%lld,\"disks\":[%s]%s",
		       name, f->map, f->folder, fm_json_string_or(f->saved, "sha256", ""),
		       (long long)fm_json_int_or(f->saved, "raw_bytes", 0), disks, f->place);
}

static void start_restore(struct fixture *f, struct worker_process *w, const char *name)
{
	struct json_object *disk = saved_disk(f);
	FM_AUTO_FREE char *disks = fm_format("{\"vdev\":\"xvdb\",\"map\":\"%s\",\"sha256\":\"%s\",\"raw_bytes\":%lld,\"size\":%lld}",
					     f->disk_map, fm_json_string_or(disk, "sha256", ""),
					     (long long)fm_json_int_or(disk, "raw_bytes", 0),
					     (long long)fm_json_int_or(disk, "size", 0));

	start_restore_with(f, w, name, disks);
}

static void restore(struct fixture *f, const char *name)
{
	struct worker_process w;

	start_restore(f, &w, name);
	worker_expect(&w, "restored");
	say(&w, "release");
	worker_expect(&w, "running");
	say(&w, "thaw");
	worker_expect(&w, "thawed");
	worker_end(&w, 0);
}

static void expect_restore_refused(struct fixture *f, struct worker_process *w, int code, const char *part)
{
	worker_expect_error(w, code, part);
	worker_end(w, 1);
	expect_state(f, "fm-2-0", "none");
	expect_disk(f, "fm-2-0", 0);
}

/* ---- */

static void test_comes_and_goes_with_its_domain(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	expect_disk(f, "fm-1-0", 1);
	write_disk(f, "fm-1-0", 2);
	make_domain(f, "fm-1-1"); /* of the template, not of its sibling's */
	expect_disk(f, "fm-1-1", 1);
	assert_int_equal(written_by(f->base), 1);
	destroy(f, "fm-1-1");
	expect_disk(f, "fm-1-1", 0);
	expect_disk(f, "fm-1-0", 2);
	start_create(f, &w, "fm-1-0", f->place); /* its name is taken: its disk is not touched */
	worker_expect_error(&w, FM_BUSY, "exists already");
	worker_end(&w, 1);
	expect_disk(f, "fm-1-0", 2);
	start_create(f, &w, "fm-1-1", f->place);
	worker_expect(&w, "created");
	say(&w, "abort");
	worker_expect(&w, "aborted");
	worker_end(&w, 0);
	expect_disk(f, "fm-1-1", 0);
}

static void test_refused_without_a_place(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;

	start_create(f, &w, "fm-1-1", "");
	worker_expect_error(&w, FM_INCOMPATIBLE, "no place for members' disks");
	worker_end(&w, 1);
	expect_state(f, "fm-1-1", "none");
	start_create(f, &w, "fm-1-1", ",\"disk_place\":\"reflink:/proc\"");
	worker_expect_error(&w, FM_INCOMPATIBLE, "cannot copy a file at an instant");
	worker_end(&w, 1);
	expect_state(f, "fm-1-1", "none");
	/* nor is one saved that has a disk which nobody copies */
	worker_request(&w, f->folder, "\"op\":\"save\",\"name\":\"fm-1-0\"," AT, f->map, f->folder);
	worker_expect_error(&w, FM_INCOMPATIBLE, "none that Fermata copies");
	worker_end(&w, 1);
	expect_unharmed(f, 1);
}

static void test_failed_creations_leave_nothing(void **state)
{
	static const char *const steps[] = { "disk.create", "disk.attach", "create" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		FM_AUTO_FREE char *fault = fm_format("fm-1-1/%s=fail", steps[i]);
		struct worker_process w;

		worker_inject(f->folder, fault);
		start_create(f, &w, "fm-1-1", f->place);
		worker_expect_error(&w, FM_FAILED, steps[i]);
		worker_end(&w, 1);
		expect_state(f, "fm-1-1", "none");
		expect_disk(f, "fm-1-1", 0);
	}
}

/* What it wrote before its cut is in the snapshot, what it wrote after is not, and is on its own disk. */
static void test_the_same_instant(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;
	struct json_object *disk;

	write_disk(f, "fm-1-0", 2);
	worker_inject(f->folder, "save.end=hold");
	to_cut(f, &w);
	worker_expect(&w, "cut");
	say(&w, "release");
	worker_expect(&w, "released");
	write_disk(f, "fm-1-0", 3); /* before any of its blocks is in the store */
	worker_inject(f->folder, NULL);
	f->saved = worker_event(&w, "saved");
	worker_end(&w, 0);
	disk = saved_disk(f);
	assert_string_equal(fm_json_string_or(disk, "vdev", ""), "xvdb");
	assert_string_equal(fm_json_string_or(disk, "name", ""), "member-0.disk-xvdb.map");
	assert_int_equal(fm_json_int_or(disk, "size", 0), SIZE);
	assert_int_equal(fm_json_int_or(disk, "pages", 0), BLOCKS * 3 / 4);
	expect_cut_left(f, false);
	restore(f, "fm-2-0");
	expect_disk(f, "fm-2-0", 2);
	expect_disk(f, "fm-1-0", 3);
	destroy(f, "fm-1-0"); /* and again under its own name, over what it had */
	write_disk(f, "fm-1-0", 4);
	restore(f, "fm-1-0");
	expect_disk(f, "fm-1-0", 2);
}

static void test_blocks_are_kept_once(void **state)
{
	struct fixture *f = *state;

	save(f);
	assert_int_equal(fm_json_int_or(saved_disk(f), "stored_pages", 0), BLOCKS * 3 / 4);
	assert_int_equal(unlink(f->map), 0);
	assert_int_equal(unlink(f->disk_map), 0);
	save(f);
	assert_int_equal(fm_json_int_or(saved_disk(f), "stored_pages", -1), 0);
	restore(f, "fm-2-0");
	expect_disk(f, "fm-2-0", 1);
}

static void test_broken_off(void **state)
{
	static const char *const holds[] = { "save.resume=hold", "disk.open_cut=hold", "disk.drop_cut=hold" };
	struct fixture *f = *state;
	struct worker_process w;

	for (int how = 0; how < 3; how++) {
		to_cut(f, &w);
		worker_expect(&w, "cut");
		expect_cut_left(f, true);
		if (how == 0) {
			say(&w, "abort");
			worker_expect(&w, "aborted");
		} else {
			how == 1 ? worker_hang_up(&w) : (void)kill(w.pid, SIGTERM);
			worker_expect_error(&w, FM_FAILED, "");
		}
		worker_end(&w, how == 0 ? 0 : 1);
		expect_unharmed(f, 1);
	}
	for (size_t i = 0; i < 2; i++) { /* while its disk is stored */
		start_save(f, &w);
		worker_expect(&w, "armed");
		say(&w, "cut");
		worker_expect(&w, "cut");
		worker_inject(f->folder, holds[i]);
		say(&w, "release");
		if (i > 0)
			worker_expect(&w, "released");
		say(&w, "abort");
		worker_inject(f->folder, NULL);
		if (i == 0)
			worker_expect(&w, "released");
		worker_expect(&w, "aborted");
		worker_end(&w, 0);
		expect_unharmed(f, 1);
	}
}

static void test_driver_fails_at_each_step(void **state)
{
	static const char *const steps[] = { "disk.ready", "disk.freeze", "disk.frozen", "disk.open_cut" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		FM_AUTO_FREE char *fault = fm_format("%s=fail", steps[i]);
		struct worker_process w;

		worker_inject(f->folder, fault);
		start_save(f, &w);
		if (i >= 1) {
			worker_expect(&w, "armed");
			say(&w, "cut");
		}
		if (i >= 3) {
			worker_expect(&w, "cut");
			say(&w, "release");
			worker_expect(&w, "released");
		}
		worker_expect_error(&w, FM_FAILED, steps[i]);
		worker_end(&w, 1);
		worker_inject(f->folder, NULL);
		expect_unharmed(f, 1);
	}
	save(f);
}

static void sweep(struct fixture *f, int removed)
{
	struct worker_process w;

	worker_request(&w, f->folder, "\"op\":\"sweep_disks\"%s", f->place);
	FM_AUTO_JSON struct json_object *o = worker_event(&w, "swept");
	assert_int_equal(fm_json_int_or(o, "removed", -1), removed);
	worker_end(&w, 0);
}

/* kill -9 between the copy and the commit: the copy goes by whoever comes first, and the next save is none the worse. */
static void test_killed_savers(void **state)
{
	static const char *const steps[] = { "disk.frozen", "save.resume", "disk.open_cut" };
	struct fixture *f = *state;
	struct worker_process w;

	for (size_t i = 0; i < 9; i++) {
		FM_AUTO_FREE char *fault = fm_format("%s=kill", steps[i % 3]);

		worker_inject(f->folder, fault);
		to_cut(f, &w);
		if (i % 3 >= 1) {
			worker_expect(&w, "cut");
			say(&w, "release");
		}
		if (i % 3 == 2)
			worker_expect(&w, "released");
		worker_end(&w, -SIGKILL);
		expect_cut_left(f, true);
		worker_inject(f->folder, NULL);
		unlink(f->map); /* of the snapshot that never was: its folder goes */
		worker_request(&w, f->folder, "\"op\":\"resume\",\"name\":\"fm-1-0\"%s", i < 3 ? f->place : "");
		worker_expect(&w, "resumed");
		worker_end(&w, 0);
		if (i >= 6)
			sweep(f, 0);
		if (i < 3 || i >= 6)
			expect_unharmed(f, 1);
		save(f);
		assert_int_equal(unlink(f->map), 0);
		assert_int_equal(unlink(f->disk_map), 0);
	}
}

static void test_sweep(void **state)
{
	struct fixture *f = *state;
	FM_AUTO_FREE char *other = fm_format("%s/somebody's", f->disks);
	FM_AUTO_FREE char *alone = fm_format("%s/fm-6-0.xvdc@cut", f->disks);
	struct worker_process w;

	write_disk(f, "fm-5-0", 9); /* their domains went with a dead worker */
	scribble(alone, 9);
	scribble(other, 9);
	to_cut(f, &w);
	worker_expect(&w, "cut");
	sweep(f, 2);
	expect_disk(f, "fm-5-0", 0);
	assert_int_equal(access(alone, F_OK), -1);
	assert_int_equal(written_by(other), 9);
	expect_disk(f, "fm-1-0", 1);
	expect_cut_left(f, true); /* a save is under way */
	say(&w, "release");
	finish_save(f, &w);
}

static void damage(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c = (char)~c;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static void test_what_is_damaged_is_refused(void **state)
{
	struct fixture *f = *state;
	struct worker_process w;
	int64_t bytes;

	save(f);
	bytes = fm_json_int_or(saved_disk(f), "bytes", 0);
	for (int i = 0; i < 4; i++) {
		off_t at = i < 3 ? bytes * i / 3 : bytes - 1;

		damage(f->disk_map, at);
		start_restore(f, &w, "fm-2-0");
		expect_restore_refused(f, &w, FM_CORRUPT, "member-0.disk-xvdb.map");
		damage(f->disk_map, at); /* back */
	}
	start_restore_with(f, &w, "fm-2-0", ""); /* its memory alone */
	expect_restore_refused(f, &w, FM_INCOMPATIBLE, "has not its content");
	assert_int_equal(unlink(f->disk_map), 0);
	start_restore(f, &w, "fm-2-0");
	expect_restore_refused(f, &w, FM_CORRUPT, "is missing");
}

static void test_restore_undone(void **state)
{
	static const char *const steps[] = { "disk.create", "disk.attach", "restore" };
	struct fixture *f = *state;
	struct worker_process w;

	save(f);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		FM_AUTO_FREE char *fault = fm_format("%s=fail", steps[i]);

		worker_inject(f->folder, fault);
		start_restore(f, &w, "fm-2-0");
		expect_restore_refused(f, &w, FM_FAILED, steps[i]);
		worker_inject(f->folder, NULL);
	}
	start_restore(f, &w, "fm-2-0");
	worker_expect(&w, "restored");
	worker_hang_up(&w);
	expect_restore_refused(f, &w, FM_FAILED, "");
	write_disk(f, "fm-1-0", 5);
	start_restore(f, &w, "fm-1-0"); /* while its earlier incarnation runs */
	worker_expect_error(&w, FM_BUSY, "exists already");
	worker_end(&w, 1);
	expect_state(f, "fm-1-0", "running");
	expect_disk(f, "fm-1-0", 5);
}

/* No file may grow any more, in the place of a disk that is full. */
static void test_no_room_for_its_blocks(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, before;
	struct worker_process w;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = SIZE / 2; /* its blocks do not compress; its domain's memory does fit */
	signal(SIGXFSZ, SIG_IGN); /* the write fails instead */
	to_cut(f, &w);
	worker_expect(&w, "cut");
	assert_int_equal(prlimit(w.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	say(&w, "release");
	worker_expect(&w, "released");
	worker_expect_error(&w, FM_FAILED, "File too large");
	worker_end(&w, 1);
	expect_unharmed(f, 1);
	save(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_and_goes_with_its_domain),
		TEST(test_refused_without_a_place),
		TEST(test_failed_creations_leave_nothing),
		TEST(test_the_same_instant),
		TEST(test_blocks_are_kept_once),
		TEST(test_broken_off),
		TEST(test_driver_fails_at_each_step),
		TEST(test_killed_savers),
		TEST(test_sweep),
		TEST(test_what_is_damaged_is_refused),
		TEST(test_restore_undone),
		TEST(test_no_room_for_its_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
