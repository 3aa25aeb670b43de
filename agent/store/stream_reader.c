/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream_reader.c - a member's stream read back, and checked while it is.
 *
 * Every byte of the file goes through the hash before zstd sees it.  Sizes are
 * bounds: neither the file nor what comes out of it may exceed the manifest's
 * numbers, and zstd may not take a window larger than our writer ever uses, so
 * hostile bytes cost a bounded amount of memory and time.
 */
#include "config.h"

#include "agent/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "agent/store/digest.h"
#include "common/cleanup.h"

#define IN_SIZE ((size_t)1 << 20)
#define WINDOW_LOG_MAX 23 /* 8 MiB; level 1 writes at most 512 KiB */

struct stream_reader {
	char *path;
	int fd;
	ZSTD_DCtx *zstd;
	struct digest *digest;
	ZSTD_inBuffer in;
	void *buffer; /* in.src, ours */
	struct store_file expected;
	uint64_t raw_bytes, bytes;
	bool end_of_file, end_of_frame;
};

void stream_reader_close(struct stream_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	ZSTD_freeDCtx(r->zstd);
	digest_destroy(r->digest);
	free(r->buffer);
	free(r->path);
	free(r);
}

static int reader_open_file(struct stream_reader *r, struct fm_error *err)
{
	struct stat st;

	/* O_NONBLOCK: a fifo put there must not hang us; no effect on a file. */
	r->fd = open(r->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (r->fd < 0 && errno == ENOENT)
		return fm_fail(err, FM_CORRUPT, "%s is missing", r->path);
	if (r->fd < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", r->path, strerror(errno));
	if (fstat(r->fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "cannot stat %s: %s", r->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fm_fail(err, FM_CORRUPT, "%s is not a regular file", r->path);
	if ((uint64_t)st.st_size != r->expected.bytes)
		return fm_fail(err, FM_CORRUPT, "%s has %lld bytes, its manifest says %llu", r->path,
			       (long long)st.st_size, (unsigned long long)r->expected.bytes);
	return 0;
}

static int reader_prepare(struct stream_reader *r, const char *path, struct fm_error *err)
{
	r->path = strdup(path);
	r->buffer = malloc(IN_SIZE);
	r->in.src = r->buffer;
	r->zstd = ZSTD_createDCtx();
	if (!r->path || !r->buffer || !r->zstd)
		return fm_fail(err, FM_FAILED, "%s: out of memory", path);
	if (ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return fm_fail(err, FM_FAILED, "%s: zstd refuses its window limit", path);
	r->digest = digest_create(err);
	return r->digest ? 0 : -1;
}

struct stream_reader *stream_reader_open(const char *path, const struct store_file *expected,
					 struct fm_error *err)
{
	struct stream_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		fm_fail(err, FM_FAILED, "%s: out of memory", path);
		return NULL;
	}
	r->fd = -1;
	r->expected = *expected;
	if (reader_prepare(r, path, err) < 0 || reader_open_file(r, err) < 0) {
		stream_reader_close(r);
		return NULL;
	}
	return r;
}

/* Refill an empty input buffer. */
static int reader_fill(struct stream_reader *r, struct fm_error *err)
{
	ssize_t n;

	do
		n = read(r->fd, r->buffer, IN_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fm_fail(err, FM_FAILED, "cannot read %s at byte %llu: %s", r->path,
			       (unsigned long long)r->bytes, strerror(errno));
	r->in.pos = 0;
	r->in.size = (size_t)n;
	r->bytes += (uint64_t)n;
	r->end_of_file = n == 0;
	if (r->bytes > r->expected.bytes)
		return fm_fail(err, FM_CORRUPT, "%s grew beyond its manifest's %llu bytes", r->path,
			       (unsigned long long)r->expected.bytes);
	return digest_add(r->digest, r->buffer, (size_t)n, err);
}

static int reader_bad(const struct stream_reader *r, const char *what, struct fm_error *err)
{
	return fm_fail(err, FM_CORRUPT, "%s is damaged near byte %llu: %s", r->path,
		       (unsigned long long)(r->bytes - r->in.size + r->in.pos), what);
}

/* One step: refill or decompress. 1: call again, 0: the stream's end. */
static int reader_step(struct stream_reader *r, ZSTD_outBuffer *out, struct fm_error *err)
{
	size_t before = out->pos, rc;

	if (r->in.pos == r->in.size && !r->end_of_file) {
		if (reader_fill(r, err) < 0)
			return -1;
	}
	if (r->end_of_frame) {
		if (r->in.pos < r->in.size)
			return reader_bad(r, "data after the end", err);
		return r->end_of_file ? 0 : 1;
	}
	rc = ZSTD_decompressStream(r->zstd, out, &r->in);
	if (ZSTD_isError(rc))
		return reader_bad(r, ZSTD_getErrorName(rc), err);
	r->end_of_frame = rc == 0;
	if (rc != 0 && r->end_of_file && out->pos == before)
		return reader_bad(r, "it ends too early", err);
	return 1;
}

long stream_read(struct stream_reader *r, void *data, size_t size, struct fm_error *err)
{
	ZSTD_outBuffer out = { data, size, 0 };
	int more = 1;

	while (more > 0 && out.pos < out.size) {
		more = reader_step(r, &out, err);
		if (more < 0)
			return -1;
	}
	r->raw_bytes += out.pos;
	if (r->raw_bytes > r->expected.raw_bytes)
		return reader_bad(r, "it holds more than its manifest says", err);
	return (long)out.pos;
}

static int reader_drain(struct stream_reader *r, struct fm_error *err)
{
	size_t size = ZSTD_DStreamOutSize();
	FM_AUTO_FREE void *data = malloc(size);
	long n;

	if (!data)
		return fm_fail(err, FM_FAILED, "%s: out of memory", r->path);
	do
		n = stream_read(r, data, size, err);
	while (n > 0);
	return (int)n;
}

int stream_reader_finish(struct stream_reader *r, struct fm_error *err)
{
	char hex[65];

	if (reader_drain(r, err) < 0)
		return -1;
	if (r->raw_bytes != r->expected.raw_bytes)
		return fm_fail(err, FM_CORRUPT, "%s holds %llu bytes of state, its manifest says %llu",
			       r->path, (unsigned long long)r->raw_bytes,
			       (unsigned long long)r->expected.raw_bytes);
	if (r->bytes != r->expected.bytes)
		return fm_fail(err, FM_CORRUPT, "%s has %llu bytes, its manifest says %llu", r->path,
			       (unsigned long long)r->bytes, (unsigned long long)r->expected.bytes);
	if (digest_finish(r->digest, hex, err) < 0)
		return -1;
	if (strcmp(hex, r->expected.sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, its manifest says %.12s…",
			       r->path, hex, r->expected.sha256);
	return 0;
}
