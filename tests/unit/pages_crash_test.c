/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages_crash_test - a writer killed anywhere, a disk that is full or broken anywhere: what was finished before is
 * intact, and what was not is not there.
 *
 * The linker's --wrap puts us in front of every call that changes the disk, in whichever thread. For every k a child
 * is killed (SIGKILL, in the middle of its threads) before its k-th such call; for every k the k-th call fails. Others are killed
 * at a random moment. A tmpfs gets full at many places. And one life is followed to see that nothing is named before it is durable.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

#define STEPS_MAX 2000

static atomic_long steps_left = LONG_MAX;
static atomic_bool strike_kills;
static atomic_long strikes;

/* ---- the life that is followed ---- */
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static bool following;
static struct {
	char what; /* w write, f fsync, r rename (to path) */
	char path[256], from[256];
} events[8192];
static size_t events_count;

static void note(char what, const char *path, const char *from)
{
	pthread_mutex_lock(&events_lock);
	if (following && events_count < sizeof(events) / sizeof(*events)) {
		events[events_count].what = what;
		snprintf(events[events_count].path, 256, "%s", path);
		snprintf(events[events_count++].from, 256, "%s", from);
	}
	pthread_mutex_unlock(&events_lock);
}

static void note_fd(char what, int fd)
{
	char link[64], path[256];
	ssize_t n;

	if (!following)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	note(what, path, "");
}

/* True: this call is the one that fails. */
static bool step(void)
{
	if (atomic_fetch_sub(&steps_left, 1) != 1)
		return false;
	strikes++;
	if (strike_kills)
		kill(getpid(), SIGKILL);
	errno = EIO;
	return true;
}

#define WRAP(type, name, args, call, then)                                                         \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		type r;                                                                            \
		if (step())                                                                        \
			return -1;                                                                 \
		r = __real_##name call;                                                            \
		then;                                                                              \
		return r;                                                                          \
	}
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), note_fd('w', fd))
WRAP(int, fsync, (int fd), (fd), note_fd('f', fd))
WRAP(int, rename, (const char *from, const char *to), (from, to), note('r', to, from))
WRAP(int, unlink, (const char *path), (path), (void)0)
WRAP(int, mkostemp, (char *path, int flags), (path, flags), (void)0)

/* A close that fails has closed all the same. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	return step() ? -1 : r;
}

/* ---- a job: one snapshot is finished, another is tried ---- */
struct world {
	char *store, *dir, *map[3];
	struct fixture_guest guest[3];
	struct pages_saved saved;
};

static const struct pages_writer_options options = { .codec = PAGES_LZ4, .frame_pages = 16, .pack_pages = 150 };

static int save(struct world *w, unsigned i, struct fm_error *err)
{
	struct fixture_save what = { options, &w->guest[i], NULL, "bones" };
	struct pages_saved saved;

	return fixture_save(w->dir, w->map[i], &what, &saved, err);
}

static void world_fill(struct world *w, char *store, size_t pages)
{
	struct fm_error err;

	w->store = store;
	w->dir = fixture_path(w->store, "pages");
	for (unsigned i = 0; i < 3; i++) {
		FM_AUTO_FREE char *name = fm_format("%u.map", i);

		w->map[i] = fixture_path(w->store, name);
		fixture_guest_init(&w->guest[i], pages, 1 + i);
	}
	/* A tenth of the second is the first's. */
	for (size_t n = 0; n < pages; n += 10)
		w->guest[1].content[n] = w->guest[0].content[n];
	assert_ok(save(w, 0, &err), err);
}

static void world_remove(struct world *w)
{
	for (unsigned i = 0; i < 3; i++) {
		free(w->map[i]);
		fixture_guest_dispose(&w->guest[i]);
	}
	free(w->dir);
	fixture_remove(w->store);
}

static size_t count(const char *dir, const char *suffix)
{
	char **files;
	size_t n = fixture_files(dir, suffix, &files);

	fixture_free(files, n);
	return n;
}

/* A part of no bytes: a minute later. */
static unsigned sweep_when_old(struct world *w, struct pages_store *s)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	struct fm_error err;
	unsigned swept;
	char **parts;

	assert_int_equal(fixture_files(w->dir, ".part", &parts), 1);
	assert_int_equal(fixture_size(parts[0]), 0);
	assert_int_equal(utimensat(AT_FDCWD, parts[0], old, 0), 0);
	fixture_free(parts, 1);
	assert_ok(pages_store_sweep(s, &swept, &err), err);
	return swept;
}

/* What must hold after whatever happened to the second snapshot. */
static void look(struct world *w, bool killed, bool done, const char *when)
{
	struct pages_store *s;
	struct pages_usage usage;
	struct fm_error err;
	unsigned swept;

	if (fixture_check(w->dir, w->map[0], NULL, &w->guest[0], &err) < 0)
		fail_msg("%s: the finished snapshot is harmed: %s", when, err.text);
	if (access(w->map[1], F_OK) == 0) { /* it may be, if the last thing that failed came after it */
		if (fixture_check(w->dir, w->map[1], NULL, &w->guest[1], &err) < 0)
			fail_msg("%s: there is a map of what is not there: %s", when, err.text);
		assert_int_equal(unlink(w->map[1]), 0);
	} else {
		assert_false(done);
	}
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_ok(pages_store_scan(s, &err), err);
	pages_store_usage(s, &usage);
	if (usage.damaged > 0)
		fail_msg("%s: a pack that is not whole has a name: %s", when, usage.damaged_text);
	assert_ok(pages_store_sweep(s, &swept, &err), err);
	assert_int_equal(count(w->dir, ".part"), usage.parts - swept);
	if (swept < usage.parts) /* made, not yet locked: for a minute it may be a living writer's */
		swept += sweep_when_old(w, s);
	assert_int_equal(swept, usage.parts);
	if (!killed && swept > 1) /* one, where it could not be removed */
		fail_msg("%s: %u parts left", when, swept);
	pages_store_close(s);
}

/* The child's life: the second snapshot, then out. */
static int child_saves(struct world *w, long until)
{
	struct fm_error err;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		strike_kills = true;
		steps_left = until;
		_exit(save(w, 1, &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return 1;
	}
	assert_int_equal(status, 0);
	return 0;
}

static void killed_before_any_call(void **state)
{
	bool killed = true;
	long k;

	for (k = 1; killed && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("killed before call %ld", k);
		struct fm_error err;
		struct world w;

		world_fill(&w, fixture_store(), 500);
		killed = child_saves(&w, k);
		look(&w, killed, !killed, when);
		assert_ok(save(&w, 2, &err), err); /* and it goes on */
		assert_ok(fixture_check(w.dir, w.map[2], NULL, &w.guest[2], &err), err);
		world_remove(&w);
	}
	assert_false(killed);
	assert_true(k > 30);
	print_message("%ld places\n", k - 2);
}

static void any_call_fails(void **state)
{
	bool struck = true;
	long k, errors = 0;

	for (k = 1; struck && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("call %ld failed", k);
		struct fm_error err = { 0 };
		struct world w;
		int rc;

		world_fill(&w, fixture_store(), 500);
		strikes = 0;
		steps_left = k;
		rc = save(&w, 1, &err);
		struck = strikes > 0;
		steps_left = LONG_MAX;
		if (rc < 0) {
			errors++;
			assert_true(*err.text && strstr(err.text, w.store));
		} else {
			assert_true(fixture_check(w.dir, w.map[1], NULL, &w.guest[1], &err) == 0);
		}
		look(&w, false, rc == 0, when);
		world_remove(&w);
	}
	assert_false(struck);
	assert_true(errors > 25);
	print_message("%ld calls, %ld of them matter\n", k - 2, errors);
}

/* The child tells of each page; at some page we kill it. */
static void killed_at_random(void **state)
{
	unsigned seed = 20261123;

	for (unsigned n = 0; n < 40; n++) {
		FM_AUTO_FREE char *when = NULL;
		int ends[2], status;
		struct fm_error err;
		struct world w;
		long pages, told = 0;
		char byte;
		pid_t pid;

		seed = seed * 1664525 + 1013904223;
		pages = seed % 3000;
		when = fm_format("killed at page %ld", pages);
		world_fill(&w, fixture_store(), 3000);
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct pages_store *s = pages_store_open(w.dir, JOB, fixture_key, &err);
			struct pages_writer *writer = pages_writer_create(s, &options, &err);
			struct pages_saved saved;
			unsigned char page[4096];

			for (uint64_t pfn = 0; writer && pfn < 3000; pfn++) {
				fixture_page((uint32_t)pfn * 3 + 77000, page);
				if (pages_writer_put(writer, &pfn, page, 1, &err) < 0 || __real_write(ends[1], "", 1) != 1)
					_exit(2);
			}
			pages_writer_finish(writer, w.map[1], NULL, 0, &saved, &err);
			_exit(3);
		}
		__real_close(ends[1]);
		while (told < pages && read(ends[0], &byte, 1) == 1)
			told++;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		__real_close(ends[0]);
		if (access(w.map[1], F_OK) == 0) /* it was faster than we */
			assert_int_equal(unlink(w.map[1]), 0);
		look(&w, true, false, when);
		world_remove(&w);
	}
}

/* ---- full disks ---- */

/* A tmpfs of our own, so many KiB; NULL when that is not allowed here. */
static char *small_disk(unsigned kib)
{
	FM_AUTO_FREE char *size = fm_format("size=%uk", kib);
	char *dir = fixture_store();
	static bool apart;

	if (!apart && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
		fixture_remove(dir);
		return NULL;
	}
	apart = true;
	assert_int_equal(mount("fm-pages", dir, "tmpfs", 0, size), 0);
	return dir;
}

/* Fill it up but for so many KiB. */
static void leave(const char *disk, unsigned kib)
{
	FM_AUTO_FREE char *path = fixture_path(disk, "ballast");
	static const char block[4096];
	struct statvfs fs;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(statvfs(disk, &fs), 0);
	for (uint64_t left = fs.f_bavail * fs.f_frsize; left > (uint64_t)kib * 1024; left -= sizeof(block))
		assert_int_equal(__real_write(fd, block, sizeof(block)), sizeof(block));
	__real_close(fd);
}

static void the_disk_is_full(void **state)
{
	unsigned full = 0, room;

	for (room = 0; room < 4000; room += 20 + room / 12) {
		FM_AUTO_FREE char *when = fm_format("%u KiB left", room);
		char *disk = small_disk(16384), *store;
		struct fm_error err = { 0 };
		struct world w;
		int rc;

		if (!disk) {
			print_message("needs a mount namespace: %s\n", strerror(errno));
			skip();
		}
		store = fixture_path(disk, "store");
		assert_ok(fm_mkdir_all(store, 0700, &err), err);
		world_fill(&w, store, 1500);
		leave(disk, room);
		rc = save(&w, 1, &err);
		if (rc < 0) {
			full++;
			assert_int_equal(err.code, FM_FAILED);
			if (!strstr(err.text, "No space left") || !strstr(err.text, disk))
				fail_msg("%s: %s", when, err.text);
			assert_int_equal(count(w.dir, ".part"), 0);
			assert_int_not_equal(access(w.map[1], F_OK), 0);
		}
		look(&w, false, rc == 0, when);
		world_remove(&w);
		assert_int_equal(umount2(disk, MNT_DETACH), 0);
		fixture_remove(disk);
		if (rc == 0)
			break;
	}
	assert_true(full > 8);
	assert_true(room < 4000); /* and in the end it fits */
	print_message("full at %u places\n", full);
}

/* ---- order ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), n = strlen(end);

	return length >= n && strcmp(text + length - n, end) == 0;
}

/* Is there an fsync of path between its last write before `at`, and `at`? */
static bool durable_at(const char *path, size_t at)
{
	for (size_t i = at; i-- > 0;) {
		if (strcmp(events[i].path, path) != 0)
			continue;
		if (events[i].what == 'f')
			return true;
		if (events[i].what == 'w')
			return false;
	}
	return false;
}

static bool synced_after(const char *path, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (events[i].what == 'f' && strcmp(events[i].path, path) == 0)
			return true;
	return false;
}

static void nothing_is_named_before_it_is_durable(void **state)
{
	size_t packs = 0, map_at = 0, pack_at = 0;
	struct fm_error err;
	struct world w;

	world_fill(&w, fixture_store(), 1000);
	following = true;
	assert_ok(save(&w, 1, &err), err);
	following = false;
	assert_true(events_count > 20 && events_count < sizeof(events) / sizeof(*events));
	for (size_t i = 0; i < events_count; i++) {
		if (events[i].what != 'r')
			continue;
		assert_true(durable_at(events[i].from, i));
		if (ends_with(events[i].path, ".pack")) {
			packs++;
			pack_at = i;
		} else {
			assert_string_equal(events[i].path, w.map[1]);
			map_at = i;
		}
	}
	assert_true(packs > 1);
	assert_true(map_at > pack_at);
	assert_true(synced_after(w.dir, pack_at, map_at)); /* the names of the packs, before the map */
	assert_true(synced_after(w.store, map_at, events_count));
	world_remove(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_before_any_call),
		cmocka_unit_test(any_call_fails),
		cmocka_unit_test(killed_at_random),
		cmocka_unit_test(nothing_is_named_before_it_is_durable),
		cmocka_unit_test(the_disk_is_full), /* last: it leaves the mount namespace */
	};

	return cmocka_run_group_tests_name("pages crash", tests, NULL, NULL);
}
