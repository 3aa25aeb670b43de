/* SPDX-License-Identifier: GPL-2.0-or-later */
/* directory.c - see directory.h. All paths are relative to the folder opened once. */
#include "config.h"

#include "agent/store/levels/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/store/levels/directory_private.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PIECE ((size_t)256 << 10)

int directory_fail(struct fm_error *err, const char *what, const char *name)
{
	enum fm_code code = FM_FAILED;

	if (errno == ENOENT)
		code = FM_NOT_FOUND;
	else if (errno == EACCES || errno == EPERM)
		code = FM_DENIED;
	else if (errno == ETIMEDOUT)
		code = FM_TIMEOUT;
	return fm_fail(err, code, "%s%s%s: %s", what, *name ? " " : "", name, strerror(errno));
}

/* A file's status: 0, or -1 with FM_NOT_FOUND and the like. Symlinks and folders are no objects. */
static int stat_object(struct directory *d, const char *name, struct stat *st, struct fm_error *err)
{
	if (fstatat(d->fd, name, st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return fm_fail(err, FM_NOT_FOUND, "no such object");
		return directory_fail(err, "cannot look at it", "");
	}
	if (!S_ISREG(st->st_mode))
		return fm_fail(err, FM_NOT_FOUND, "no such object: it is not a regular file");
	return 0;
}

static int open_object(struct directory *d, const char *name, struct stat *st, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = -1;

	if (stat_object(d, name, st, err) < 0)
		return -1;
	fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) < 0)
		return directory_fail(err, "cannot open it", "");
	return fm_steal_fd(&fd);
}

static int directory_head(struct level *level, const char *name, struct level_object *object_r,
			  struct fm_error *err)
{
	struct stat st;

	if (stat_object((struct directory *)level, name, &st, err) < 0)
		return -1;
	*object_r = (struct level_object){ .bytes = (uint64_t)st.st_size };
	return 0;
}

static int directory_get(struct level *level, const char *name, struct incoming *in, struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	struct stat st;
	FM_AUTO_CLOSE int fd = open_object((struct directory *)level, name, &st, err);
	struct level_object told;

	if (fd < 0)
		return -1;
	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	told = (struct level_object){ .bytes = (uint64_t)st.st_size };
	if (incoming_begin(in, &told, err) < 0)
		return -1;
	for (;;) {
		ssize_t n = read(fd, piece, PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return directory_fail(err, "cannot read it", "");
		if (!n)
			return 0;
		if (incoming_add(in, piece, (size_t)n, err) < 0)
			return -1;
	}
}

/* Whether the object is there already, byte for byte. One that cannot be read is not: it is replaced. */
static bool is_there(struct directory *d, const char *name, const struct level_object *object)
{
	struct fm_error ignored;
	struct stat st;
	char hex[65];
	FM_AUTO_CLOSE int fd = open_object(d, name, &st, &ignored);

	return fd >= 0 && (uint64_t)st.st_size == object->bytes &&
	       !local_hash(fd, name, 0, object->bytes, NULL, hex, &ignored) && !strcmp(hex, object->sha256);
}

/* The file's bytes into fd, hashed as they are read. */
static int copy(struct outgoing *out, int fd, const char *temp, struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	struct digest *digest = digest_create(err);
	uint64_t done = 0;
	char hex[65];
	int r = digest ? 0 : -1;

	if (digest && !piece)
		r = fm_fail(err, FM_FAILED, "out of memory");
	while (!r && done < out->object.bytes) {
		uint64_t left = out->object.bytes - done;
		size_t n = left < PIECE ? (size_t)left : PIECE;

		r = outgoing_read(out, piece, n, done, err);
		done += n;
		if (!r)
			r = transfer_move(out->transfer, n, done, err);
		if (!r)
			r = digest_add(digest, piece, n, err);
		if (!r && fm_write_all(fd, piece, n) < 0)
			r = directory_fail(err, "cannot write", temp);
	}
	if (!r)
		r = digest_hex(digest, hex, err);
	if (!r)
		r = outgoing_compare(out, hex, err);
	digest_destroy(digest);
	return r;
}

/* A durable file in .incoming. close() is looked at: on NFS it may be what says that there was no room. */
static int write_temp(struct directory *d, struct outgoing *out, const char *temp, struct fm_error *err)
{
	int fd = openat(d->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return directory_fail(err, "cannot create", temp);
	r = copy(out, fd, temp, err);
	if (!r && fsync(fd) < 0)
		r = directory_fail(err, "cannot write", temp);
	if (close(fd) < 0 && !r)
		r = directory_fail(err, "cannot write", temp);
	if (r < 0)
		unlinkat(d->fd, temp, 0);
	return r;
}

static int directory_put(struct level *level, const char *name, struct outgoing *out,
			 enum level_put_result *result_r, struct fm_error *err)
{
	struct directory *d = (struct directory *)level;
	char temp[DIRECTORY_TEMP_MAX];

	if (is_there(d, name, &out->object)) {
		*result_r = LEVEL_THERE;
		return 0;
	}
	if (directory_temp(d, temp, err) < 0 || write_temp(d, out, temp, err) < 0)
		return -1;
	if (directory_move(d, temp, name, err) < 0) {
		unlinkat(d->fd, temp, 0);
		return -1;
	}
	*result_r = LEVEL_STORED;
	return 0;
}

static int64_t directory_free_bytes(struct level *level)
{
	struct statvfs vfs;

	if (fstatvfs(((struct directory *)level)->fd, &vfs) < 0)
		return -1;
	return (int64_t)(vfs.f_bavail * vfs.f_frsize);
}

static void directory_close(struct level *level)
{
	struct directory *d = (struct directory *)level;

	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static const struct level_ops directory_ops = {
	.put = directory_put,
	.get = directory_get,
	.head = directory_head,
	.list = directory_list,
	.remove = directory_remove,
	.sweep = directory_sweep,
	.free_bytes = directory_free_bytes,
	.close = directory_close,
};

/* A copy on the disk that it is a copy of is none. */
static int check_apart(const struct directory *d, const char *path, const char *other, struct fm_error *err)
{
	struct stat mine, theirs;

	if (fstat(d->fd, &mine) < 0 || stat(other, &theirs) < 0)
		return fm_fail(err, FM_FAILED, "cannot compare %s and %s: %s", path, other, strerror(errno));
	if (mine.st_dev == theirs.st_dev)
		return fm_fail(err, FM_FAILED, "%s is on the same file system as %s: is it mounted?", path, other);
	return 0;
}

struct level *level_open_directory(const struct directory_config *config, struct fm_error *err)
{
	struct directory *d = calloc(1, sizeof(*d));
	char *where = fm_format("directory %s", config->path);

	if (!d || !where) {
		free(d);
		free(where);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	d->level = (struct level){ .ops = &directory_ops, .where = where };
	d->fd = open(config->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0)
		directory_fail(err, "cannot open", "it");
	else if (!config->apart_from || !check_apart(d, config->path, config->apart_from, err))
		return &d->level;
	fm_context(err, "%s", where);
	level_close(&d->level);
	return NULL;
}
