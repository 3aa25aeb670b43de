/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_try - drive a page store by hand, and say what it took: one JSON object.
 *
 *	store_try save DIR MAP IMAGE [codec=lz4|zstd|raw] [level=N] [threads=N] [frame=N] [pack=N] [hash=NAME]
 *	                             [parent=MAP] [changed=LIST]
 *	store_try stream DIR MAP FILE [parent=MAP] [codec=lz4|zstd] [pipe=1]
 *	store_try unstream DIR MAP OUT [threads=N]
 *	store_try restore DIR MAP OUT [threads=N] [hash=NAME]
 *	store_try rewrite DIR [codec=…] [level=N] [frame=N]
 *	store_try verify DIR
 *
 * Each with [key=FILE], the site's key: then the job's key is DIR/key, and is made by the first save.
 *
 * IMAGE is read as a stream, like a guest's; FILE is a saved domain (`fermata export`). With pipe it comes as in the worker, through a pipe and a
 * queue in memory (agent/worker/pump.h); unstream gives it back as the worker does, through another (feed.h), to OUT. LIST has the numbers (u64) of the pages that differ from the parent's: then
 * only these are read.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/stream.h"
#include "agent/worker/feed.h"
#include "agent/worker/pump.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

#define JOB 1u
#define PIECE 256u /* pages */

struct arguments {
	struct pages_writer_options writer;
	const char *parent, *changed, *site;
	bool pipe;
};

static int fail(const char *what)
{
	fprintf(stderr, "store_try: %s\n", what);
	return 1;
}

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* RssAnon, KiB: what is ours, not the files'. */
static long anonymous_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static long peak_kib;
static void peak_note(void)
{
	long kib = anonymous_kib();

	if (kib > peak_kib)
		peak_kib = kib;
}

static void tell(double since)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	peak_note();
	printf("\"seconds\":%.4f,\"cpu_s\":%.4f,\"maxrss_kib\":%ld,\"anonymous_kib\":%ld}\n",
	       now_s(CLOCK_MONOTONIC) - since, now_s(CLOCK_PROCESS_CPUTIME_ID), usage.ru_maxrss, peak_kib);
}

static int arguments_read(struct arguments *a, char **argv)
{
	memset(a, 0, sizeof(*a));
	a->writer.codec = PAGES_LZ4;
	for (; *argv; argv++) {
		const char *value = strchr(*argv, '=');

		if (!value++)
			return -1;
		if (strncmp(*argv, "codec=", 6) == 0)
			a->writer.codec = *value == 'z' ? PAGES_ZSTD : *value == 'r' ? PAGES_RAW : PAGES_LZ4;
		else if (strncmp(*argv, "level=", 6) == 0)
			a->writer.level = atoi(value);
		else if (strncmp(*argv, "threads=", 8) == 0)
			a->writer.threads = (unsigned)atoi(value);
		else if (strncmp(*argv, "frame=", 6) == 0)
			a->writer.frame_pages = (unsigned)atoi(value);
		else if (strncmp(*argv, "pack=", 5) == 0)
			a->writer.pack_pages = (unsigned)atoi(value);
		else if (strncmp(*argv, "hash=", 5) == 0)
			a->writer.hash = value;
		else if (strncmp(*argv, "parent=", 7) == 0)
			a->parent = value;
		else if (strncmp(*argv, "changed=", 8) == 0)
			a->changed = value;
		else if (strncmp(*argv, "key=", 4) == 0)
			a->site = value;
		else if (strncmp(*argv, "pipe=", 5) == 0)
			a->pipe = *value == '1';
		else
			return -1;
	}
	a->writer.inherit = a->changed;
	return 0;
}

/* The job's key if there is to be one. */
static int key_open(const char *dir, const struct arguments *a, bool make, struct pages_key **key_r, struct fm_error *err)
{
	struct site_key *site = a->site ? site_key_load(a->site, err) : NULL;
	int rc = -1;

	*key_r = NULL;
	if (site && make)
		rc = pages_key_make(dir, JOB, site, dir, key_r, err);
	else if (site || !a->site)
		rc = pages_key_open(dir, JOB, site, key_r, err);
	site_key_free(site);
	return rc;
}

/* The store, opened with it. *key_r is freed after it. */
static struct pages_store *store_open(const char *dir, const struct arguments *a, bool make, struct pages_key **key_r,
				      struct fm_error *err)
{
	return key_open(dir, a, make, key_r, err) == 0 ? pages_store_open(dir, JOB, *key_r, err) : NULL;
}

/* All of the image, or the pages whose numbers are in list. */
static int feed(struct pages_writer *w, int image, const uint64_t *list, size_t listed, struct fm_error *err)
{
	static unsigned char data[PIECE * 4096];
	uint64_t pfn[PIECE], next = 0;

	for (size_t at = 0;; at += PIECE) {
		size_t n = 0;
		ssize_t got = 0;

		if (list) {
			for (; n < PIECE && at + n < listed; n++) {
				pfn[n] = list[at + n];
				if (pread(image, data + n * 4096, 4096, (off_t)pfn[n] * 4096) != 4096)
					return fm_fail(err, FM_FAILED, "cannot read the image");
			}
		} else {
			got = fm_read_all(image, data, sizeof(data));
			if (got < 0 || got % 4096)
				return fm_fail(err, FM_FAILED, "cannot read the image");
			for (; n < (size_t)got / 4096; n++)
				pfn[n] = next++;
		}
		if (n == 0)
			return 0;
		if (pages_writer_put(w, pfn, data, n, err) < 0)
			return -1;
		if (at % (64 * PIECE) == 0)
			peak_note();
	}
}

static int save(char **argv, const struct arguments *given)
{
	struct arguments a = *given;
	double since = now_s(CLOCK_MONOTONIC);
	struct fm_error err = { 0 };
	struct pages_key *key;
	struct pages_store *s = store_open(argv[0], &a, true, &key, &err);
	struct pages_map *parent = s && a.parent ? pages_map_open(a.parent, JOB, key, NULL, &err) : NULL;
	FM_AUTO_FREE uint64_t *list = NULL;
	FM_AUTO_CLOSE int image = open(argv[2], O_RDONLY | O_CLOEXEC);
	struct pages_writer *w = NULL;
	struct pages_saved saved;
	size_t bytes = 0;

	if (!s || image < 0 || (a.parent && !parent))
		return fail(err.text);
	a.writer.parent = parent;
	if (a.changed && !(list = (uint64_t *)fm_file_read(a.changed, (size_t)1 << 30, &bytes, &err)))
		return fail(err.text);
	w = pages_writer_create(s, &a.writer, &err);
	if (!w || feed(w, image, list, bytes / 8, &err) < 0)
		return fail(err.text);
	peak_note();
	if (pages_writer_finish(w, argv[1], "", 0, &saved, &err) < 0)
		return fail(err.text);
	printf("{\"bytes\":%llu,\"map_bytes\":%llu,\"pages\":%llu,\"put\":%llu,\"zero\":%llu,\"known\":%llu,"
	       "\"stored\":%llu,\"state_bytes\":%llu,\"hash\":\"%s\",",
	       (unsigned long long)saved.bytes, (unsigned long long)saved.map.bytes, (unsigned long long)saved.pages,
	       (unsigned long long)saved.progress.put, (unsigned long long)saved.progress.zero,
	       (unsigned long long)saved.progress.known, (unsigned long long)saved.progress.stored,
	       (unsigned long long)saved.memory, saved.hash);
	tell(since);
	pages_map_close(parent);
	pages_store_close(s);
	pages_key_free(key);
	return 0;
}

static int to_stream(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	return stream_write(data, bytes, size, err);
}

/* As the worker: the driver writes to a pipe, the pump's threads take it from there. */
static int pump_file(struct stream_writer *w, int file, char *piece, struct fm_error *err)
{
	struct pump *p = pump_start(pump_default_limit(), &(struct pump_sink){ .write = to_stream, .data = w }, err);
	ssize_t n = -1;
	int rc = -1;

	while (p && (n = fm_read_all(file, piece, PIECE * 4096)) > 0 && fm_write_all(pump_fd(p), piece, (size_t)n) == 0)
		;
	if (p && n == 0) {
		pump_close(p);
		rc = pump_finish(p, err);
	} else if (p) {
		fm_fail(err, FM_FAILED, "the pipe broke");
	}
	pump_destroy(p);
	return rc;
}

static int copy_file(struct stream_writer *w, int file, char *piece, struct fm_error *err)
{
	ssize_t n;

	while ((n = fm_read_all(file, piece, PIECE * 4096)) > 0)
		if (stream_write(w, piece, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? fm_fail(err, FM_FAILED, "cannot read the file") : 0;
}

static int stream(char **argv, const struct arguments *a)
{
	double since = now_s(CLOCK_MONOTONIC);
	struct fm_error err = { 0 };
	struct pages_key *key = NULL;
	struct stream_writer *w = NULL;
	FM_AUTO_CLOSE int file = open(argv[2], O_RDONLY | O_CLOEXEC);
	FM_AUTO_FREE char *piece = malloc(PIECE * 4096);
	struct stream_saved saved;

	if (file < 0 || !piece)
		return fail("cannot open the file");
	if (key_open(argv[0], a, true, &key, &err) == 0)
		w = stream_writer_create(&(struct stream_place){ argv[1], argv[0], JOB, key, NULL },
					 &(struct stream_options){ .parent = a->parent, .zstd = a->writer.codec == PAGES_ZSTD },
					 &err);
	if (!w || (a->pipe ? pump_file(w, file, piece, &err) : copy_file(w, file, piece, &err)) < 0)
		return fail(err.text);
	peak_note();
	if (stream_writer_finish(w, &saved, &err) < 0)
		return fail(err.text);
	printf("{\"bytes\":%llu,\"map_bytes\":%llu,\"raw_bytes\":%llu,\"pages\":%llu,\"zero\":%llu,\"known\":%llu,\"stored\":%llu,",
	       (unsigned long long)saved.stored, (unsigned long long)saved.map.bytes, (unsigned long long)saved.map.raw_bytes,
	       (unsigned long long)saved.count, (unsigned long long)saved.pages.zero, (unsigned long long)saved.pages.known,
	       (unsigned long long)saved.pages.stored);
	tell(since);
	pages_key_free(key);
	return 0;
}

static long from_stream(void *source, void *data, size_t size, struct fm_error *err)
{
	return stream_read(source, data, size, err);
}

static int stream_end(void *source, struct fm_error *err)
{
	return stream_reader_finish(source, err);
}

/* What the manifest would say of the map. */
static int map_expected(const char *path, const struct pages_key *key, struct store_file *expected_r, struct fm_error *err)
{
	struct pages_map *m = pages_map_open(path, JOB, key, NULL, err);
	size_t skeleton, size;
	FM_AUTO_FREE char *bytes = m ? fm_file_read(path, (size_t)1 << 30, &size, err) : NULL;

	if (bytes) {
		fm_sha256_hex(bytes, size, expected_r->sha256);
		pages_map_skeleton(m, &skeleton);
		expected_r->raw_bytes = pages_map_count(m) * 4096 + skeleton;
	}
	pages_map_close(m);
	return bytes ? 0 : -1;
}

/* To a reader of the pipe, as libxc would be. */
static int drain(struct feed *f, const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FM_AUTO_FREE char *piece = malloc(PIECE * 4096);
	ssize_t n = -1;

	while (out >= 0 && piece && (n = read(feed_fd(f), piece, PIECE * 4096)) > 0)
		if (fm_write_all(out, piece, (size_t)n) < 0)
			return fm_fail(err, FM_FAILED, "cannot write");
	return n == 0 ? feed_finish(f, true, err) : fm_fail(err, FM_FAILED, "cannot read or write");
}

static int unstream(char **argv, const struct arguments *a)
{
	double since = now_s(CLOCK_MONOTONIC);
	const struct pages_reader_options o = { .threads = a->writer.threads };
	struct fm_error err = { 0 };
	struct pages_key *key = NULL;
	struct store_file expected = { 0 };
	struct stream_reader *r = NULL;
	struct feed *f = NULL;

	if (key_open(argv[0], a, false, &key, &err) == 0 && map_expected(argv[1], key, &expected, &err) == 0)
		r = stream_reader_open_with(&(struct stream_place){ argv[1], argv[0], JOB, key, NULL }, &expected, &o, &err);
	if (r)
		f = feed_start(&(struct feed_source){ from_stream, stream_end, NULL, r }, &err);
	if (!f || drain(f, argv[2], &err) < 0)
		return fail(err.text);
	printf("{\"raw_bytes\":%llu,", (unsigned long long)expected.raw_bytes);
	tell(since);
	feed_destroy(f);
	stream_reader_close(r);
	pages_key_free(key);
	return 0;
}

static int restore(char **argv, const struct arguments *a)
{
	double since = now_s(CLOCK_MONOTONIC);
	struct pages_reader_options o = { .threads = a->writer.threads, .hash = a->writer.hash };
	struct fm_error err = { 0 };
	struct pages_key *key;
	struct pages_store *s = store_open(argv[0], a, false, &key, &err);
	struct pages_map *m = s ? pages_map_open(argv[1], JOB, key, NULL, &err) : NULL;
	struct pages_reader *r = m ? pages_reader_create(s, m, &o, &err) : NULL;
	FM_AUTO_CLOSE int out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct iovec part[PAGES_BATCH];
	struct pages_batch b;
	int more = -1;

	if (!r || out < 0)
		return fail(err.text);
	while ((more = pages_reader_next(r, &b, &err)) > 0) {
		for (size_t i = 0; i < b.count; i++)
			part[i] = (struct iovec){ (void *)(uintptr_t)b.page[i], 4096 };
		if (writev(out, part, (int)b.count) != (ssize_t)b.count * 4096)
			return fail("cannot write");
	}
	if (more < 0)
		return fail(err.text);
	printf("{\"pages\":%llu,", (unsigned long long)pages_map_count(m));
	tell(since);
	pages_reader_destroy(r);
	pages_map_close(m);
	pages_store_close(s);
	pages_key_free(key);
	return 0;
}

static int each_pack(const char *what, char **argv, const struct arguments *a)
{
	double since = now_s(CLOCK_MONOTONIC);
	struct pages_rewrite_options o = { .codec = a->writer.codec, .level = a->writer.level,
					   .frame_pages = a->writer.frame_pages };
	struct fm_error err = { 0 };
	struct pages_key *key;
	struct pages_store *s = store_open(argv[0], a, false, &key, &err);
	unsigned long long before = 0, after = 0, pages = 0;
	char id[65];

	if (!s || pages_store_scan(s, &err) < 0)
		return fail(err.text);
	for (size_t i = 0; pages_store_pack(s, i, id); i++) {
		struct pages_verdict v = { 0 };
		uint64_t b = 0, c = 0;

		if (*what == 'v' ? pages_pack_verify(s, id, &v, &err) < 0 :
				   pages_pack_rewrite(s, id, &o, &b, &c, &err) < 0)
			return fail(err.text);
		before += b + v.bytes;
		after += c;
		pages += v.pages;
	}
	printf("{\"bytes\":%llu,\"after_bytes\":%llu,\"pages\":%llu,", before, after, pages);
	tell(since);
	pages_store_close(s);
	pages_key_free(key);
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a;

	if (argc > 4 && strcmp(argv[1], "save") == 0 && arguments_read(&a, argv + 5) == 0)
		return save(argv + 2, &a);
	if (argc > 4 && strcmp(argv[1], "stream") == 0 && arguments_read(&a, argv + 5) == 0)
		return stream(argv + 2, &a);
	if (argc > 4 && strcmp(argv[1], "unstream") == 0 && arguments_read(&a, argv + 5) == 0)
		return unstream(argv + 2, &a);
	if (argc > 4 && strcmp(argv[1], "restore") == 0 && arguments_read(&a, argv + 5) == 0)
		return restore(argv + 2, &a);
	if (argc > 2 && (strcmp(argv[1], "rewrite") == 0 || strcmp(argv[1], "verify") == 0) &&
	    arguments_read(&a, argv + 3) == 0)
		return each_pack(argv[1], argv + 2, &a);
	fprintf(stderr, "usage: store_try save|stream|unstream|restore|rewrite|verify DIR …: see the head of its source\n");
	return 2;
}
