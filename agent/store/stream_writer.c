/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream_writer.c - a member's stream on its way to disk.
 *
 * One zstd frame.  The hash and the size are those of the bytes handed to the
 * kernel, so what finish() returns is what a reader must find.  The first
 * error is kept: a caller that overlooks one cannot finish a stream with a hole.
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
#include "common/io.h"

#define OUT_SIZE ((size_t)1 << 20) /* shared file systems dislike small writes */
#define LEVEL 1                    /* the guest may be stopped while we compress */

struct stream_writer {
	char *path;
	int fd;
	ZSTD_CCtx *zstd;
	struct digest *digest;
	ZSTD_outBuffer out;
	uint64_t raw_bytes, bytes;
	struct fm_error broken; /* code FM_OK while all is well */
};

static void writer_free(struct stream_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	ZSTD_freeCCtx(w->zstd);
	digest_destroy(w->digest);
	free(w->out.dst);
	free(w->path);
	free(w);
}

static int writer_prepare(struct stream_writer *w, const char *path, struct fm_error *err)
{
	w->path = strdup(path);
	w->zstd = ZSTD_createCCtx();
	w->out.dst = malloc(OUT_SIZE);
	w->out.size = OUT_SIZE;
	if (!w->path || !w->zstd || !w->out.dst)
		return fm_fail(err, FM_FAILED, "%s: out of memory", path);
	w->digest = digest_create(err);
	if (!w->digest)
		return -1;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL)))
		return fm_fail(err, FM_FAILED, "%s: zstd refuses level %d", path, LEVEL);
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return fm_fail(err, FM_FAILED, "cannot create %s: %s", path, strerror(errno));
	return 0;
}

struct stream_writer *stream_writer_create(const char *path, struct fm_error *err)
{
	struct stream_writer *w = calloc(1, sizeof(*w));

	if (!w) {
		fm_fail(err, FM_FAILED, "%s: out of memory", path);
		return NULL;
	}
	w->fd = -1;
	if (writer_prepare(w, path, err) < 0) {
		writer_free(w); /* no file to remove: open() is the last step */
		return NULL;
	}
	return w;
}

static int writer_break(struct stream_writer *w, const struct fm_error *why)
{
	w->broken = *why;
	return -1;
}

static int writer_flush(struct stream_writer *w, struct fm_error *err)
{
	if (w->out.pos == 0)
		return 0;
	if (digest_add(w->digest, w->out.dst, w->out.pos, err) < 0)
		return -1;
	if (fm_write_all(w->fd, w->out.dst, w->out.pos) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s (after %llu bytes): %s", w->path,
			       (unsigned long long)w->bytes, strerror(errno));
	w->bytes += w->out.pos;
	w->out.pos = 0;
	return 0;
}

/* Feed `in`; with ZSTD_e_end until the frame is closed. */
static int writer_compress(struct stream_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective end,
			   struct fm_error *err)
{
	size_t left;

	do {
		left = ZSTD_compressStream2(w->zstd, &w->out, in, end);
		if (ZSTD_isError(left))
			return fm_fail(err, FM_FAILED, "cannot compress %s: %s", w->path,
				       ZSTD_getErrorName(left));
		if (w->out.pos == w->out.size && writer_flush(w, err) < 0)
			return -1;
	} while (in->pos < in->size || (end == ZSTD_e_end && left > 0));
	return 0;
}

int stream_write(struct stream_writer *w, const void *data, size_t size, struct fm_error *err)
{
	ZSTD_inBuffer in = { data, size, 0 };

	if (w->broken.code != FM_OK) {
		*err = w->broken;
		return -1;
	}
	if (writer_compress(w, &in, ZSTD_e_continue, err) < 0)
		return writer_break(w, err);
	w->raw_bytes += size;
	return 0;
}

static int writer_sync(struct stream_writer *w, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = strdup(w->path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return fm_fail(err, FM_FAILED, "%s: out of memory", w->path);
	if (fsync(w->fd) < 0)
		return fm_fail(err, FM_FAILED, "cannot make %s durable: %s", w->path, strerror(errno));
	/* NFS reports a full disk as late as here. */
	if (close(fm_steal_fd(&w->fd)) < 0)
		return fm_fail(err, FM_FAILED, "cannot close %s: %s", w->path, strerror(errno));
	if (slash)
		*slash = '\0';
	return fm_fsync_dir(!slash ? "." : slash == dir ? "/" : dir, err);
}

static void file_describe(const struct stream_writer *w, struct store_file *file_r)
{
	const char *slash = strrchr(w->path, '/');

	memset(file_r, 0, sizeof(*file_r));
	/* A name that does not fit is caught by the check of the manifest. */
	strncpy(file_r->name, slash ? slash + 1 : w->path, sizeof(file_r->name) - 1);
	file_r->bytes = w->bytes;
	file_r->raw_bytes = w->raw_bytes;
}

int stream_writer_finish(struct stream_writer *w, struct store_file *file_r, struct fm_error *err)
{
	ZSTD_inBuffer none = { NULL, 0, 0 };
	int rc = 0;

	if (w->broken.code != FM_OK) {
		*err = w->broken;
		rc = -1;
	}
	if (rc == 0)
		rc = writer_compress(w, &none, ZSTD_e_end, err);
	if (rc == 0)
		rc = writer_flush(w, err);
	if (rc == 0)
		rc = writer_sync(w, err);
	if (rc == 0) {
		file_describe(w, file_r);
		rc = digest_finish(w->digest, file_r->sha256, err);
	}
	if (rc < 0)
		unlink(w->path);
	writer_free(w);
	return rc;
}

void stream_writer_abort(struct stream_writer *w)
{
	if (!w)
		return;
	unlink(w->path);
	writer_free(w);
}
