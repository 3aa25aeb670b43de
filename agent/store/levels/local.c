/* SPDX-License-Identifier: GPL-2.0-or-later */
/* local.c - see local.h. */
#include "config.h"

#include "agent/store/levels/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

/* As a pack's that is being written: a page store's sweep removes what has it, and no writer that is alive. */
#define TEMP_SUFFIX ".part"
#define HASH_PIECE ((size_t)256 << 10)

int transfer_move(const struct level_transfer *transfer, uint64_t more, uint64_t done, struct fm_error *err)
{
	if (!transfer)
		return 0;
	throttle_take(transfer->throttle, more);
	if (transfer->progress && transfer->progress(transfer->arg, done))
		return fm_fail(err, FM_FAILED, "stopped after %llu bytes, as asked for", (unsigned long long)done);
	return 0;
}

static int pread_exactly(int fd, const char *path, void *data, size_t size, uint64_t offset, struct fm_error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
		if (!n)
			return fm_fail(err, FM_CORRUPT, "%s ends at byte %llu, while it is being read", path,
				       (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

int local_hash(int fd, const char *path, uint64_t offset, uint64_t bytes, struct digest *whole, char hex_r[65],
	       struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(HASH_PIECE);
	struct digest *digest = digest_create(err);
	int r = digest && piece ? 0 : -1;

	if (digest && !piece)
		fm_fail(err, FM_FAILED, "out of memory");
	while (!r && bytes) {
		size_t n = bytes < HASH_PIECE ? (size_t)bytes : HASH_PIECE;

		r = pread_exactly(fd, path, piece, n, offset, err);
		if (!r)
			r = digest_add(digest, piece, n, err);
		if (!r && whole)
			r = digest_add(whole, piece, n, err);
		offset += n;
		bytes -= n;
	}
	if (!r)
		r = digest_hex(digest, hex_r, err);
	digest_destroy(digest);
	return r;
}

static int open_regular(const char *path, struct stat *st, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "cannot open %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st->st_mode))
		return fm_fail(err, FM_FAILED, "%s is not a regular file", path);
	return fm_steal_fd(&fd);
}

int level_object_of_file(const char *path, struct level_object *object_r, struct fm_error *err)
{
	struct stat st;
	FM_AUTO_CLOSE int fd = open_regular(path, &st, err);

	if (fd < 0)
		return -1;
	object_r->bytes = (uint64_t)st.st_size;
	return local_hash(fd, path, 0, object_r->bytes, NULL, object_r->sha256, err);
}

int outgoing_open(struct outgoing *out, const char *path, const struct level_object *object,
		  const struct level_transfer *transfer, struct fm_error *err)
{
	struct stat st;
	FM_AUTO_CLOSE int fd = open_regular(path, &st, err);

	*out = (struct outgoing){ .path = path, .fd = -1, .object = *object, .transfer = transfer };
	if (fd < 0)
		return -1;
	if ((uint64_t)st.st_size != object->bytes)
		return fm_fail(err, FM_CORRUPT, "%s has %lld bytes, not the %llu it must have", path,
			       (long long)st.st_size, (unsigned long long)object->bytes);
	out->fd = fm_steal_fd(&fd);
	return 0;
}

int outgoing_read(struct outgoing *out, void *data, size_t size, uint64_t offset, struct fm_error *err)
{
	return pread_exactly(out->fd, out->path, data, size, offset, err);
}

int outgoing_hash(struct outgoing *out, uint64_t offset, uint64_t bytes, struct digest *whole, char hex_r[65],
		  struct fm_error *err)
{
	return local_hash(out->fd, out->path, offset, bytes, whole, hex_r, err);
}

int outgoing_compare(const struct outgoing *out, const char *hex, struct fm_error *err)
{
	if (strcmp(hex, out->object.sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, it must be %.12s…", out->path,
			       hex, out->object.sha256);
	return 0;
}

void outgoing_close(struct outgoing *out)
{
	if (out->fd >= 0)
		close(out->fd);
	out->fd = -1;
}

int incoming_create(struct incoming *in, const char *path, const struct level_object *expected,
		    const struct level_transfer *transfer, struct fm_error *err)
{
	*in = (struct incoming){ .path = path, .fd = -1, .expected = expected, .transfer = transfer };
	in->temp = fm_format("%s.XXXXXX" TEMP_SUFFIX, path);
	if (!in->temp)
		return fm_fail(err, FM_FAILED, "out of memory");
	in->fd = mkostemps(in->temp, (int)strlen(TEMP_SUFFIX), O_CLOEXEC);
	if (in->fd < 0 || flock(in->fd, LOCK_EX | LOCK_NB) < 0)
		return fm_fail(err, FM_FAILED, "cannot create %s: %s", in->temp, strerror(errno));
	return 0;
}

int incoming_begin(struct incoming *in, const struct level_object *told, struct fm_error *err)
{
	const struct level_object *expected = in->expected;

	if (expected && told->bytes != expected->bytes)
		return fm_fail(err, FM_CORRUPT, "has %llu bytes, not the %llu it must have",
			       (unsigned long long)told->bytes, (unsigned long long)expected->bytes);
	if (expected && *told->sha256 && strcmp(told->sha256, expected->sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "was put with the SHA-256 %.12s…, it must be %.12s…", told->sha256,
			       expected->sha256);
	in->told = *told;
	in->done = 0;
	digest_destroy(in->digest);
	in->digest = digest_create(err);
	if (!in->digest)
		return -1;
	if (ftruncate(in->fd, 0) < 0 || lseek(in->fd, 0, SEEK_SET) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s: %s", in->temp, strerror(errno));
	return 0;
}

int incoming_add(struct incoming *in, const void *data, size_t size, struct fm_error *err)
{
	if (size > in->told.bytes - in->done)
		return fm_fail(err, FM_CORRUPT, "goes on after the %llu bytes it must have",
			       (unsigned long long)in->told.bytes);
	in->done += size;
	if (transfer_move(in->transfer, size, in->done, err) < 0 || digest_add(in->digest, data, size, err) < 0)
		return -1;
	if (fm_write_all(in->fd, data, size) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s: %s", in->temp, strerror(errno));
	return 0;
}

/* What came against what was expected, or at least told. */
static int verify(struct incoming *in, struct level_object *got, struct fm_error *err)
{
	const char *hex = in->expected ? in->expected->sha256 : in->told.sha256;

	got->bytes = in->done;
	if (digest_hex(in->digest, got->sha256, err) < 0)
		return -1;
	if (in->done != in->told.bytes)
		return fm_fail(err, FM_CORRUPT, "is cut off: %llu bytes came of %llu", (unsigned long long)in->done,
			       (unsigned long long)in->told.bytes);
	if (*hex && strcmp(hex, got->sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "is damaged: its SHA-256 is %.12s…, it must be %.12s…", got->sha256,
			       hex);
	return 0;
}

/* "dir" of "dir/name" for a path with or without a slash. */
static int sync_parent(const char *path, struct fm_error *err)
{
	const char *slash = strrchr(path, '/');
	FM_AUTO_FREE char *parent = !slash ? strdup(".") :
				    slash == path ? strdup("/") :
						    strndup(path, (size_t)(slash - path));

	if (!parent)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_fsync_dir(parent, err);
}

int incoming_finish(struct incoming *in, struct level_object *got_r, struct fm_error *err)
{
	if (verify(in, got_r, err) < 0)
		return -1;
	if (fsync(in->fd) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s: %s", in->temp, strerror(errno));
	if (rename(in->temp, in->path) < 0)
		return fm_fail(err, FM_FAILED, "cannot rename %s to %s: %s", in->temp, in->path, strerror(errno));
	free(in->temp); /* it is no more ours to remove */
	in->temp = NULL;
	return sync_parent(in->path, err);
}

void incoming_dispose(struct incoming *in)
{
	if (in->fd >= 0) {
		close(in->fd);
		if (in->temp)
			unlink(in->temp);
	}
	in->fd = -1;
	free(in->temp);
	in->temp = NULL;
	digest_destroy(in->digest);
	in->digest = NULL;
}
