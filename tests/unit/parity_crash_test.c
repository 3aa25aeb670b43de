/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_crash_test - shards and rebuilt files in folders of this machine, whose writer is killed anywhere, whose disk is
 * full or broken anywhere: each file is there as it was before, or whole, or not at all; and the next one who tries
 * gets it done.
 *
 * The linker's --wrap puts us in front of every call that reads or changes files. For every k a child is killed (SIGKILL) before its
 * k-th such call; for every k the k-th call fails, with EIO, with ENOSPC. A tmpfs gets full at many places.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/parity_fixture.h"

#define STEPS_MAX 2000
#define STRIPE 4096u
#define DAMAGE 3000 /* a byte of a shard's first payload */
#define K 2u
#define M 2u

static long steps_left = LONG_MAX, strikes;
static bool strike_kills, short_writes;
static int strike_errno = EIO;

/* ---- the life that is followed ---- */
static bool following;
static struct {
	char what; /* w write, f fsync, r rename (to path) */
	char path[256], from[256];
} events[1024];
static size_t events_count;

static void note(char what, const char *path, const char *from)
{
	if (!following)
		return;
	assert_true(events_count < sizeof(events) / sizeof(*events));
	events[events_count].what = what;
	snprintf(events[events_count].path, 256, "%s", path);
	snprintf(events[events_count++].from, 256, "%s", from);
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
	if (steps_left == LONG_MAX || --steps_left > 0 || strikes > 0)
		return false;
	strikes++;
	if (strike_kills)
		kill(getpid(), SIGKILL);
	errno = strike_errno;
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
WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), (void)0)
WRAP(int, fsync, (int fd), (fd), note_fd('f', fd))
WRAP(int, rename, (const char *from, const char *to), (from, to), note('r', to, from))
WRAP(int, unlink, (const char *path), (path), (void)0)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), (void)0)
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at),
     (fd, data, short_writes && size > 1 ? size / 2 : size, at), note_fd('w', fd))

/* A close that fails has closed all the same. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	return step() ? -1 : r;
}

/* ---- a set in a folder: 0 and 1 data, 2 and 3 parity ---- */
struct world {
	char *dir, *path[K + M];
	unsigned char *bytes[K + M]; /* what must be there; of parity once it was made */
	size_t size[K + M];
	struct parity_made made;
};

static void world_fill(struct world *w, char *dir)
{
	memset(w, 0, sizeof(*w));
	w->dir = dir;
	for (unsigned i = 0; i < K + M; i++) {
		struct fm_error err;

		w->path[i] = fm_format("%s/%s-%u", dir, i < K ? "data" : "parity", i);
		if (i >= K)
			continue;
		w->size[i] = 9000 + 3000 * i; /* three stripes */
		w->bytes[i] = malloc(w->size[i] + 8);
		fixture_bytes(w->bytes[i], w->size[i], 60 + i);
		assert_ok(fm_file_write(w->path[i], 0600, w->bytes[i], w->size[i], &err), err);
	}
}

static void world_remove(struct world *w)
{
	for (unsigned i = 0; i < K + M; i++) {
		free(w->path[i]);
		free(w->bytes[i]);
	}
	fixture_remove(w->dir);
}

static void out_close_all(struct parity_out **out)
{
	for (unsigned i = 0; i < K + M; i++)
		parity_out_close(out[i]);
}

static int make(struct world *w, struct parity_made *made_r, const struct parity_pace *pace, struct fm_error *err)
{
	struct parity_in *in[K] = { NULL };
	struct parity_out *out[K + M] = { NULL };
	struct parity_source source[K];
	struct parity_sink sink[M];
	struct parity_data data[K];
	bool open = true;
	int rc = -1;

	for (unsigned i = 0; i < K && open; i++) {
		in[i] = parity_in_open(w->path[i], 0, PARITY_TO_END, &source[i], err);
		data[i] = (struct parity_data){ i ? "node1/file" : "node0/file", 0, w->size[i], NULL };
		open = in[i] != NULL;
	}
	for (unsigned i = 0; i < M && open; i++) {
		out[i] = parity_out_create(w->path[K + i], err);
		open = out[i] != NULL;
		if (open)
			parity_out_whole(out[i], &sink[i]);
	}
	if (open)
		rc = parity_make(&(struct parity_spec){ K, M, STRIPE, data }, source, sink, pace, made_r, err);
	out_close_all(out);
	for (unsigned i = 0; i < K; i++)
		parity_in_close(in[i]);
	return rc;
}

/* Those of wanted anew, in place, from what is there. */
static int rebuild(struct world *w, unsigned wanted, struct parity_report *report_r, struct fm_error *err)
{
	struct parity_in *in[K + M] = { NULL };
	struct parity_out *out[K + M] = { NULL };
	struct parity_source source[K + M];
	struct parity_sink sink[K + M];
	const struct parity_source *sources[K + M] = { NULL };
	const struct parity_sink *sinks[K + M] = { NULL };
	bool open = true;
	int rc = -1;

	for (unsigned i = 0; i < K + M && open; i++) {
		in[i] = parity_in_open(w->path[i], 0, PARITY_TO_END, &source[i], err);
		sources[i] = in[i] ? &source[i] : NULL;
		if (!(wanted >> i & 1))
			continue;
		out[i] = parity_out_create(w->path[i], err);
		open = out[i] != NULL;
		if (open)
			parity_out_whole(out[i], &sink[i]);
		sinks[i] = &sink[i];
	}
	if (open)
		rc = parity_rebuild(&(struct parity_shards){ K, M, w->made.id, NULL, sources }, sinks, NULL, report_r, err);
	out_close_all(out);
	for (unsigned i = 0; i < K + M; i++)
		parity_in_close(in[i]);
	return rc;
}

static void keep(struct world *w)
{
	for (unsigned i = K; i < K + M; i++) {
		struct fm_error err;

		free(w->bytes[i]);
		w->bytes[i] = (unsigned char *)fm_file_read(w->path[i], 1 << 20, &w->size[i], &err);
		assert_non_null(w->bytes[i]);
	}
}

/* 1: there, and as it was made; 0: not there; 2: something else. */
static int is_there(const struct world *w, unsigned i)
{
	size_t size;
	struct fm_error err;
	FM_AUTO_FREE char *bytes = fm_file_read(w->path[i], 1 << 20, &size, &err);

	if (!bytes)
		return 0;
	return size == w->size[i] && memcmp(bytes, w->bytes[i], size) == 0 ? 1 : 2;
}

/* A parity shard of whichever make, alone with the data: is it whole? */
static bool whole(struct world *w, unsigned i)
{
	struct parity_source source[K + M];
	const struct parity_source *sources[K + M] = { NULL };
	struct parity_in *in[K + M] = { NULL };
	struct parity_report report;
	bool rebuildable, is = true;
	struct fm_error err;

	for (unsigned s = 0; s < K + M; s++) {
		if (s >= K && s != i)
			continue;
		in[s] = parity_in_open(w->path[s], 0, PARITY_TO_END, &source[s], &err);
		assert_non_null(in[s]);
		sources[s] = &source[s];
	}
	is = parity_verify(&(struct parity_shards){ K, M, NULL, NULL, sources }, NULL, &report, &rebuildable, &err) == 0;
	for (unsigned s = 0; s < K + M; s++) {
		is = is && (!sources[s] || report.shard[s].state == PARITY_WHOLE);
		parity_in_close(in[s]);
	}
	return is;
}

static unsigned parts(const struct world *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < K + M; i++) {
		FM_AUTO_FREE char *part = fm_format("%s.part", w->path[i]);

		n += access(part, F_OK) == 0;
	}
	return n;
}

/* After a make that may not have come to its end: what is there is whole, and nothing is in the way of the next. */
static void look_make(struct world *w, bool killed, const char *when)
{
	unsigned left = parts(w), swept;
	struct parity_made made;
	struct fm_error err;

	for (unsigned i = 0; i < K + M; i++) {
		if (i < K)
			assert_int_equal(is_there(w, i), 1);
		else if (access(w->path[i], F_OK) == 0 && !whole(w, i))
			fail_msg("%s: half a shard has a name", when);
	}
	if (!killed && left > 1) /* one, where it could not be removed */
		fail_msg("%s: %u parts are left", when, left);
	assert_ok(parity_out_sweep(w->dir, &swept, &err), err);
	assert_int_equal(swept, left);
	assert_int_equal(parts(w), 0);
	assert_ok(make(w, &made, NULL, &err), err);
	assert_true(whole(w, 2) && whole(w, 3));
}

enum job { MAKE, REBUILD };

/* The child's life; true: it was killed. */
static bool child(struct world *w, enum job job, long until)
{
	struct parity_report report;
	struct parity_made made;
	struct fm_error err;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		strike_kills = true;
		steps_left = until;
		_exit((job == MAKE ? make(w, &made, NULL, &err) : rebuild(w, 1u << 0 | 1u << 2, &report, &err)) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(status, 0);
	return false;
}

static void making_is_killed(void **state)
{
	bool killed = true;
	long k;

	for (k = 1; killed && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("killed before call %ld", k);
		struct world w;

		world_fill(&w, fixture_store());
		killed = child(&w, MAKE, k);
		look_make(&w, killed, when);
		world_remove(&w);
	}
	assert_false(killed);
	assert_true(k > 35);
}

static void making_fails(void **state)
{
	static const int errors[] = { EIO, ENOSPC };

	for (unsigned e = 0; e < 2; e++) {
		bool struck = true;
		long refused = 0;

		for (long k = 1; struck && k < STEPS_MAX; k++) {
			FM_AUTO_FREE char *when = fm_format("call %ld failed: %s", k, strerror(errors[e]));
			struct parity_made made;
			struct fm_error err = { 0 };
			struct world w;
			int rc;

			world_fill(&w, fixture_store());
			strikes = 0;
			strike_errno = errors[e];
			steps_left = k;
			rc = make(&w, &made, NULL, &err);
			struck = strikes > 0;
			steps_left = LONG_MAX;
			if (rc < 0) {
				refused++;
				if (!strstr(err.text, w.dir) || !strstr(err.text, strerror(errors[e])))
					fail_msg("%s: %s", when, err.text);
			} else {
				assert_true(whole(&w, 2) && whole(&w, 3));
			}
			look_make(&w, false, when);
			world_remove(&w);
		}
		assert_false(struck);
		assert_true(refused > 30);
	}
}

/* A data file is gone, a shard is damaged: both are to be rebuilt. */
static void damaged_world(struct world *w)
{
	struct fm_error err;

	world_fill(w, fixture_store());
	assert_ok(make(w, &w->made, NULL, &err), err);
	keep(w);
	fixture_damage(w->path[2], DAMAGE);
	assert_int_equal(__real_unlink(w->path[0]), 0);
	assert_int_equal(is_there(w, 2), 2);
}

static void look_rebuilt(struct world *w, const char *when)
{
	struct parity_report report;
	struct fm_error err;

	if (is_there(w, 0) == 2)
		fail_msg("%s: there is half a file", when);
	assert_int_equal(is_there(w, 1), 1);
	assert_int_equal(is_there(w, 3), 1);
	assert_int_not_equal(is_there(w, 2), 0); /* damaged as it was, or repaired: it has not become less */
	if (is_there(w, 2) == 2) {
		fixture_damage(w->path[2], DAMAGE); /* the same bit: nothing else is wrong */
		assert_int_equal(is_there(w, 2), 1);
		fixture_damage(w->path[2], DAMAGE);
	}
	assert_ok(rebuild(w, 1u << 0 | 1u << 2, &report, &err), err);
	assert_int_equal(is_there(w, 0), 1);
	assert_int_equal(is_there(w, 2), 1);
	assert_true(whole(w, 2) && whole(w, 3));
	assert_int_equal(parts(w), 0);
}

static void rebuilding_is_killed(void **state)
{
	bool killed = true;
	long k;

	for (k = 1; killed && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("killed before call %ld", k);
		struct world w;

		damaged_world(&w);
		killed = child(&w, REBUILD, k);
		look_rebuilt(&w, when);
		world_remove(&w);
	}
	assert_false(killed);
	assert_true(k > 35);
}

/* A read that fails is one more stripe lost; that is too many where the damage is, and else nothing. */
static void rebuilding_fails(void **state)
{
	bool struck = true;
	long refused = 0, done = 0;

	strike_errno = EIO;
	for (long k = 1; struck && k < STEPS_MAX; k++) {
		FM_AUTO_FREE char *when = fm_format("call %ld failed", k);
		struct parity_report report;
		struct fm_error err = { 0 };
		struct world w;
		int rc;

		damaged_world(&w);
		strikes = 0;
		steps_left = k;
		rc = rebuild(&w, 1u << 0 | 1u << 2, &report, &err);
		struck = strikes > 0;
		steps_left = LONG_MAX;
		*(rc < 0 ? &refused : &done) += 1;
		if (rc == 0)
			assert_true(is_there(&w, 0) == 1 && is_there(&w, 2) == 1);
		else
			assert_non_null(strstr(err.text, w.dir));
		look_rebuilt(&w, when);
		world_remove(&w);
	}
	assert_false(struck);
	assert_true(refused > 15 && done > 10);
}

/* ---- while it writes ---- */

struct told {
	int fd;
};

static int tell(void *arg, uint64_t done, uint64_t total, struct fm_error *err)
{
	char byte;

	/* One byte a stripe; and wait for the answer. */
	return write(((struct told *)arg)->fd, "", 1) == 1 && read(((struct told *)arg)->fd, &byte, 1) == 1 ? 0 :
	       fm_fail(err, FM_FAILED, "alone");
}

/* While a writer lives nobody else writes the file or sweeps its part away; when it is dead, both. */
static void a_dead_writer_is_told_from_a_living(void **state)
{
	int ends[2], status;
	struct fm_error err;
	struct world w;
	unsigned swept;
	char byte;
	pid_t pid;

	world_fill(&w, fixture_store());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct told told = { ends[1] };
		struct parity_pace pace = { tell, &told };
		struct parity_made made;

		__real_close(ends[0]);
		_exit(make(&w, &made, &pace, &err) == 0 ? 0 : 1);
	}
	__real_close(ends[1]);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(read(ends[0], &byte, 1), 1);
		if (i < 2)
			assert_int_equal(write(ends[0], "", 1), 1);
	}
	assert_int_equal(parts(&w), M);
	assert_null(parity_out_create(w.path[2], &err));
	assert_int_equal(err.code, FM_BUSY);
	assert_ok(parity_out_sweep(w.dir, &swept, &err), err);
	assert_int_equal(swept, 0);
	assert_int_equal(parts(&w), M);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	__real_close(ends[0]);
	assert_int_equal(parts(&w), M);
	look_make(&w, true, "killed while it wrote");
	world_remove(&w);
}

static void a_write_that_is_short_goes_on(void **state)
{
	struct fm_error err;
	struct world w;

	world_fill(&w, fixture_store());
	short_writes = true;
	assert_ok(make(&w, &w.made, NULL, &err), err);
	short_writes = false;
	assert_true(whole(&w, 2) && whole(&w, 3));
	world_remove(&w);
}

/* ---- order ---- */

/* Is there an fsync of path between its last write before `at`, and `at`? */
static bool durable_at(const char *path, size_t at)
{
	for (size_t i = at; i-- > 0;)
		if (strcmp(events[i].path, path) == 0)
			return events[i].what == 'f';
	return false;
}

static void nothing_is_named_before_it_is_durable(void **state)
{
	size_t named = 0, writes = 0;
	struct fm_error err;
	struct world w;

	world_fill(&w, fixture_store());
	events_count = 0;
	following = true;
	assert_ok(make(&w, &w.made, NULL, &err), err);
	following = false;
	for (size_t i = 0; i < events_count; i++) {
		bool later = false;

		writes += events[i].what == 'w';
		if (events[i].what != 'r')
			continue;
		named++;
		assert_true(durable_at(events[i].from, i));
		for (size_t j = i + 1; j < events_count; j++)
			later |= events[j].what == 'f' && strcmp(events[j].path, w.dir) == 0;
		assert_true(later); /* the name, too */
	}
	assert_int_equal(named, M);
	assert_true(writes > 15);
	world_remove(&w);
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
	assert_int_equal(mount("fm-parity", dir, "tmpfs", 0, size), 0);
	return dir;
}

/* Fill it up but for so many KiB. */
static void leave(const char *disk, unsigned kib)
{
	FM_AUTO_FREE char *path = fm_format("%s/ballast", disk);
	static const char block[4096];
	struct statvfs fs;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(statvfs(disk, &fs), 0);
	for (uint64_t left = fs.f_bavail * fs.f_frsize; left > (uint64_t)kib * 1024; left -= sizeof(block))
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	__real_close(fd);
}

static void the_disk_is_full(void **state)
{
	unsigned full = 0, room;

	for (room = 0; room < 100; room += 4) {
		FM_AUTO_FREE char *when = fm_format("%u KiB left", room);
		char *disk = small_disk(1024), *store, *ballast;
		struct parity_made made;
		struct fm_error err = { 0 };
		struct world w;
		int rc;

		if (!disk) {
			print_message("needs a mount namespace: %s\n", strerror(errno));
			skip();
		}
		store = fm_format("%s/store", disk);
		ballast = fm_format("%s/ballast", disk);
		assert_ok(fm_mkdir_all(store, 0700, &err), err);
		world_fill(&w, store);
		leave(disk, room);
		rc = make(&w, &made, NULL, &err);
		if (rc < 0) {
			full++;
			assert_int_equal(err.code, FM_FAILED);
			if (!strstr(err.text, "No space left") || !strstr(err.text, disk))
				fail_msg("%s: %s", when, err.text);
			assert_int_equal(parts(&w), 0);
		}
		assert_int_equal(__real_unlink(ballast), 0);
		free(ballast);
		look_make(&w, false, when);
		world_remove(&w);
		assert_int_equal(umount2(disk, MNT_DETACH), 0);
		fixture_remove(disk);
		if (rc == 0)
			break;
	}
	assert_true(full > 5);
	assert_true(room < 100); /* and in the end it fits */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(making_is_killed),
		cmocka_unit_test(making_fails),
		cmocka_unit_test(rebuilding_is_killed),
		cmocka_unit_test(rebuilding_fails),
		cmocka_unit_test(a_dead_writer_is_told_from_a_living),
		cmocka_unit_test(a_write_that_is_short_goes_on),
		cmocka_unit_test(nothing_is_named_before_it_is_durable),
		cmocka_unit_test(the_disk_is_full), /* last: it leaves the mount namespace */
	};

	return cmocka_run_group_tests_name("parity crash", tests, NULL, NULL);
}
