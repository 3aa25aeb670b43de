/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.c - disks of simulated domains, for tests: "sim:FOLDER", files of any file system, copied byte by byte. What writes
 * to one is the test, to the file itself.
 *
 * Faults (agent/hypervisor/sim.h) at the slots disk.create, disk.attach, disk.ready, disk.freeze (before the copy),
 * disk.frozen (after it), disk.open_cut, disk.drop_cut, disk.remove.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk/file.h"
#include "agent/hypervisor/sim.h"
#include "common/cleanup.h"
#include "common/io.h"

static int inject(const struct disk_place *p, const char *name, const char *slot, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = fm_format("%s/sim", p->rundir);
	char domain[DISK_NAME_SIZE];
	const char *vdev;

	if (!dir || !disk_name_parse(name, domain, sizeof(domain), &vdev))
		return fm_fail(err, FM_FAILED, "no disk can be called \"%.90s\"", name);
	return sim_inject_in(dir, domain, slot, err);
}

static void simulated_close(struct disk_place *p)
{
}

static int simulated_create(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err)
{
	return inject(p, name, "disk.create", err) < 0 ? -1 : disk_file_create(p, name, size, fd_r, err);
}

static int simulated_attach(struct disk_place *p, const char *name, struct disk_device *device_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);

	if (!path || inject(p, name, "disk.attach", err) < 0)
		return -1;
	if (snprintf(device_r->path, sizeof(device_r->path), "%s", path) >= (int)sizeof(device_r->path))
		return fm_fail(err, FM_USAGE, "%s is too long a path", path);
	device_r->fd = -1;
	return 0;
}

static int simulated_ready(struct disk_place *p, const char *name, struct fm_error *err)
{
	if (inject(p, name, "disk.ready", err) < 0 || disk_file_drop_cut(p, name, err) < 0)
		return -1;
	return disk_file_room(p, name, err);
}

static int simulated_freeze(struct disk_place *p, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);
	FM_AUTO_FREE char *cut = disk_file_path(p, name, true, err);
	FM_AUTO_CLOSE int to = -1;
	uint64_t size;

	if (!path || !cut || inject(p, name, "disk.freeze", err) < 0 || disk_size_of(path, &size, err) < 0)
		return -1;
	to = open(cut, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0 || ftruncate(to, (off_t)size) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", cut, strerror(errno));
	return disk_fill(to, path, err) < 0 ? -1 : inject(p, name, "disk.frozen", err);
}

static int simulated_open_cut(struct disk_place *p, const char *name, uint64_t *size_r, int *fd_r, struct fm_error *err)
{
	return inject(p, name, "disk.open_cut", err) < 0 ? -1 : disk_file_open_cut(p, name, size_r, fd_r, err);
}

static int simulated_drop_cut(struct disk_place *p, const char *name, struct fm_error *err)
{
	return inject(p, name, "disk.drop_cut", err) < 0 ? -1 : disk_file_drop_cut(p, name, err);
}

static int simulated_remove(struct disk_place *p, const char *name, struct fm_error *err)
{
	return inject(p, name, "disk.remove", err) < 0 ? -1 : disk_file_remove(p, name, err);
}

const struct disk_ops disk_sim_ops = {
	.name = "sim",
	.open = disk_file_open,
	.close = simulated_close,
	.create = simulated_create,
	.attach = simulated_attach,
	.ready = simulated_ready,
	.freeze = simulated_freeze,
	.open_cut = simulated_open_cut,
	.drop_cut = simulated_drop_cut,
	.remove = simulated_remove,
	.list = disk_file_list,
};
