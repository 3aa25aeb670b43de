/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.c - see loop.h. man 4 loop. */
#include "config.h"

#include "agent/disk/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"

#define TRIES 32 /* others take the free device that we were told of */

/* 0: configured; 1: another has it; -1 with errno. */
static int configure(int control, int file, const char *path, struct disk_device *device_r)
{
	struct loop_config config = { .fd = (uint32_t)file,
				      .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO };
	FM_AUTO_CLOSE int fd = -1;
	int number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return -1;
	snprintf(device_r->path, sizeof(device_r->path), "/dev/loop%d", number);
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", path);
	fd = open(device_r->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, LOOP_CONFIGURE, &config) < 0)
		return errno == EBUSY ? 1 : -1;
	device_r->fd = fm_steal_fd(&fd);
	return 0;
}

int loop_attach(const char *path, struct disk_device *device_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	FM_AUTO_CLOSE int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int r = 1;

	if (control < 0)
		return fm_fail(err, FM_FAILED, "/dev/loop-control: %s (is the module loop loaded?)", strerror(errno));
	if (file < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	for (int i = 0; r > 0 && i < TRIES; i++)
		r = configure(control, file, path, device_r);
	return r == 0 ? 0 : fm_fail(err, FM_FAILED, "cannot make %s a loop device: %s", path,
				    r > 0 ? "others take all of them" : strerror(errno));
}
