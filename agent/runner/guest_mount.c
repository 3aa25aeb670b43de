/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_mount.c - the file systems a guest needs, and its end; see guest.h. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/runner/guest.h"

static const struct {
	const char *path, *type, *options;
	unsigned long flags;
	mode_t mode;
} mounts[] = {
	{ "/proc", "proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555 },
	{ "/sys", "sysfs", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555 },
	{ "/dev", "devtmpfs", "mode=0755", MS_NOSUID, 0755 },
	{ "/dev/pts", "devpts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0755 },
	{ "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, 01777 },
	{ "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV, 0755 },
	{ "/sys/fs/cgroup", "cgroup2", "", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555 },
};

static const struct {
	const char *path, *target;
} links[] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
};

/* Another device, or another root, than the folder above: something is mounted here. */
static int is_mounted(const char *path)
{
	struct stat here, above;
	char up[64];

	if (strlen(path) + sizeof("/..") > sizeof(up))
		return 0;
	strcpy(up, path);
	strcat(up, "/..");
	return !stat(path, &here) && !stat(up, &above) &&
	       (here.st_dev != above.st_dev || here.st_ino == above.st_ino);
}

int guest_mount(struct fm_error *err)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		if (is_mounted(mounts[i].path))
			continue;
		mkdir(mounts[i].path, mounts[i].mode);
		if (!mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags, mounts[i].options))
			continue;
		if (!strcmp(mounts[i].type, "cgroup2"))
			continue; /* a kernel without it: tasks then are process groups only */
		return fm_fail(err, FM_FAILED, "mount %s: %s", mounts[i].path, strerror(errno));
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (symlink(links[i].target, links[i].path) && errno != EEXIST)
			return fm_fail(err, FM_FAILED, "%s: %s", links[i].path, strerror(errno));
	if (mkdir("/tmp", 01777) && errno != EEXIST)
		return fm_fail(err, FM_FAILED, "/tmp: %s", strerror(errno));
	chmod("/tmp", 01777); /* whatever the umask or the image said */
	chmod("/dev/shm", 01777);
	return 0;
}

void guest_power_off(void)
{
	struct timespec grace = { .tv_nsec = 200 * 1000000 };

	kill(-1, SIGTERM);
	nanosleep(&grace, NULL);
	kill(-1, SIGKILL);
	sync();
	reboot(RB_POWER_OFF);
}
