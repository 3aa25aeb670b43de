/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * thin.c - disks as thin volumes of a device-mapper pool: "thin:POOL". POOL is the name of a thin-pool device (dm-thin,
 * the kernel's Documentation/admin-guide/device-mapper/thin-provisioning.rst) that is Fermata's alone.
 *
 * The cut is create_snap, between a suspension and a resumption of the disk's device: suspending it lets the domain's
 * requests that are under way end (a bio that the domain has been told of has ended), the message commits the pool's
 * metadata, and the new volume shares all blocks. Its time does not grow with the disk. What is written to either of them
 * afterwards goes to a block of its own. There is no page cache between blkback and this device.
 *
 * Why not LVM's thin volumes: lvcreate -s starts a process, reads and writes LVM's metadata and waits for udev while the
 * domain stands still. A pool of LVM's is refused, and so is one with a transaction id: its volumes are others'. One that
 * does not zero new blocks is refused, too: a guest would read what another's disk had there.
 *
 * Numbers. A pool knows its volumes by numbers only. A disk has one from 1 to DISKS_MOST, the lowest that is free, and its
 * cut the same plus CUT_BASE. So a device's table tells all, and what a crash, or a boot, has left in the pool without a
 * device is known by its number: sweep() removes it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/disk.h"
#include "agent/disk/dm.h"
#include "common/cleanup.h"
#include "common/io.h"

#define DISKS_MOST 511u
#define CUT_BASE 512u
#define NUMBERS_END 1024u
#define SECTOR 512u
#define GONE_WAIT_MS 15000
#define GONE_STEP_MS 100
/* A block of the pool's metadata has entries for that many blocks of data, at least: half of a leaf of its tree. */
#define META_ENTRIES 60u
#define META_SPARE 16u
#define DEV_FOLDER "/dev/mapper/"

struct thin_pool {
	const char *name;
	uint32_t major, minor;
	uint32_t block_sectors;
};

static const char *pool_name(const char *where)
{
	return strncmp(where, DEV_FOLDER, strlen(DEV_FOLDER)) == 0 ? where + strlen(DEV_FOLDER) : where;
}

static int check_pool(struct thin_pool *pool, struct fm_error *err)
{
	unsigned long long transaction;
	struct dm_target t;

	if (dm_look(pool->name, false, &t, err) < 0) {
		err->code = FM_INCOMPATIBLE;
		return -1;
	}
	pool->major = t.major;
	pool->minor = t.minor;
	if (strcmp(t.type, "thin-pool") != 0 || sscanf(t.params, "%*s %*s %u", &pool->block_sectors) != 1)
		return fm_fail(err, FM_INCOMPATIBLE, "%s is no thin pool but of type %s", pool->name, t.type);
	if (strncmp(t.uuid, "LVM-", 4) == 0)
		return fm_fail(err, FM_INCOMPATIBLE, "the pool %s is LVM's: make one for Fermata alone, by dmsetup", pool->name);
	if (strstr(t.params, "skip_block_zeroing"))
		return fm_fail(err, FM_INCOMPATIBLE, "the pool %s has skip_block_zeroing: a guest could read what others wrote",
			       pool->name);
	if (dm_look(pool->name, true, &t, err) < 0)
		return -1;
	if (sscanf(t.params, "%llu ", &transaction) != 1)
		return fm_fail(err, FM_INCOMPATIBLE, "the pool %s is out of order: %s", pool->name, t.params);
	if (transaction != 0)
		return fm_fail(err, FM_INCOMPATIBLE, "the pool %s has a transaction id, so somebody else looks after its volumes",
			       pool->name);
	return 0;
}

static int thin_open(struct disk_place *p, struct fm_error *err)
{
	struct thin_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return fm_fail(err, FM_FAILED, "out of memory");
	pool->name = pool_name(p->where);
	p->state = pool;
	return dm_begin(err) < 0 ? -1 : check_pool(pool, err);
}

static void thin_close(struct disk_place *p)
{
	if (p->state)
		dm_settle();
	free(p->state);
	p->state = NULL;
}

/* A thin device of this pool. FM_NOT_FOUND also where the name is another's. */
static int look(const struct thin_pool *pool, const char *name, unsigned *number_r, uint64_t *sectors_r,
		struct fm_error *err)
{
	unsigned major, minor;
	struct dm_target t;

	if (dm_look(name, false, &t, err) < 0)
		return -1;
	if (strcmp(t.type, "thin") != 0 || sscanf(t.params, "%u:%u %u", &major, &minor, number_r) != 3 ||
	    major != pool->major || minor != pool->minor)
		return fm_fail(err, FM_NOT_FOUND, "device %s is not of pool %s", name, pool->name);
	*sectors_r = t.sectors;
	return 0;
}

/* The device of a volume that is in the pool. */
static int activate(const struct thin_pool *pool, const char *name, unsigned number, uint64_t sectors, bool readonly,
		    int *fd_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format(DEV_FOLDER "%s", name);
	char params[64];
	int fd;

	snprintf(params, sizeof(params), "%u:%u %u", pool->major, pool->minor, number);
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (dm_make(name, sectors, "thin", params, readonly, err) < 0)
		return -1;
	fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd >= 0) {
		*fd_r = fd;
		return 0;
	}
	fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	dm_unmake(name, &(struct fm_error){ 0 });
	return -1;
}

static int thin_create(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err)
{
	const struct thin_pool *pool = p->state;
	struct dm_target there;
	unsigned number = 0;
	int rc = -1;

	if (dm_look(name, false, &there, err) == 0)
		return fm_fail(err, FM_BUSY, "there is a device %s", name);
	err->code = FM_BUSY;
	while (rc < 0 && err->code == FM_BUSY && number < DISKS_MOST)
		rc = dm_message(pool->name, err, "create_thin %u", ++number);
	if (rc < 0)
		return err->code == FM_BUSY ? fm_fail(err, FM_FAILED, "the pool %s has %u disks", pool->name, DISKS_MOST) : -1;
	if (activate(pool, name, number, size / SECTOR, false, fd_r, err) == 0)
		return 0;
	dm_message(pool->name, &(struct fm_error){ 0 }, "delete %u", number);
	return -1;
}

static int thin_attach(struct disk_place *p, const char *name, struct disk_device *device_r, struct fm_error *err)
{
	snprintf(device_r->path, sizeof(device_r->path), DEV_FOLDER "%s", name);
	device_r->fd = -1;
	return 0;
}

/* Is there room to write all of the disk's blocks anew, and what the pool must know of them? */
static int check_room(const struct thin_pool *pool, const char *name, struct fm_error *err)
{
	unsigned long long meta_used, meta_all, used, all, mapped, blocks;
	struct dm_target t;

	if (dm_look(pool->name, true, &t, err) < 0)
		return -1;
	if (sscanf(t.params, "%*u %llu/%llu %llu/%llu", &meta_used, &meta_all, &used, &all) != 4)
		return fm_fail(err, FM_FAILED, "the pool %s is out of order: %s", pool->name, t.params);
	if (dm_look(name, true, &t, err) < 0)
		return -1;
	if (sscanf(t.params, "%llu", &mapped) != 1)
		return fm_fail(err, FM_FAILED, "the disk %s is out of order: %s", name, t.params);
	blocks = mapped / pool->block_sectors;
	if (used + blocks <= all && meta_used + blocks / META_ENTRIES + META_SPARE <= meta_all)
		return 0;
	return fm_fail(err, FM_FAILED,
		       "No space left for a copy of disk %s: the pool %s has %llu of %llu blocks of data in use and %llu of %llu of "
		       "metadata, and %llu more may be needed until the copy is stored", name, pool->name, used, all, meta_used,
		       meta_all, blocks);
}

static int unmake_cut(const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *cut = fm_format("%s" DISK_CUT, name);
	struct dm_target there;

	if (!cut)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (dm_look(cut, false, &there, err) < 0)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	return dm_unmake(cut, err);
}

static int delete_number(const struct thin_pool *pool, unsigned number, struct fm_error *err)
{
	return dm_message(pool->name, err, "delete %u", number) == 0 || err->code == FM_NOT_FOUND ? 0 : -1;
}

/* A saver that was killed in freeze() has left it so: the domain, which runs again, would wait for its disk for ever. */
static int run_on(const char *name, struct fm_error *err)
{
	struct dm_target t;

	if (dm_look(name, false, &t, err) < 0)
		return -1;
	return t.suspended ? dm_resume(name, err) : 0;
}

static int thin_drop_cut(struct disk_place *p, const char *name, struct fm_error *err)
{
	const struct thin_pool *pool = p->state;
	uint64_t sectors;
	unsigned number;

	if (unmake_cut(name, err) < 0)
		return -1;
	if (look(pool, name, &number, &sectors, err) < 0)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	return run_on(name, err) < 0 ? -1 : delete_number(pool, number + CUT_BASE, err);
}

static int thin_ready(struct disk_place *p, const char *name, struct fm_error *err)
{
	return thin_drop_cut(p, name, err) < 0 ? -1 : check_room(p->state, name, err);
}

static int thin_freeze(struct disk_place *p, const char *name, struct fm_error *err)
{
	const struct thin_pool *pool = p->state;
	struct fm_error resume_err;
	uint64_t sectors;
	unsigned number;
	int rc;

	if (look(pool, name, &number, &sectors, err) < 0 || dm_suspend(name, err) < 0)
		return -1;
	rc = dm_message(pool->name, err, "create_snap %u %u", number + CUT_BASE, number);
	if (dm_resume(name, &resume_err) < 0) {
		*err = resume_err; /* worse than no snapshot: the domain would wait for ever */
		return -1;
	}
	return rc;
}

static int thin_open_cut(struct disk_place *p, const char *name, uint64_t *size_r, int *fd_r, struct fm_error *err)
{
	FM_AUTO_FREE char *cut = fm_format("%s" DISK_CUT, name);
	const struct thin_pool *pool = p->state;
	uint64_t sectors;
	unsigned number;

	dm_settle();
	if (!cut)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (look(pool, name, &number, &sectors, err) < 0 ||
	    activate(pool, cut, number + CUT_BASE, sectors, true, fd_r, err) < 0)
		return -1;
	*size_r = sectors * SECTOR;
	return 0;
}

/* A domain that has just gone: blkback lets go of the device a moment later. */
static int unmake_disk(const char *name, struct fm_error *err)
{
	int rc;

	for (int waited = 0; (rc = dm_unmake(name, err)) < 0 && err->code == FM_BUSY && waited < GONE_WAIT_MS;
	     waited += GONE_STEP_MS)
		poll(NULL, 0, GONE_STEP_MS);
	return rc;
}

static int thin_remove(struct disk_place *p, const char *name, struct fm_error *err)
{
	const struct thin_pool *pool = p->state;
	uint64_t sectors;
	unsigned number;

	if (unmake_cut(name, err) < 0)
		return -1;
	if (look(pool, name, &number, &sectors, err) < 0)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	if (delete_number(pool, number + CUT_BASE, err) < 0 || unmake_disk(name, err) < 0)
		return -1;
	return delete_number(pool, number, err);
}

/* ---- what is there ---------------------------------------------------------------------- */

struct listing {
	const struct thin_pool *pool;
	char (*name)[DISK_NAME_SIZE];
	size_t count, room;
	bool active[NUMBERS_END];
};

static int note_device(const char *name, void *data, struct fm_error *err)
{
	struct listing *l = data;
	char domain[DISK_NAME_SIZE];
	struct fm_error ignored;
	const char *vdev;
	uint64_t sectors;
	unsigned number;

	if (look(l->pool, name, &number, &sectors, &ignored) < 0)
		return 0;
	if (number < NUMBERS_END)
		l->active[number] = true;
	if (number > DISKS_MOST || strlen(name) >= DISK_NAME_SIZE || !disk_name_parse(name, domain, sizeof(domain), &vdev))
		return 0;
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		void *more = realloc(l->name, room * sizeof(*l->name));

		if (!more)
			return fm_fail(err, FM_FAILED, "out of memory");
		l->name = more;
		l->room = room;
	}
	snprintf(l->name[l->count++], DISK_NAME_SIZE, "%s", name);
	return 0;
}

/* Whether it has a cut is not asked: drop_cut() finds out. */
static int thin_list(struct disk_place *p, disk_each_fn each, void *data, struct fm_error *err)
{
	struct listing l = { .pool = p->state };
	int rc = dm_each(note_device, &l, err);

	for (size_t i = 0; rc == 0 && i < l.count; i++)
		rc = each(l.name[i], true, data, err);
	free(l.name);
	return rc;
}

/* A cut that is taken but has no device yet belongs to a save under way: its disk is active. */
static int thin_sweep(struct disk_place *p, struct fm_error *err)
{
	struct listing l = { .pool = p->state };
	int rc = dm_each(note_device, &l, err);

	for (unsigned i = 1; rc == 0 && i < NUMBERS_END; i++)
		if (!l.active[i] && !(i > CUT_BASE && l.active[i - CUT_BASE]))
			rc = delete_number(l.pool, i, err);
	free(l.name);
	return rc;
}

const struct disk_ops disk_thin_ops = {
	.name = "thin",
	.open = thin_open,
	.close = thin_close,
	.create = thin_create,
	.attach = thin_attach,
	.ready = thin_ready,
	.freeze = thin_freeze,
	.open_cut = thin_open_cut,
	.drop_cut = thin_drop_cut,
	.remove = thin_remove,
	.list = thin_list,
	.sweep = thin_sweep,
};
