/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_test.c - copies of real places are of one instant, have all that was done before, take no room they have not asked
 * for, and leave nothing. reflink on an XFS of the test's own, in a file, in a mount namespace of its own; thin on a pool of
 * its own in two files, where the kernel has device-mapper. What cannot be tried here is said, and why.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "common/cleanup.h"
#include "common/io.h"

#define SIZE ((uint64_t)64 << 20)
#define BLOCKS (SIZE / DISK_BLOCK)
#define NAME "fm-1-0.xvdb"
#define ROOM ((uint64_t)512 << 20)
#define PATIENCE 6000 /* times 10 ms */

static char *dir;        /* of all */
static char *folder;     /* the file system */
static const char *unfit, *no_pool; /* why there is none */
static char pool[32], meta_device[32], data_device[32]; /* devices */
static struct fm_error err;
static struct disk_place *place;

#define OK(call)                                                                                   \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

static const char *make_file_system(void)
{
	FM_AUTO_FREE char *image = fm_format("%s/xfs.img", dir);
	FM_AUTO_FREE char *make = fm_format("truncate -s 1G %s && mkfs.xfs -q %s", image, image);
	FM_AUTO_FREE char *attach = fm_format("mount -t xfs -o loop %s %s", image, folder);

	if (geteuid() != 0)
		return "not root";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "no mount namespace";
	if (system("command -v mkfs.xfs >/dev/null") != 0)
		return "no mkfs.xfs";
	if (mkdir(folder, 0700) < 0 || system(make) != 0)
		return "mkfs.xfs failed";
	return system(attach) == 0 ? NULL : "no XFS can be mounted here";
}

/* One line of a command's output, or "". */
static void ask(const char *command, char *line_r, size_t size)
{
	FILE *f = popen(command, "r");

	*line_r = '\0';
	if (f && fgets(line_r, (int)size, f))
		line_r[strcspn(line_r, "\n")] = '\0';
	if (f)
		pclose(f);
}

static const char *make_pool(unsigned block_sectors, const char *feature)
{
	FM_AUTO_FREE char *files = fm_format("cd %s && truncate -s 16M meta && truncate -s 256M data", dir);
	FM_AUTO_FREE char *first = fm_format("losetup -f --show %s/meta", dir), *second = fm_format("losetup -f --show %s/data", dir);
	FM_AUTO_FREE char *create = NULL;

	if (geteuid() != 0)
		return "not root";
	if (system("dmsetup targets 2>/dev/null | grep -q thin-pool") != 0)
		return "no dmsetup, or this kernel has no thin-pool";
	if (system(files) != 0)
		return "no room for a pool";
	ask(first, meta_device, sizeof(meta_device));
	ask(second, data_device, sizeof(data_device));
	snprintf(pool, sizeof(pool), "test-pool-%d", (int)getpid());
	create = fm_format("dmsetup create %s --table '0 %u thin-pool %s %s %u 0 %s'", pool, (256u << 20) / 512, meta_device, data_device,
			   block_sectors, feature);
	return system(create) == 0 ? NULL : "a pool cannot be made";
}

static void remove_pool(void)
{
	FM_AUTO_FREE char *remove = fm_format("dmsetup remove --retry %s", pool);
	FM_AUTO_FREE char *detach = fm_format("losetup -d %s %s", meta_device, data_device);

	if (*pool && system(remove) != 0)
		print_message("# the pool %s is left\n", pool);
	if (*data_device && system(detach) != 0)
		print_message("# loop devices are left\n");
	*pool = *data_device = *meta_device = '\0';
}

static int begin(void **state)
{
	struct statvfs fs;

	/* in memory where there is room: others' writes are not waited for */
	dir = strdup(statvfs("/dev/shm", &fs) == 0 && fs.f_bavail * fs.f_frsize > ROOM ? "/dev/shm/disk-test.XXXXXX" :
										       "/tmp/disk-test.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	folder = fm_format("%s/disks", dir);
	unfit = make_file_system();
	if (unfit)
		print_message("# the tests of reflink are skipped: %s\n", unfit);
	no_pool = make_pool(128, "");
	if (no_pool)
		print_message("# the tests of thin are skipped: %s\n", no_pool);
	return 0;
}

static int end(void **state)
{
	remove_pool();
	if (!unfit)
		umount2(folder, MNT_DETACH);
	fm_remove_tree(dir, &err);
	free(folder);
	free(dir);
	return 0;
}

static int open_place(void **state)
{
	FM_AUTO_FREE char *text = fm_format("reflink:%s", folder);

	place = unfit ? NULL : disk_place_open(text, dir, &err);
	return unfit || place ? 0 : -1;
}

static int open_pool(void **state)
{
	FM_AUTO_FREE char *text = fm_format("thin:%s", pool);

	place = no_pool ? NULL : disk_place_open(text, dir, &err);
	if (!no_pool && !place)
		print_message("# %s\n", err.text);
	return no_pool || place ? 0 : -1;
}

/* Whatever a test that failed has left. */
static int remove_each(const char *name, bool cut, void *data, struct fm_error *e)
{
	return place->ops->remove(place, name, e);
}

static int close_place(void **state)
{
	if (place)
		place->ops->list(place, remove_each, NULL, &err);
	disk_place_close(place);
	place = NULL;
	return 0;
}

/* What this test is of cannot be had here: said at the beginning. */
static void need_place(void)
{
	if (!place)
		skip();
}

static char *path_of(const char *name)
{
	return fm_format("%s/%s", folder, name);
}

static void make(const char *name)
{
	int fd = -1;

	OK(place->ops->create(place, name, SIZE, &fd, &err));
	close(fd);
}

static unsigned char *block_of(uint64_t number, unsigned char *block)
{
	memset(block, (int)(number % 251), DISK_BLOCK);
	memcpy(block, &number, sizeof(number));
	return block;
}

static uint64_t number_at(int fd, uint64_t i)
{
	unsigned char got[DISK_BLOCK], want[DISK_BLOCK];
	uint64_t number;

	assert_int_equal(pread(fd, got, sizeof(got), (off_t)(i * DISK_BLOCK)), sizeof(got));
	memcpy(&number, got, sizeof(number));
	if (number)
		assert_memory_equal(got, block_of(number, want), sizeof(got)); /* it is whole */
	return number;
}

/* ---- */

static void test_names(void **state)
{
	char name[DISK_NAME_SIZE], domain[DISK_NAME_SIZE];
	const char *vdev;

	OK(disk_name("fm-12.a-0", "xvdb", name, &err));
	assert_string_equal(name, "fm-12.a-0.xvdb");
	assert_true(disk_name_parse(name, domain, sizeof(domain), &vdev));
	assert_string_equal(domain, "fm-12.a-0");
	assert_string_equal(vdev, "xvdb");
	assert_int_equal(disk_name("fm-1-0", "../x", name, &err), -1);
	assert_int_equal(disk_name("fm-1-0", "xvdb@cut", name, &err), -1);
	assert_int_equal(disk_name("other", "xvdb", name, &err), -1);
	assert_false(disk_name_parse("fm-1-0", domain, sizeof(domain), &vdev));
	assert_false(disk_name_parse("fm-1-0.xvdb@cut", domain, sizeof(domain), &vdev));
	assert_false(disk_name_parse(".xvdb", domain, sizeof(domain), &vdev));
	assert_false(disk_name_parse("lost+found", domain, sizeof(domain), &vdev));
}

static void test_places_that_cannot(void **state)
{
	assert_null(disk_place_open("qcow2:/x", dir, &err));
	assert_int_equal(err.code, FM_USAGE);
	assert_null(disk_place_open("reflink:relative", dir, &err));
	assert_int_equal(err.code, FM_USAGE);
	assert_null(disk_place_open("reflink:/proc", dir, &err));
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "XFS"));
	assert_null(disk_place_open("reflink:/no/such/folder", dir, &err));
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_null(disk_place_open("thin:fermata-test-no-such-pool", dir, &err)); /* or no device-mapper at all */
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_null(disk_place_open("reflink:/tmp", dir, &err)); /* others may write there */
	assert_true(err.code == FM_DENIED || geteuid() != 0);
}

static void test_sizes(void **state)
{
	FM_AUTO_FREE char *path = fm_format("%s/odd", dir);
	uint64_t size;

	OK(fm_file_write(path, 0600, "12345", 5, &err));
	OK(disk_size_of(path, &size, &err));
	assert_int_equal(size, DISK_BLOCK);
	OK(fm_file_write(path, 0600, "", 0, &err));
	assert_int_equal(disk_size_of(path, &size, &err), -1);
	assert_int_equal(disk_size_of("/dev/null", &size, &err), -1);
	assert_int_equal(disk_size_of("/no/such", &size, &err), -1);
	assert_int_equal(err.code, FM_NOT_FOUND);
}

static void test_lock(void **state)
{
	FM_AUTO_FREE char *text = fm_format("sim:%s/locked", dir);
	struct disk_place *one = disk_place_open(text, dir, &err), *two = disk_place_open(text, dir, &err);

	assert_true(one && two);
	OK(disk_place_lock(one, false, 0, &err));
	OK(disk_place_lock(two, false, 0, &err));
	assert_int_equal(disk_place_lock(two, true, 40, &err), -1);
	assert_int_equal(err.code, FM_BUSY);
	disk_place_close(one);
	OK(disk_place_lock(two, true, 40, &err));
	disk_place_close(two);
}

/* ---- a writer like blkback: direct I/O to the device, one block after the other ---- */

struct writer {
	pthread_t thread;
	int fd;
	atomic_bool stop;
	_Atomic uint64_t done; /* blocks of which it has been told that they are written: 1 … done, each its number */
};

static void *write_on(void *data)
{
	struct writer *w = data;
	unsigned char *block = NULL;

	if (posix_memalign((void **)&block, DISK_BLOCK, DISK_BLOCK))
		return NULL;
	for (uint64_t i = 1; !w->stop; i++) {
		if (pwrite(w->fd, block_of(i, block), DISK_BLOCK, (off_t)(i % BLOCKS * DISK_BLOCK)) != DISK_BLOCK)
			break;
		w->done = i;
	}
	free(block);
	return NULL;
}

static void await(const struct writer *w, uint64_t done)
{
	for (int i = 0; w->done < done; i++) {
		assert_true(i < 60000);
		usleep(1000);
	}
}

/* Of the number i that any block has: each block has the last of its turn up to `last`. */
static void expect_prefix(int fd, uint64_t least, uint64_t most)
{
	uint64_t last = 0;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		uint64_t number = number_at(fd, i);

		assert_true(number == 0 || number % BLOCKS == i);
		last = number > last ? number : last;
	}
	if (last < least || last > most)
		fail_msg("it has blocks up to %llu, not %llu to %llu", (unsigned long long)last, (unsigned long long)least,
			 (unsigned long long)most);
	for (uint64_t i = last < BLOCKS ? 1 : last - BLOCKS + 1; i <= last; i++)
		assert_int_equal(number_at(fd, i % BLOCKS), i);
}

static double longer(double most, const struct timespec t[2])
{
	double ms = (double)(t[1].tv_sec - t[0].tv_sec) * 1e3 + (double)(t[1].tv_nsec - t[0].tv_nsec) / 1e6;

	return ms > most ? ms : most;
}

static int count_each(const char *name, bool cut, void *data, struct fm_error *e)
{
	unsigned *seen = data;

	seen[strcmp(name, NAME) == 0 ? 0 : 1]++;
	seen[2] += cut;
	return 0;
}

static void expect_none(void)
{
	unsigned seen[3] = { 0 };

	OK(place->ops->list(place, count_each, seen, &err));
	assert_int_equal(seen[0] + seen[1], 0);
}

static void tell_direct_io(const char *device)
{
	FM_AUTO_FREE char *path = fm_format("/sys/block/%s/loop/dio", device + strlen("/dev/"));
	FM_AUTO_FREE char *text = fm_file_read(path, 4096, NULL, &err);

	if (!text)
		fail_msg("%s", err.text);
	print_message("# the loop device has direct I/O: %s", text);
}

/* The copy has all that the writer had been told of, and is a prefix of what it wrote: one instant. */
static void test_copies_under_load(void **state)
{
	struct disk_device device;
	struct writer w = { 0 };
	uint64_t size, before, after;
	double most = 0;

	need_place();
	make(NAME);
	OK(place->ops->attach(place, NAME, &device, &err));
	if (place->ops == &disk_reflink_ops)
		tell_direct_io(device.path);
	w.fd = open(device.path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	assert_true(w.fd >= 0);
	assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
	for (unsigned round = 1; round <= 12; round++) {
		struct timespec t[2];
		int cut = -1;

		OK(place->ops->ready(place, NAME, &err));
		await(&w, round * 300);
		before = w.done;
		clock_gettime(CLOCK_MONOTONIC, &t[0]);
		OK(place->ops->freeze(place, NAME, &err));
		clock_gettime(CLOCK_MONOTONIC, &t[1]);
		after = w.done + 1; /* one may be under way */
		most = longer(most, t);
		OK(place->ops->open_cut(place, NAME, &size, &cut, &err));
		assert_int_equal(size, SIZE);
		await(&w, after + 50); /* it goes on, and the copy does not */
		expect_prefix(cut, before, after);
		close(cut);
		OK(place->ops->drop_cut(place, NAME, &err));
	}
	print_message("# the longest copy of twelve took %.2f ms, %llu blocks were written\n", most, (unsigned long long)w.done);
	w.stop = true;
	pthread_join(w.thread, NULL);
	close(w.fd);
	if (device.fd >= 0)
		close(device.fd);
	OK(place->ops->remove(place, NAME, &err));
	expect_none();
}

static void test_templates(void **state)
{
	FM_AUTO_FREE char *base = path_of("base"), *other = fm_format("%s/base", dir);
	bool shared = place && place->ops == &disk_reflink_ops;
	static char text[100001];
	int fd = -1;

	need_place();
	memset(text, 'x', sizeof(text));
	if (shared)
		OK(fm_file_write(base, 0600, text, sizeof(text), &err));
	OK(fm_file_write(other, 0600, text, sizeof(text), &err)); /* of another file system: copied */
	for (int i = shared ? 0 : 1; i < 2; i++) {
		char got[sizeof(text)];

		OK(place->ops->create(place, NAME, SIZE, &fd, &err));
		OK(disk_fill(fd, i ? other : base, &err));
		assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
		assert_int_equal(pread(fd, got, sizeof(got), 0), sizeof(got));
		assert_memory_equal(got, text, sizeof(got));
		assert_int_equal(number_at(fd, BLOCKS - 1), 0);
		close(fd);
		assert_int_equal(place->ops->create(place, NAME, SIZE, &fd, &err), -1);
		assert_int_equal(err.code, FM_BUSY);
		OK(place->ops->remove(place, NAME, &err));
		OK(place->ops->remove(place, NAME, &err));
	}
	unlink(base);
}

static void test_listing(void **state)
{
	FM_AUTO_FREE char *foreign = path_of("fm-of-others");
	unsigned seen[3] = { 0 };
	uint64_t size;
	int fd = -1;

	need_place();
	if (place->ops == &disk_reflink_ops)
		OK(fm_file_write(foreign, 0600, "x", 1, &err));
	make(NAME);
	make("fm-2-0.xvdb");
	OK(place->ops->freeze(place, NAME, &err));
	assert_int_equal(place->ops->freeze(place, NAME, &err), -1); /* there is at most one */
	OK(place->ops->list(place, count_each, seen, &err));
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 1);
	assert_true(seen[2] >= 1);
	OK(place->ops->ready(place, NAME, &err)); /* what a dead saver left is in nobody's way */
	OK(place->ops->freeze(place, NAME, &err));
	OK(place->ops->open_cut(place, NAME, &size, &fd, &err));
	close(fd);
	OK(place->ops->ready(place, NAME, &err));
	assert_int_equal(place->ops->open_cut(place, NAME, &size, &fd, &err), -1);
	OK(place->ops->freeze(place, NAME, &err));
	OK(place->ops->remove(place, NAME, &err));
	make(NAME); /* nothing of the one before */
	assert_int_equal(place->ops->open_cut(place, NAME, &size, &fd, &err), -1);
	OK(place->ops->remove(place, NAME, &err));
	OK(place->ops->remove(place, "fm-2-0.xvdb", &err));
	expect_none();
	unlink(foreign);
}

/* A copy is refused where the domain could run out of room for having one. */
static void test_no_room(void **state)
{
	FM_AUTO_FREE char *path = path_of(NAME), *ballast = path_of("ballast");
	FM_AUTO_CLOSE int fd = -1, full = -1;
	struct statvfs fs;
	off_t taken = 0;

	need_place();
	make(NAME);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(posix_fallocate(fd, 0, (off_t)SIZE), 0);
	full = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; place->ops->ready(place, NAME, &err) == 0; i++) { /* XFS frees behind: room may come meanwhile */
		off_t more;

		assert_true(i < PATIENCE);
		assert_int_equal(statvfs(folder, &fs), 0);
		more = (off_t)(fs.f_bavail * fs.f_frsize) - (off_t)SIZE / 2;
		if (more > 0 && posix_fallocate(full, taken, more) == 0)
			taken += more;
		usleep(10000);
	}
	assert_non_null(strstr(err.text, "No space left"));
	unlink(ballast);
	close(fm_steal_fd(&full));
	for (int i = 0; place->ops->ready(place, NAME, &err) < 0; i++) {
		assert_true(i < PATIENCE);
		usleep(10000);
	}
	OK(place->ops->remove(place, NAME, &err));
}

/* So many pieces that a copy would take seconds of the domain's time. */
static void test_in_pieces(void **state)
{
	FM_AUTO_FREE char *path = path_of(NAME);
	FM_AUTO_CLOSE int fd = -1;

	need_place();
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; fallocate(fd, 0, 0, 100002 * DISK_BLOCK) < 0; i++) { /* XFS frees behind */
		assert_true(errno == ENOSPC && i < PATIENCE);
		usleep(10000);
	}
	for (off_t i = 0; i < 50001; i++)
		assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * i * DISK_BLOCK, DISK_BLOCK), 0);
	assert_int_equal(place->ops->ready(place, NAME, &err), -1);
	assert_non_null(strstr(err.text, "pieces"));
	assert_int_equal(ftruncate(fd, 0), 0);
	OK(place->ops->ready(place, NAME, &err));
	OK(place->ops->remove(place, NAME, &err));
}

/* ---- pools ---- */

static unsigned long long blocks_in_use(void)
{
	FM_AUTO_FREE char *command = fm_format("dmsetup status %s | sed 's,.* \\([0-9]*\\)/[0-9]* - .*,\\1,'", pool);
	char line[64];

	ask(command, line, sizeof(line));
	return strtoull(line, NULL, 10);
}

static void fill(const char *name, uint64_t bytes)
{
	FM_AUTO_FREE char *path = fm_format("/dev/mapper/%s", name);
	static unsigned char piece[1 << 20];
	FM_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(piece, 7, sizeof(piece));
	for (uint64_t at = 0; at < bytes; at += sizeof(piece))
		assert_int_equal(pwrite(fd, piece, sizeof(piece), (off_t)at), sizeof(piece));
	assert_int_equal(fsync(fd), 0);
}

/* A pool that could run full while there is a copy would stop the domain: there is none then. */
static void test_pool_without_room(void **state)
{
	need_place();
	for (unsigned i = 1; i <= 3; i++) {
		FM_AUTO_FREE char *name = fm_format("fm-%u-0.xvdb", i);

		make(name);
		fill(name, SIZE);
		if (i == 1)
			OK(place->ops->ready(place, name, &err));
	}
	OK(place->ops->ready(place, NAME, &err)); /* 192 of 256 MiB are in use */
	make("fm-4-0.xvdb");
	fill("fm-4-0.xvdb", 8 << 20);
	assert_int_equal(place->ops->ready(place, NAME, &err), -1);
	assert_non_null(strstr(err.text, "No space left"));
	OK(place->ops->ready(place, "fm-4-0.xvdb", &err));
}

/* kill -9 of a saver while the disk's requests wait for its copy: whoever drops the copy lets them go on. */
static void test_pool_left_suspended(void **state)
{
	need_place();
	make(NAME);
	assert_int_equal(system("dmsetup suspend " NAME), 0);
	OK(place->ops->drop_cut(place, NAME, &err));
	fill(NAME, 1 << 20);
	OK(place->ops->remove(place, NAME, &err));
}

/* What a crash leaves in a pool has no device any more. */
static void test_pool_swept(void **state)
{
	FM_AUTO_FREE char *lost = fm_format("dmsetup message %s 0 'create_thin 17'", pool);
	FM_AUTO_FREE char *again = fm_format("dmsetup message %s 0 'create_thin 17'", pool);
	FM_AUTO_FREE char *snap = fm_format("dmsetup message %s 0 'create_snap 529 17'", pool);
	unsigned long long before;
	int fd = -1;
	uint64_t size;

	need_place();
	before = blocks_in_use();
	make(NAME);
	fill(NAME, 8 << 20);
	assert_true(blocks_in_use() > before);
	OK(place->ops->freeze(place, NAME, &err)); /* a save is under way: its copy has no device yet */
	assert_int_equal(system(lost), 0);
	assert_int_equal(system(snap), 0);
	OK(place->ops->sweep(place, &err));
	assert_int_equal(system(again), 0); /* it was removed */
	OK(place->ops->open_cut(place, NAME, &size, &fd, &err));
	close(fd);
	OK(place->ops->sweep(place, &err));
	OK(place->ops->drop_cut(place, NAME, &err));
	OK(place->ops->remove(place, NAME, &err));
	assert_int_equal(blocks_in_use(), before);
}

/* Not a pool in which a guest could read what another's disk had. */
static void test_pool_that_does_not_zero(void **state)
{
	FM_AUTO_FREE char *text = fm_format("thin:%s", pool);

	need_place();
	disk_place_close(fm_steal_ptr(&place));
	remove_pool();
	assert_null(make_pool(128, "1 skip_block_zeroing"));
	assert_null(disk_place_open(text, dir, &err));
	assert_int_equal(err.code, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "skip_block_zeroing"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)
#define THIN(name) { "thin: " #name, name, open_pool, close_place, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_places_that_cannot),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_lock),
		TEST(test_copies_under_load),
		TEST(test_templates),
		TEST(test_listing),
		TEST(test_no_room),
		TEST(test_in_pieces),
		THIN(test_copies_under_load),
		THIN(test_templates),
		THIN(test_listing),
		THIN(test_pool_without_room),
		THIN(test_pool_left_suspended),
		THIN(test_pool_swept),
		THIN(test_pool_that_does_not_zero),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
