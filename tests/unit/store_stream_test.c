/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_stream_test - a member's stream comes back byte for byte, or is refused.
 * Promise 3: what a manifest names is verified by hash when read.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

struct bench {
	char *dir;
	char *path;
	struct store_file file;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->dir = fixture_store();
	b->path = fm_format("%s/member-0.zst", b->dir);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	fixture_remove(b->dir);
	free(b->path);
	free(b);
	return 0;
}

static void write_stream(struct bench *b, const void *data, size_t size, size_t piece)
{
	struct fm_error err;
	struct stream_writer *w = stream_writer_create(b->path, &err);

	if (!w)
		fail_msg("%s", err.text);
	for (size_t at = 0; at < size; at += piece)
		assert_ok(stream_write(w, (const char *)data + at, size - at < piece ? size - at : piece, &err), err);
	assert_ok(stream_writer_finish(w, &b->file, &err), err);
}

/* Read to the end; the raw bytes read, or -1. */
static long read_all(struct bench *b, void *data, size_t size, size_t piece, struct fm_error *err)
{
	struct stream_reader *r = stream_reader_open(b->path, &b->file, err);
	long n, total = 0;

	if (!r)
		return -1;
	while ((n = stream_read(r, (char *)data + total, size - (size_t)total < piece ? size - (size_t)total : piece,
				err)) > 0)
		total += n;
	if (n < 0 || stream_reader_finish(r, err) < 0)
		total = -1;
	stream_reader_close(r);
	return total;
}

static void round_trip(void **state)
{
	static const struct {
		size_t size, write_piece, read_piece;
	} cases[] = {
		{ 0, 1, 1 }, { 1, 1, 1 }, { 4096, 4096, 100 }, { 300000, 7, 65536 },
		{ 5 << 20, 1 << 20, 1 << 20 }, { 3 << 20, 65537, 4097 },
	};
	struct bench *b = *state;
	struct fm_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		FM_AUTO_FREE unsigned char *data = fixture_state(cases[i].size, (unsigned)i);
		FM_AUTO_FREE unsigned char *back = malloc(cases[i].size + 100);

		write_stream(b, data, cases[i].size, cases[i].write_piece);
		assert_int_equal(b->file.raw_bytes, cases[i].size);
		assert_int_equal(read_all(b, back, cases[i].size + 100, cases[i].read_piece, &err), cases[i].size);
		assert_memory_equal(back, data, cases[i].size);
		assert_int_equal(unlink(b->path), 0);
	}
}

static void numbers_are_those_of_the_file(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(2 << 20, 1);
	FM_AUTO_FREE char *file = NULL;
	struct fm_error err;
	struct stat st;
	size_t size;
	char hex[65];

	write_stream(b, data, 2 << 20, 1 << 20);
	assert_string_equal(b->file.name, "member-0.zst");
	file = fm_file_read(b->path, 8 << 20, &size, &err);
	assert_non_null(file);
	assert_int_equal(b->file.bytes, size);
	assert_true(size < (2 << 20) * 3 / 4); /* it is compressed at all */
	fm_sha256_hex(file, size, hex);
	assert_string_equal(hex, b->file.sha256);
	assert_int_equal(stat(b->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* Each byte of a small file; the sum over the large one's landmarks. */
static void every_damaged_byte_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(3000, 2);
	FM_AUTO_FREE unsigned char *back = malloc(4000);
	struct fm_error err;

	write_stream(b, data, 3000, 3000);
	for (long at = 0; at < (long)b->file.bytes; at++) {
		fixture_damage(b->path, at);
		if (read_all(b, back, 4000, 512, &err) != -1)
			fail_msg("byte %ld of %llu damaged, and not found", at, (unsigned long long)b->file.bytes);
		assert_int_equal(err.code, FM_CORRUPT);
		assert_non_null(strstr(err.text, "member-0.zst"));
		fixture_damage(b->path, at); /* flips it back */
	}
	assert_int_equal(read_all(b, back, 4000, 512, &err), 3000);
}

static void damage_in_a_large_file_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(8 << 20, 3);
	FM_AUTO_FREE unsigned char *back = malloc((8 << 20) + 1);
	struct fm_error err;
	long size;

	write_stream(b, data, 8 << 20, 1 << 20);
	size = (long)b->file.bytes;
	const long places[] = { 0, 3, 5, 6, size / 2, (1 << 20) - 1, 1 << 20, size - 4, size - 1 };

	assert_true(size > 2 << 20);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		fixture_damage(b->path, places[i]);
		assert_int_equal(read_all(b, back, (8 << 20) + 1, 1 << 20, &err), -1);
		assert_int_equal(err.code, FM_CORRUPT);
		fixture_damage(b->path, places[i]);
	}
	assert_int_equal(read_all(b, back, (8 << 20) + 1, 1 << 20, &err), 8 << 20);
}

static void a_wrong_length_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(100000, 4);
	FM_AUTO_FREE unsigned char *back = malloc(100100);
	uint64_t whole;
	struct fm_error err;

	write_stream(b, data, 100000, 100000);
	whole = b->file.bytes;
	for (off_t cut = 0; cut < (off_t)whole; cut += 997) {
		assert_int_equal(truncate(b->path, cut), 0);
		assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
		/* Even with a manifest that agrees about the length. */
		b->file.bytes = (uint64_t)cut;
		assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
		b->file.bytes = whole;
		unlink(b->path);
		write_stream(b, data, 100000, 100000);
	}
	assert_int_equal(truncate(b->path, (off_t)whole + 1), 0);
	assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
	b->file.bytes = whole + 1;
	assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "after the end"));
}

static void a_wrong_manifest_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(100000, 5);
	FM_AUTO_FREE unsigned char *back = malloc(100100);
	struct fm_error err;

	write_stream(b, data, 100000, 100000);
	b->file.raw_bytes--;
	assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
	b->file.raw_bytes += 2;
	assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
	b->file.raw_bytes--;
	b->file.sha256[10] ^= 1;
	assert_code(read_all(b, back, 100100, 4096, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "SHA-256"));
}

static void what_is_no_file_is_refused(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(100, 6);
	FM_AUTO_FREE char *link_path = fm_format("%s/link", b->dir);
	char back[200];
	struct fm_error err;

	write_stream(b, data, 100, 100);
	assert_int_equal(rename(b->path, link_path), 0);
	assert_code(read_all(b, back, 200, 10, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(symlink(link_path, b->path), 0);
	assert_int_equal(read_all(b, back, 200, 10, &err), -1); /* O_NOFOLLOW */
	assert_int_equal(unlink(b->path), 0);
	assert_int_equal(mkfifo(b->path, 0600), 0);
	assert_code(read_all(b, back, 200, 10, &err), err, FM_CORRUPT); /* and does not hang */
}

static void finish_reads_what_was_left(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(3 << 20, 7);
	struct stream_reader *r;
	struct fm_error err;
	char some[100];

	write_stream(b, data, 3 << 20, 1 << 20);
	r = stream_reader_open(b->path, &b->file, &err);
	assert_int_equal(stream_read(r, some, 100, &err), 100);
	assert_memory_equal(some, data, 100);
	assert_ok(stream_reader_finish(r, &err), err);
	stream_reader_close(r);
	fixture_damage(b->path, -1);
	r = stream_reader_open(b->path, &b->file, &err);
	assert_int_equal(stream_read(r, some, 100, &err), 100);
	assert_code(stream_reader_finish(r, &err), err, FM_CORRUPT);
	stream_reader_close(r);
}

/* A frame that asks its reader for a 128 MiB window: 16 bytes that would cost 128 MiB. */
static void memory_is_bounded(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE unsigned char *data = fixture_state(1 << 20, 8);
	size_t room = ZSTD_compressBound(1 << 20);
	FM_AUTO_FREE char *packed = malloc(room);
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_inBuffer in = { data, 1 << 20, 0 };
	ZSTD_outBuffer out = { packed, room, 0 };
	char back[100];
	struct fm_error err;

	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 27);
	assert_int_equal(ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush), 0);
	assert_int_equal(ZSTD_compressStream2(z, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(z);
	assert_ok(fm_file_write(b->path, 0600, packed, out.pos, &err), err);
	b->file.bytes = out.pos;
	b->file.raw_bytes = 1 << 20;
	fm_sha256_hex(packed, out.pos, b->file.sha256);
	assert_code(read_all(b, back, 100, 100, &err), err, FM_CORRUPT);
}

static void an_existing_file_is_not_overwritten(void **state)
{
	struct bench *b = *state;
	struct fm_error err;

	write_stream(b, "x", 1, 1);
	assert_null(stream_writer_create(b->path, &err));
	assert_int_equal(err.code, FM_FAILED);
	assert_non_null(strstr(err.text, b->path));
	assert_int_equal(access(b->path, F_OK), 0);
}

static void abort_removes_the_file(void **state)
{
	struct bench *b = *state;
	struct fm_error err;
	struct stream_writer *w = stream_writer_create(b->path, &err);

	assert_non_null(w);
	assert_ok(stream_write(w, "abc", 3, &err), err);
	stream_writer_abort(w);
	assert_int_equal(access(b->path, F_OK), -1);
	stream_writer_abort(NULL);
	stream_reader_close(NULL);
}

/* A child, since RLIMIT_FSIZE and mounts are the process's. */
static void in_child(void (*body)(struct bench *b), struct bench *b)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		body(b);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(condition, code)                                                                    \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, err.text); \
			_exit(code);                                                               \
		}                                                                                  \
	} while (0)

/* Incompressible bytes until the disk refuses; then every later call must refuse too. */
static void fill_until_error(struct bench *b, int expected_errno)
{
	struct fm_error err = { 0 };
	struct stream_writer *w = stream_writer_create(b->path, &err);
	FM_AUTO_FREE unsigned char *block = malloc(1 << 20);
	struct fm_error first;
	int i, rc = 0;

	EXPECT(w, 10);
	for (i = 0; i < 64 && rc == 0; i++) {
		for (size_t k = 0; k < 1 << 20; k++)
			block[k] = (unsigned char)random();
		rc = stream_write(w, block, 1 << 20, &err);
	}
	EXPECT(rc == -1 && i > 1, 11);
	EXPECT(err.code == FM_FAILED, 12);
	EXPECT(strstr(err.text, b->path) && strstr(err.text, strerror(expected_errno)), 13);
	first = err;
	memset(&err, 0, sizeof(err));
	EXPECT(stream_write(w, block, 1, &err) == -1 && strcmp(err.text, first.text) == 0, 14);
	memset(&err, 0, sizeof(err));
	EXPECT(stream_writer_finish(w, &b->file, &err) == -1 && strcmp(err.text, first.text) == 0, 15);
	EXPECT(access(b->path, F_OK) == -1 && errno == ENOENT, 16);
}

static void file_size_limit_body(struct bench *b)
{
	struct rlimit limit = { 3 << 20, 3 << 20 };

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	fill_until_error(b, EFBIG);
}

static void a_write_error_is_kept(void **state)
{
	in_child(file_size_limit_body, *state);
}

static void disk_full_body(struct bench *b)
{
	struct fm_error err = { 0 };

	EXPECT(unshare(CLONE_NEWNS) == 0, 20);
	EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, 21);
	EXPECT(mount("tmpfs", b->dir, "tmpfs", 0, "size=3m") == 0, 22);
	fill_until_error(b, ENOSPC);
	/* Room again once it is gone: the next snapshot can be written. */
	struct stream_writer *w = stream_writer_create(b->path, &err);

	EXPECT(w && stream_write(w, "x", 1, &err) == 0, 23);
	EXPECT(stream_writer_finish(w, &b->file, &err) == 0, 24);
}

/* Can this process mount? In a container root may not. */
static bool may_mount(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void a_full_disk_is_reported(void **state)
{
	if (!may_mount()) {
		print_message("skip: a full disk is a small tmpfs, and this process may not mount one "
			      "(unshare(CLONE_NEWNS) or mount refused: run as root)\n");
		skip();
	}
	in_child(disk_full_body, *state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(round_trip),
		T(numbers_are_those_of_the_file),
		T(every_damaged_byte_is_found),
		T(damage_in_a_large_file_is_found),
		T(a_wrong_length_is_found),
		T(a_wrong_manifest_is_found),
		T(what_is_no_file_is_refused),
		T(finish_reads_what_was_left),
		T(memory_is_bounded),
		T(an_existing_file_is_not_overwritten),
		T(abort_removes_the_file),
		T(a_write_error_is_kept),
		T(a_full_disk_is_reported),
	};

	return cmocka_run_group_tests_name("store stream", tests, NULL, NULL);
}
