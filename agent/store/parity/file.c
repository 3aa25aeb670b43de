/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.c - see file.h. */
#include "config.h"

#include "agent/store/parity/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define PART_SUFFIX ".part"
#define WRITEBACK_BYTES ((uint64_t)8 << 20)

struct parity_in {
	int fd;
	char *path;
	uint64_t offset, length;
};

struct part {
	struct part *next;
	struct parity_out *out;
	uint64_t at, begun; /* next byte; from where on the kernel was not yet asked to write */
	bool committed;
};

struct parity_out {
	int fd;
	char *path, *temp;
	bool whole, locked, finished;
	struct part *parts;
	struct part all; /* of parity_out_whole() */
};

/* ---- reading ---- */

static int in_size(void *arg, uint64_t *size_r, struct fm_error *err)
{
	struct parity_in *in = arg;
	struct stat st;
	uint64_t size;

	if (fstat(in->fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", in->path, strerror(errno));
	size = (uint64_t)st.st_size > in->offset ? (uint64_t)st.st_size - in->offset : 0;
	*size_r = size < in->length ? size : in->length;
	return 0;
}

static int in_read(void *arg, uint64_t offset, void *data, size_t size, struct fm_error *err)
{
	struct parity_in *in = arg;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(in->fd, (char *)data + done, size - done, (off_t)(in->offset + offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot read %s at %llu: %s", in->path,
				       (unsigned long long)(in->offset + offset + done), strerror(errno));
		if (n == 0)
			return fm_fail(err, FM_CORRUPT, "%s ends at %llu", in->path,
				       (unsigned long long)(in->offset + offset + done));
		done += (size_t)n;
	}
	return 0;
}

static void in_ahead(void *arg, uint64_t offset, uint64_t size)
{
	struct parity_in *in = arg;

	(void)posix_fadvise(in->fd, (off_t)(in->offset + offset), (off_t)size, POSIX_FADV_WILLNEED);
}

struct parity_in *parity_in_open(const char *path, uint64_t offset, uint64_t length, struct parity_source *source_r,
				 struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct parity_in *in;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		fm_fail(err, FM_CORRUPT, "%s is not a regular file", path);
		return NULL;
	}
	in = calloc(1, sizeof(*in));
	if (!in || !(in->path = strdup(path))) {
		free(in);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	in->fd = fm_steal_fd(&fd);
	in->offset = offset;
	in->length = length;
	*source_r = (struct parity_source){ in->path, in_size, in_read, in_ahead, in };
	return in;
}

void parity_in_close(struct parity_in *in)
{
	if (!in)
		return;
	close(in->fd);
	free(in->path);
	free(in);
}

/* ---- writing ---- */

/* Is what we have locked still what has that name? 1, 0 or -1 with errno. */
static int same_file(int fd, const char *path)
{
	struct stat a, b;

	if (fstat(fd, &a) < 0)
		return -1;
	if (lstat(path, &b) < 0)
		return errno == ENOENT ? 0 : -1;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Another may have renamed or removed it between our open and our lock: then once more. */
static int temp_open(struct parity_out *out, struct fm_error *err)
{
	for (int same = 0; same == 0;) {
		if (out->fd >= 0)
			close(out->fd);
		out->fd = open(out->temp, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (out->fd < 0)
			return fm_fail(err, FM_FAILED, "cannot create %s: %s", out->temp, strerror(errno));
		if (flock(out->fd, LOCK_EX | LOCK_NB) < 0)
			return fm_fail(err, errno == EWOULDBLOCK ? FM_BUSY : FM_FAILED, "%s: %s", out->temp,
				       errno == EWOULDBLOCK ? "another writes it" : strerror(errno));
		same = same_file(out->fd, out->temp);
		if (same < 0)
			return fm_fail(err, FM_FAILED, "%s: %s", out->temp, strerror(errno));
	}
	out->locked = true;
	if (ftruncate(out->fd, 0) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", out->temp, strerror(errno));
	return 0;
}

struct parity_out *parity_out_create(const char *path, struct fm_error *err)
{
	struct parity_out *out = calloc(1, sizeof(*out));

	if (out) {
		out->fd = -1;
		out->path = strdup(path);
		out->temp = fm_format("%s" PART_SUFFIX, path);
	}
	if (!out || !out->path || !out->temp) {
		parity_out_close(out);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (temp_open(out, err) < 0) {
		parity_out_close(out);
		return NULL;
	}
	return out;
}

static int part_write(void *arg, const void *data, size_t size, struct fm_error *err)
{
	struct part *part = arg;

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(part->out->fd, (const char *)data + done, size - done, (off_t)part->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot write %s at %llu: %s", part->out->temp,
				       (unsigned long long)part->at, strerror(errno));
		done += (size_t)n;
		part->at += (uint64_t)n;
	}
	if (part->at - part->begun >= WRITEBACK_BYTES) {
		/* Only a hint: fsync() has the last word. */
		(void)sync_file_range(part->out->fd, (off_t)part->begun, (off_t)(part->at - part->begun),
				      SYNC_FILE_RANGE_WRITE);
		part->begun = part->at;
	}
	return 0;
}

static int part_commit(void *arg, struct fm_error *err)
{
	struct part *part = arg;

	part->committed = true;
	return part->out->whole ? parity_out_finish(part->out, err) : 0;
}

/* Nothing has its name yet; what was written goes with the close. */
static void part_abort(void *arg)
{
	struct part *part = arg;

	part->committed = false;
}

void parity_out_whole(struct parity_out *out, struct parity_sink *sink_r)
{
	out->whole = true;
	out->all.out = out;
	*sink_r = (struct parity_sink){ out->path, part_write, part_commit, part_abort, &out->all };
}

int parity_out_part(struct parity_out *out, uint64_t offset, struct parity_sink *sink_r, struct fm_error *err)
{
	struct part *part = calloc(1, sizeof(*part));

	if (!part)
		return fm_fail(err, FM_FAILED, "out of memory");
	*part = (struct part){ .next = out->parts, .out = out, .at = offset, .begun = offset };
	out->parts = part;
	*sink_r = (struct parity_sink){ out->path, part_write, part_commit, part_abort, part };
	return 0;
}

static int dir_sync(const char *path, struct fm_error *err)
{
	const char *slash = strrchr(path, '/');
	FM_AUTO_FREE char *dir = !slash ? strdup(".") : slash == path ? strdup("/") :
				 strndup(path, (size_t)(slash - path));

	return dir ? fm_fsync_dir(dir, err) : fm_fail(err, FM_FAILED, "out of memory");
}

int parity_out_finish(struct parity_out *out, struct fm_error *err)
{
	if (out->finished)
		return fm_fail(err, FM_USAGE, "%s is finished", out->path);
	if (out->whole && !out->all.committed)
		return fm_fail(err, FM_FAILED, "%s is not written whole", out->path);
	for (const struct part *part = out->parts; part; part = part->next)
		if (!part->committed)
			return fm_fail(err, FM_FAILED, "%s is not written whole", out->path);
	if (fsync(out->fd) < 0)
		return fm_fail(err, FM_FAILED, "cannot make %s durable: %s", out->temp, strerror(errno));
	if (rename(out->temp, out->path) < 0)
		return fm_fail(err, FM_FAILED, "cannot rename %s: %s", out->temp, strerror(errno));
	out->finished = true;
	return dir_sync(out->path, err);
}

void parity_out_close(struct parity_out *out)
{
	if (!out)
		return;
	if (out->locked && !out->finished)
		unlink(out->temp);
	if (out->fd >= 0)
		close(out->fd);
	while (out->parts) {
		struct part *part = out->parts;

		out->parts = part->next;
		free(part);
	}
	free(out->path);
	free(out->temp);
	free(out);
}

/* ---- left-overs ---- */

static bool is_part(const char *name)
{
	size_t size = strlen(name), suffix = strlen(PART_SUFFIX);

	return size > suffix && strcmp(name + size - suffix, PART_SUFFIX) == 0;
}

/* 1 removed, 0 a living writer's or gone, -1. */
static int sweep_one(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	if (same_file(fd, path) != 1)
		return 0;
	if (unlink(path) < 0)
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", path, strerror(errno));
	return 1;
}

int parity_out_sweep(const char *dir, unsigned *removed_r, struct fm_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	*removed_r = 0;
	if (!d)
		return fm_fail(err, FM_FAILED, "%s: %s", dir, strerror(errno));
	while (rc >= 0 && (e = readdir(d))) {
		FM_AUTO_FREE char *path = is_part(e->d_name) ? fm_format("%s/%s", dir, e->d_name) : NULL;

		rc = path ? sweep_one(path, err) : 0;
		*removed_r += rc > 0;
	}
	closedir(d);
	return rc < 0 ? -1 : 0;
}
