/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reflink.c - disks as files of a file system that can share blocks between files (XFS, btrfs): "reflink:FOLDER".
 *
 * The cut is FICLONE, which copies the file's list of extents and nothing of their content. The kernel does it at one
 * instant: with the file's lock alone, when what direct I/O is under way has ended and what is dirty of the file in the
 * page cache has been written (generic_remap_file_range_prep(); btrfs_remap_file_range_prep()). So it would be right
 * whichever way the domain's requests reach the file; but what had to be written first would be written in the stop.
 * Hence the loop device that we attach uses direct I/O: a request is done when the file system has it, and nothing is
 * dirty here. (libxl, given a file, would make one without.) Where the file system has no direct I/O, or only with larger
 * sectors, the kernel goes on without, and ready() writes what is dirty up to then.
 *
 * The time of FICLONE grows with the number of the file's extents, not with its size: 15 to 25 µs for each, on XFS as on
 * btrfs (measured; 1000 extents 15 to 28 ms, 40000 about 1 to 1.8 s). A guest that writes here and there makes many, so XFS
 * is told to allocate in larger pieces (the hint must be given to an empty file; btrfs has none), and ready() refuses a
 * file that has so many that its domain would have to stand still for too long.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/disk/file.h"
#include "agent/disk/loop.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PIECE_SIZE (1u << 20) /* of what is allocated at once */
#define EXTENTS_MOST 50000u

/* Shares one block: can this file system do it? */
static int try_clone(const char *folder)
{
	FM_AUTO_CLOSE int from = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	FM_AUTO_CLOSE int to = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	static const char block[DISK_BLOCK] = { 1 };

	if (from < 0 || to < 0 || fm_write_all(from, block, sizeof(block)) < 0)
		return -1;
	return ioctl(to, FICLONE, from);
}

static int reflink_open(struct disk_place *p, struct fm_error *err)
{
	if (disk_file_open(p, err) < 0)
		return -1;
	if (try_clone(p->where) == 0)
		return 0;
	if (errno == ENOSPC)
		return fm_fail(err, FM_FAILED, "%s: %s", p->where, strerror(errno));
	return fm_fail(err, FM_INCOMPATIBLE,
		       "the file system of %s cannot copy a file at an instant (FICLONE: %s): use XFS with reflink=1, or btrfs",
		       p->where, strerror(errno));
}

static void reflink_close(struct disk_place *p)
{
}

/* A wish: what does not know it does without. */
static void allocate_in_pieces(int fd)
{
	struct fsxattr attributes;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return;
	attributes.fsx_xflags |= FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE;
	attributes.fsx_extsize = attributes.fsx_cowextsize = PIECE_SIZE;
	ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}

static int reflink_create(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err)
{
	if (disk_file_create(p, name, size, fd_r, err) < 0)
		return -1;
	allocate_in_pieces(*fd_r);
	return 0;
}

static int reflink_attach(struct disk_place *p, const char *name, struct disk_device *device_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);

	return path ? loop_attach(path, device_r, err) : -1;
}

static int check_extents(int fd, const char *name, struct fm_error *err)
{
	struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET }; /* room for none: it counts them */

	if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0 || map.fm_mapped_extents <= EXTENTS_MOST)
		return 0;
	return fm_fail(err, FM_FAILED,
		       "disk %s is in %u pieces, and to copy it would stop the domain for too long: defragment it (xfs_fsr, btrfs "
		       "filesystem defragment)", name, map.fm_mapped_extents);
}

static int reflink_ready(struct disk_place *p, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);
	FM_AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (!path || disk_file_drop_cut(p, name, err) < 0)
		return -1;
	if (fd < 0 || fdatasync(fd) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return check_extents(fd, name, err) < 0 ? -1 : disk_file_room(p, name, err);
}

static int reflink_freeze(struct disk_place *p, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);
	FM_AUTO_FREE char *cut = disk_file_path(p, name, true, err);
	FM_AUTO_CLOSE int from = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	FM_AUTO_CLOSE int to = cut ? open(cut, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

	if (!path || !cut)
		return -1;
	if (from < 0 || to < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", from < 0 ? path : cut, strerror(errno));
	return ioctl(to, FICLONE, from) == 0 ? 0 : fm_fail(err, FM_FAILED, "cannot copy %s: %s", path, strerror(errno));
}

const struct disk_ops disk_reflink_ops = {
	.name = "reflink",
	.open = reflink_open,
	.close = reflink_close,
	.create = reflink_create,
	.attach = reflink_attach,
	.ready = reflink_ready,
	.freeze = reflink_freeze,
	.open_cut = disk_file_open_cut,
	.drop_cut = disk_file_drop_cut,
	.remove = disk_file_remove,
	.list = disk_file_list,
};
