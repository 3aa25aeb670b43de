/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_stream_test - of a member's stream the same domain comes back, or it is refused.
 * Promise 3: what a manifest names is verified by hash when read.
 */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/stream.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/key_fixture.h"

struct bench {
	char *dir, *path, *pages;
	struct stream_place at;
	struct stream_saved saved;
};

static struct pages_key *key, *next_jobs_key; /* NULL: the streams are not encrypted */

static int encrypt(void **state)
{
	struct key_world *w;
	struct fm_error err;

	key_world_make((void **)&w);
	assert_ok(pages_key_make(w->folder, 7, w->site, w->packs, &key, &err), err);
	assert_ok(pages_key_make(w->packs, 8, w->site, w->packs, &next_jobs_key, &err), err);
	return key_world_remove((void **)&w);
}

static int encrypt_end(void **state)
{
	pages_key_free(fm_steal_ptr(&key));
	pages_key_free(fm_steal_ptr(&next_jobs_key));
	return 0;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->dir = fixture_store();
	b->path = fm_format("%s/member-0.map", b->dir);
	b->pages = fm_format("%s/pages", b->dir);
	b->at = (struct stream_place){ b->path, b->pages, 7, key, NULL };
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	fixture_remove(b->dir);
	free(b->path);
	free(b->pages);
	free(b);
	return 0;
}

static struct stream_writer *begin(const struct bench *b, struct fm_error *err)
{
	return stream_writer_create(&b->at, &(struct stream_options){ 0 }, err);
}

static int write_sample(struct bench *b, const struct sample *s, size_t piece, struct fm_error *err)
{
	struct stream_writer *w = begin(b, err);

	if (!w)
		return -1;
	for (size_t at = 0; at < s->size; at += piece)
		if (stream_write(w, s->data + at, s->size - at < piece ? s->size - at : piece, err) < 0) {
			stream_writer_abort(w);
			return -1;
		}
	return stream_writer_finish(w, &b->saved, err);
}

/* A stream of so many pages, kept. */
static void keep(struct bench *b, size_t pages, unsigned seed)
{
	struct sample s = { 0 };
	struct fm_error err;

	fixture_stream(&s, pages, seed);
	assert_ok(write_sample(b, &s, 1 << 20, &err), err);
	sample_dispose(&s);
}

/* All of it, or NULL. Caller frees. */
static unsigned char *read_back(const struct bench *b, size_t piece, size_t *size_r, struct fm_error *err)
{
	struct stream_reader *r = stream_reader_open(&b->at, &b->saved.map, err);
	unsigned char *data = NULL;
	long n = r ? 1 : -1;

	for (*size_r = 0; n > 0; *size_r += (size_t)n) {
		data = realloc(data, *size_r + piece);
		assert_non_null(data);
		n = stream_read(r, data + *size_r, piece, err);
		if (n < 0)
			break;
	}
	if (n < 0 || stream_reader_finish(r, err) < 0) {
		free(data);
		data = NULL;
	}
	stream_reader_close(r);
	return data;
}

static void expect_damaged(const struct bench *b)
{
	struct fm_error err;
	size_t size;

	assert_null(read_back(b, 4096, &size, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_non_null(strstr(err.text, b->dir));
}

static void expect_readable(const struct bench *b)
{
	struct fm_error err;
	size_t size;
	FM_AUTO_FREE unsigned char *data = read_back(b, 1 << 20, &size, &err);

	if (!data)
		fail_msg("%s", err.text);
}

/* ---- what comes back makes the same domain */

static void same_domain(struct bench *b, struct sample *s, size_t write_piece, size_t read_piece, const char *name)
{
	struct restored *was = calloc(1, sizeof(*was)), *is = calloc(1, sizeof(*is));
	FM_AUTO_FREE unsigned char *back = NULL;
	struct fm_error err;
	size_t size;

	assert_true(was && is && restored_from(was, s->data, s->size));
	if (write_sample(b, s, write_piece, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	back = read_back(b, read_piece, &size, &err);
	if (!back)
		fail_msg("%s: %s", name, err.text);
	assert_true(restored_from(is, back, size));
	if (!restored_same(was, is))
		fail_msg("%s: another domain came back", name);
	assert_int_equal(unlink(b->path), 0);
	sample_dispose(s);
	free(was);
	free(is);
}

static void the_same_domain_comes_back(void **state)
{
	static const struct {
		size_t pages, write_piece, read_piece;
	} cases[] = { { 1, 1, 1 }, { 2, 4096, 100 }, { 700, 65537, 4097 }, { 1500, 1 << 20, 1 << 20 } };
	static const enum sample_kind kinds[] = { SAMPLE_LIVE, SAMPLE_PV, SAMPLE_OLD, SAMPLE_EMULATED };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sample s = { 0 };

		fixture_stream(&s, cases[i].pages, (unsigned)i);
		same_domain(*state, &s, cases[i].write_piece, cases[i].read_piece, "fixture");
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct sample s = { 0 };

		sample_make(&s, kinds[i]);
		same_domain(*state, &s, 1000, 5000, sample_name(kinds[i]));
	}
	for (unsigned seed = 0; seed < 40; seed++) {
		struct sample s = { 0 };
		char name[32];

		sample_random(&s, seed, seed % 2);
		snprintf(name, sizeof(name), "random %u", seed);
		same_domain(*state, &s, 777, 1 << 16, name);
	}
}

static void numbers_are_those_of_the_files(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *file = NULL;
	struct fm_error err;
	struct stat st;
	size_t size;
	char hex[65];

	keep(b, 500, 1);
	assert_string_equal(b->saved.map.name, "member-0.map");
	file = fm_file_read(b->path, 8 << 20, &size, &err);
	assert_non_null(file);
	assert_int_equal(b->saved.map.bytes, size);
	fm_sha256_hex(file, size, hex);
	assert_string_equal(hex, b->saved.map.sha256);
	assert_int_equal(stat(b->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(b->saved.count, 500);
	assert_in_range(b->saved.map.raw_bytes, 500 * 4096, 501 * 4096);
	assert_int_equal(b->saved.pages.put, 500);
	assert_int_equal(b->saved.pages.zero + b->saved.pages.known + b->saved.pages.stored, 500);
	assert_true(b->saved.stored > b->saved.pages.stored_bytes + size);
	assert_true(b->saved.stored < 500 * 4096 * 3 / 4); /* it is compressed at all */
}

/* The second snapshot of a domain in which nothing changed is its map. With and without a parent. */
static void what_is_there_is_not_written_again(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *first = fm_format("%s/first.map", b->dir), *none = fm_format("%s/none.map", b->dir);
	const char *parents[] = { NULL, first, none };

	keep(b, 700, 1);
	assert_int_equal(rename(b->path, first), 0);
	for (size_t i = 0; i < 3; i++) {
		struct stream_writer *w;
		struct sample s = { 0 };
		struct fm_error err;

		fixture_stream(&s, 700, 1);
		w = stream_writer_create(&b->at, &(struct stream_options){ .parent = parents[i] }, &err);
		assert_non_null(w);
		assert_ok(stream_write(w, s.data, s.size, &err), err);
		assert_ok(stream_writer_finish(w, &b->saved, &err), err);
		sample_dispose(&s);
		assert_int_equal(b->saved.pages.stored, 0);
		assert_int_equal(b->saved.stored, b->saved.map.bytes);
		expect_readable(b);
		assert_int_equal(unlink(b->path), 0);
	}
}

/* A pause ends by itself where something has to wait for it. */
static void a_pause_does_not_stop_it(void **state)
{
	struct bench *b = *state;
	struct stream_writer *w;
	struct sample s = { 0 };
	struct fm_error err;

	fixture_stream(&s, 8000, 1);
	w = begin(b, &err);
	assert_non_null(w);
	stream_writer_pause(w);
	assert_ok(stream_write(w, s.data, s.size / 2, &err), err);
	assert_true(stream_writer_progress(w).put > 3000);
	stream_writer_pause(w);
	assert_ok(stream_write(w, s.data + s.size / 2, s.size - s.size / 2, &err), err);
	stream_writer_pause(w);
	assert_ok(stream_writer_finish(w, &b->saved, &err), err);
	expect_readable(b);
	sample_dispose(&s);
}

struct pauser {
	struct stream_writer *writer;
	atomic_bool over;
};

static void *pause_always(void *data)
{
	struct pauser *p = data;

	while (!p->over) {
		stream_writer_pause(p->writer);
		usleep(50);
	}
	return NULL;
}

/* At whatever moment it comes: also while a put waits for room. */
static void pauses_at_any_moment(void **state)
{
	struct bench *b = *state;
	struct pauser p = { 0 };
	pthread_t thread;
	struct fm_error err;

	for (unsigned seed = 0; seed < 6; seed++) {
		struct sample s = { 0 };

		fixture_stream(&s, 12000, seed);
		p.writer = begin(b, &err);
		p.over = false;
		assert_non_null(p.writer);
		assert_int_equal(pthread_create(&thread, NULL, pause_always, &p), 0);
		assert_ok(stream_write(p.writer, s.data, s.size, &err), err);
		p.over = true;
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_ok(stream_writer_finish(p.writer, &b->saved, &err), err);
		sample_dispose(&s);
		assert_int_equal(unlink(b->path), 0);
	}
}

/* ---- damage */

static void every_damaged_byte_of_the_map_is_found(void **state)
{
	struct bench *b = *state;

	keep(b, 3, 2);
	for (long at = 0; at < (long)b->saved.map.bytes; at++) {
		fixture_damage(b->path, at);
		expect_damaged(b);
		fixture_damage(b->path, at); /* flips it back */
	}
	expect_readable(b);
}

/* The one pack of the store. Caller frees. */
static char *pack_of(const struct bench *b)
{
	DIR *dir = opendir(b->pages);
	char *path = NULL;

	assert_non_null(dir);
	for (struct dirent *e; !path && (e = readdir(dir));)
		if (strstr(e->d_name, ".pack"))
			path = fm_format("%s/%s", b->pages, e->d_name);
	closedir(dir);
	assert_non_null(path);
	return path;
}

static void damage_in_a_pack_is_found(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *pack = NULL;
	struct fm_error err;
	struct stat st;
	size_t size;

	keep(b, 300, 3);
	pack = pack_of(b);
	assert_int_equal(stat(pack, &st), 0);
	for (long at = 0; at < st.st_size; at += st.st_size / 61) {
		fixture_damage(pack, at);
		expect_damaged(b);
		fixture_damage(pack, at);
	}
	expect_readable(b);
	assert_int_equal(truncate(pack, st.st_size - 1), 0);
	expect_damaged(b);
	assert_int_equal(unlink(pack), 0);
	assert_null(read_back(b, 4096, &size, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_non_null(strstr(err.text, "pack"));
}

static void a_wrong_length_is_found(void **state)
{
	struct bench *b = *state;
	off_t whole;

	keep(b, 30, 4);
	whole = (off_t)b->saved.map.bytes;
	assert_int_equal(truncate(b->path, whole + 1), 0);
	expect_damaged(b);
	for (off_t cut = whole - 1; cut >= 0; cut -= 13) {
		assert_int_equal(truncate(b->path, cut), 0);
		expect_damaged(b);
	}
}

static void a_wrong_manifest_is_found(void **state)
{
	struct bench *b = *state;

	keep(b, 30, 5);
	b->saved.map.raw_bytes--;
	expect_damaged(b);
	b->saved.map.raw_bytes++;
	b->saved.map.sha256[10] ^= 1;
	expect_damaged(b);
	b->saved.map.sha256[10] ^= 1;
	b->at.job++;
	b->at.key = next_jobs_key;
	expect_damaged(b);
	b->at.job--;
	b->at.key = key;
	expect_readable(b);
}

static void what_is_no_file_is_refused(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *link_path = fm_format("%s/link", b->dir);
	struct fm_error err;
	size_t size;

	keep(b, 3, 6);
	assert_int_equal(rename(b->path, link_path), 0);
	assert_null(read_back(b, 10, &size, &err));
	assert_int_equal(err.code, FM_CORRUPT);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(mkfifo(b->path, 0600), 0);
	assert_null(read_back(b, 10, &size, &err)); /* and does not hang */
}

static long length_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (long)st.st_size;
}

static void finish_reads_what_was_left(void **state)
{
	struct bench *b = *state;
	FM_AUTO_FREE char *pack = NULL;
	struct stream_reader *r;
	struct fm_error err;
	char some[100];

	keep(b, 1500, 7);
	pack = pack_of(b);
	for (int damaged = 0; damaged < 2; damaged++) {
		r = stream_reader_open(&b->at, &b->saved.map, &err);
		assert_non_null(r);
		assert_int_equal(stream_read(r, some, 48, &err), 48);
		assert_memory_equal(some, "Xen saved domain", 16);
		if (damaged)
			assert_code(stream_reader_finish(r, &err), err, FM_CORRUPT);
		else
			assert_ok(stream_reader_finish(r, &err), err);
		stream_reader_close(r);
		fixture_damage(pack, length_of(pack) * 2 / 3);
	}
}

/* ---- what is not kept */

static void what_is_no_stream_is_refused(void **state)
{
	struct bench *b = *state;
	struct sample s = { 0 };
	struct stream_writer *w;
	struct fm_error err, first;

	fixture_stream(&s, 30, 8);
	w = begin(b, &err);
	assert_ok(stream_write(w, s.data, 16, &err), err);
	memset(&err, 0, sizeof(err));
	assert_code(stream_write(w, s.data, s.size, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, b->path));
	first = err;
	memset(&err, 0, sizeof(err));
	assert_code(stream_write(w, s.data, 1, &err), err, FM_CORRUPT);
	assert_string_equal(err.text, first.text);
	assert_code(stream_writer_finish(w, &b->saved, &err), err, FM_CORRUPT);
	assert_string_equal(err.text, first.text);
	assert_int_equal(access(b->path, F_OK), -1);
	for (size_t cut = 0; cut < s.size; cut += s.size / 23) { /* cut short anywhere */
		w = begin(b, &err);
		assert_ok(stream_write(w, s.data, cut, &err), err);
		assert_code(stream_writer_finish(w, &b->saved, &err), err, FM_CORRUPT);
		assert_int_equal(access(b->path, F_OK), -1);
	}
	sample_dispose(&s);
}

static void an_existing_file_is_not_overwritten(void **state)
{
	struct bench *b = *state;
	struct fm_error err;

	keep(b, 1, 1);
	assert_null(begin(b, &err));
	assert_int_equal(err.code, FM_FAILED);
	assert_non_null(strstr(err.text, b->path));
	expect_readable(b);
}

static void abort_leaves_nothing(void **state)
{
	struct bench *b = *state;
	struct sample s = { 0 };
	struct fm_error err;
	struct stream_writer *w = begin(b, &err);
	DIR *dir;

	assert_non_null(w);
	fixture_stream(&s, 3000, 1);
	assert_ok(stream_write(w, s.data, s.size - 100, &err), err);
	stream_writer_abort(w);
	sample_dispose(&s);
	assert_int_equal(access(b->path, F_OK), -1);
	dir = opendir(b->pages);
	for (struct dirent *e; (e = readdir(dir));)
		assert_null(strstr(e->d_name, "pa")); /* neither .pack nor .part */
	closedir(dir);
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

/* Pages until the disk refuses; then every later call must refuse too. */
static void fill_until_error(struct bench *b, int expected_errno)
{
	struct fm_error err = { 0 };
	struct stream_writer *w = begin(b, &err);
	struct sample s = { 0 };
	struct fm_error first;
	size_t at;
	int rc = 0;

	EXPECT(w, 10);
	fixture_stream(&s, 16000, 1);
	for (at = 0; at < s.size && rc == 0; at += 1 << 20)
		rc = stream_write(w, s.data + at, s.size - at < 1 << 20 ? s.size - at : 1 << 20, &err);
	EXPECT(rc == -1 && at > 1 << 20, 11);
	EXPECT(err.code == FM_FAILED, 12);
	EXPECT(strstr(err.text, b->path) && strstr(err.text, strerror(expected_errno)), 13);
	first = err;
	memset(&err, 0, sizeof(err));
	EXPECT(stream_write(w, s.data, 1, &err) == -1 && strcmp(err.text, first.text) == 0, 14);
	memset(&err, 0, sizeof(err));
	EXPECT(stream_writer_finish(w, &b->saved, &err) == -1 && strcmp(err.text, first.text) == 0, 15);
	EXPECT(access(b->path, F_OK) == -1 && errno == ENOENT, 16);
	sample_dispose(&s);
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
	struct sample s = { 0 };

	fixture_stream(&s, 30, 9);
	EXPECT(write_sample(b, &s, s.size, &err) == 0, 23);
	sample_dispose(&s);
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
		T(the_same_domain_comes_back),
		T(numbers_are_those_of_the_files),
		T(what_is_there_is_not_written_again),
		T(a_pause_does_not_stop_it),
		T(pauses_at_any_moment),
		T(every_damaged_byte_of_the_map_is_found),
		T(damage_in_a_pack_is_found),
		T(a_wrong_length_is_found),
		T(a_wrong_manifest_is_found),
		T(what_is_no_file_is_refused),
		T(finish_reads_what_was_left),
		T(what_is_no_stream_is_refused),
		T(an_existing_file_is_not_overwritten),
		T(abort_leaves_nothing),
		T(a_write_error_is_kept),
		T(a_full_disk_is_reported),
	};

	return cmocka_run_group_tests_name("store stream", tests, NULL, NULL) +
	       cmocka_run_group_tests_name("store stream, encrypted", tests, encrypt, encrypt_end);
}
