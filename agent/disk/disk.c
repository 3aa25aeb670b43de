/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk.c - the table of kinds of places, and what all of them need: names, the lock, filling a new disk. */
#include "config.h"

#include "agent/disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/hypervisor/hypervisor.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LOCK_STEP_MS 20
#define PIECE ((size_t)1 << 20)

static const struct disk_ops *const kinds[] = { &disk_reflink_ops, &disk_thin_ops, &disk_sim_ops };

static const struct disk_ops *find(const char *text, const char **where_r, struct fm_error *err)
{
	const char *colon = strchr(text, ':');

	for (size_t i = 0; colon && i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t length = strlen(kinds[i]->name);

		*where_r = colon + 1;
		if ((size_t)(colon - text) == length && strncmp(text, kinds[i]->name, length) == 0)
			return kinds[i];
	}
	fm_fail(err, FM_USAGE, "Disks=%.200s: say reflink:FOLDER or thin:POOL", text);
	return NULL;
}

struct disk_place *disk_place_open(const char *text, const char *rundir, struct fm_error *err)
{
	const char *where;
	const struct disk_ops *ops = find(text, &where, err);
	struct disk_place *p = ops ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		if (ops)
			fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	p->ops = ops;
	p->lock_fd = -1;
	p->where = strdup(where);
	p->rundir = strdup(rundir);
	if (!p->where || !p->rundir)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (ops->open(p, err) == 0)
		return p;
	fm_context(err, "Disks=%.200s", text);
	disk_place_close(p);
	return NULL;
}

void disk_place_close(struct disk_place *p)
{
	if (!p)
		return;
	p->ops->close(p);
	fm_cleanup_close(&p->lock_fd);
	free(p->where);
	free(p->rundir);
	free(p);
}

int disk_place_lock(struct disk_place *p, bool alone, int wait_ms, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/disks.lock", p->rundir);
	FM_AUTO_CLOSE int fd = -1;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fm_cleanup_close(&p->lock_fd); /* or we would wait for ourselves */
	p->lock_fd = -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	for (int waited = 0; flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
		if (waited >= wait_ms)
			return fm_fail(err, FM_BUSY, "the members' disks of this node are being %s", alone ? "used" : "swept");
		poll(NULL, 0, LOCK_STEP_MS);
	}
	p->lock_fd = fm_steal_fd(&fd);
	return 0;
}

int disk_name(const char *domain, const char *vdev, char name_r[DISK_NAME_SIZE], struct fm_error *err)
{
	if (!domain_name_valid(domain) || !disk_vdev_valid(vdev))
		return fm_fail(err, FM_USAGE, "no disk can be called \"%.64s.%.32s\"", domain, vdev);
	snprintf(name_r, DISK_NAME_SIZE, "%s.%s", domain, vdev);
	return 0;
}

bool disk_name_parse(const char *name, char *domain_r, size_t domain_size, const char **vdev_r)
{
	const char *dot = strrchr(name, '.');
	size_t length = dot ? (size_t)(dot - name) : 0;

	if (!dot || length >= domain_size || !disk_vdev_valid(dot + 1))
		return false;
	memcpy(domain_r, name, length);
	domain_r[length] = '\0';
	*vdev_r = dot + 1;
	return domain_name_valid(domain_r);
}

static bool is_zero(const char *data, size_t size)
{
	return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

static int write_at(int fd, const char *data, size_t size, off_t at)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, at);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
			at += n;
		}
	}
	return 0;
}

/* Where nothing is but zeros nothing is written: the disk has them already. */
static int copy_all(int to, int from, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	off_t at = 0;
	ssize_t n;

	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (;; at += n) {
		off_t data = lseek(from, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO) /* no more; a device says so at its end only */
			return 0;
		at = data > at ? data : at;
		n = pread(from, piece, PIECE, at);
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot read %s: %s", name, strerror(errno));
		if (n == 0)
			return 0;
		for (ssize_t i = 0; i < n; i += DISK_BLOCK) {
			size_t size = n - i < (ssize_t)DISK_BLOCK ? (size_t)(n - i) : DISK_BLOCK;

			if (!is_zero(piece + i, size) && write_at(to, piece + i, size, at + i) < 0)
				return fm_fail(err, FM_FAILED, "cannot write a copy of %s: %s", name, strerror(errno));
		}
	}
}

/* FICLONE makes a file as long as the other. */
static int clone_all(int to, int from)
{
	uint64_t size;

	if (disk_fd_size(to, &size) < 0 || ioctl(to, FICLONE, from) < 0)
		return -1;
	return ftruncate(to, (off_t)size);
}

int disk_fill(int fd, const char *from, struct fm_error *err)
{
	FM_AUTO_CLOSE int base = open(from, O_RDONLY | O_CLOEXEC);

	if (base < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "%s: %s", from, strerror(errno));
	if (clone_all(fd, base) < 0 && copy_all(fd, base, from, err) < 0)
		return -1;
	return fsync(fd) == 0 ? 0 : fm_fail(err, FM_FAILED, "cannot write a copy of %s: %s", from, strerror(errno));
}
