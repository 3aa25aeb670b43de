/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c - what can be known of a disk beforehand (disk.h): linked into the agent, too, which makes none. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "agent/disk/disk.h"
#include "common/cleanup.h"

bool disk_vdev_valid(const char *vdev)
{
	size_t n = strlen(vdev);

	return n > 0 && n < 16 && islower((unsigned char)*vdev) &&
	       strspn(vdev, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

int disk_fd_size(int fd, uint64_t *size_r)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, size_r);
	*size_r = (uint64_t)st.st_size;
	errno = EINVAL;
	return S_ISREG(st.st_mode) ? 0 : -1;
}

int disk_size_of(const char *path, uint64_t *size_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint64_t size;

	if (fd < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "%s: %s", path, strerror(errno));
	if (disk_fd_size(fd, &size) < 0)
		return fm_fail(err, FM_USAGE, "%s is neither a file nor a block device", path);
	if (size == 0 || size > DISK_SIZE_MAX - DISK_BLOCK)
		return fm_fail(err, FM_USAGE, "%s has %llu bytes: no disk can", path, (unsigned long long)size);
	*size_r = (size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
	return 0;
}
