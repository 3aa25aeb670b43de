/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk.h - members' own disks: a place of this node where writable disks are made, and copied at an instant.
 *
 * A disk belongs to one domain and lives as long as it does. It is named "<domain>.<vdev>" ("fm-12-0.xvdb"); what keeps
 * its content beyond the domain is the job's store (agent/store/disk_map.h). Of each disk there is at most one copy, the
 * cut, from the moment at which the domain stood still until its blocks are in the store.
 *
 *	create ─▶ attach ─▶ (the domain runs) ─▶ remove
 *	             ready ─▶ freeze ─▶ open_cut ─▶ drop_cut          a snapshot
 *
 * What a cut is. freeze() is called while the domain is suspended, and copies what every request wrote of which the domain
 * had been told that it was done. Requests that were still under way are in the copy, or not, or in part. That does no
 * harm: the domain's memory, which is of the same instant, holds each of them, data included, as not done; and when it is
 * restored its frontend hands all of them in anew before any other (Linux: blkfront_resume(), blkif_recover()). Nothing
 * that the domain began after the cut can be in it: it stood still. So three things are asked of a driver:
 *  - a request is done for the domain only when its data is where freeze() copies from;
 *  - the copy is of one instant after freeze() was called and before it returns;
 *  - it may be called while requests are under way, and lets them end.
 * What the domain's own kernel had not written yet is in its memory, dirty, and goes on from there.
 *
 * Time. Only freeze() is called while a domain stands still; it may not grow with the disk's size. All that takes longer
 * is done before, in ready(), or behind, in open_cut().
 *
 * Invariants. A disk is made new for a domain that is created or restored, and removed with it: none is ever given to a
 * second domain. Names that are not Fermata's are not touched. Every call blocks and is made by fermata-worker only.
 */
#ifndef FM_DISK_H
#define FM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define DISK_BLOCK 4096u                     /* a disk's size is a multiple of it */
#define DISK_SIZE_MAX ((uint64_t)1 << 44)    /* 16 TiB */
#define DISK_NAME_SIZE 96
#define DISK_PATH_SIZE 256
#define DISK_CUT "@cut"

struct disk_place;

/* A disk as a domain can have it. */
struct disk_device {
	char path[DISK_PATH_SIZE]; /* a block device; with the sim driver a file */
	int fd;                    /* keeps it until the domain has it; -1: none is needed. The caller closes it */
};

/* cut: it has a cut, too. */
typedef int (*disk_each_fn)(const char *name, bool cut, void *data, struct fm_error *err);

struct disk_ops {
	const char *name; /* in "Disks=<name>:<where>" */

	/* Fills p->state. Tries whatever it takes to know that freeze() will work: FM_INCOMPATIBLE with the reason. */
	int (*open)(struct disk_place *p, struct fm_error *err);
	void (*close)(struct disk_place *p);

	/* A new disk that reads as zeros, open for writing. FM_BUSY: the name is taken. Nothing is left by a failure. */
	int (*create)(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err);
	int (*attach)(struct disk_place *p, const char *name, struct disk_device *device_r, struct fm_error *err);
	/* What was done to the disk so far need not be done in freeze(); there is no cut, and room for one even should the
	 * domain write all of the disk anew while it is there: FM_FAILED. */
	int (*ready)(struct disk_place *p, const char *name, struct fm_error *err);
	/* See above. After a failure the disk is as it was; there may be something for drop_cut(). */
	int (*freeze)(struct disk_place *p, const char *name, struct fm_error *err);
	/* The cut, for reading, with the disk's size. */
	int (*open_cut)(struct disk_place *p, const char *name, uint64_t *size_r, int *fd_r, struct fm_error *err);
	/* None there is no error. Afterwards the disk serves its domain, wherever in freeze() a saver may have died. */
	int (*drop_cut)(struct disk_place *p, const char *name, struct fm_error *err);
	/* With its cut. None there is no error; nothing else may have it in use any more (it is waited for a while). */
	int (*remove)(struct disk_place *p, const char *name, struct fm_error *err);
	/* All disks of Fermata's that are there; one may remove what it is told of. */
	int (*list)(struct disk_place *p, disk_each_fn each, void *data, struct fm_error *err);
	/* Remove what belongs to no disk of list(); with the place's lock alone. May be NULL. */
	int (*sweep)(struct disk_place *p, struct fm_error *err);
};

/* The drivers'. */
struct disk_place {
	const struct disk_ops *ops;
	char *where;  /* behind the colon */
	char *rundir; /* the worker's */
	int lock_fd;
	void *state;
};

/* text: Disks= of fermata.conf. FM_USAGE: no such kind. Everything else is ops->open()'s. */
struct disk_place *disk_place_open(const char *text, const char *rundir, struct fm_error *err);
void disk_place_close(struct disk_place *p); /* NULL is fine */
/*
 * Whoever makes disks shares the place, so that no sweep takes them for left-overs before their domain is there; a sweep
 * has it alone. Held until the place is closed. FM_BUSY after wait_ms.
 */
int disk_place_lock(struct disk_place *p, bool alone, int wait_ms, struct fm_error *err);

/* "<domain>.<vdev>" into name_r. FM_USAGE: not a name a disk may have. */
int disk_name(const char *domain, const char *vdev, char name_r[DISK_NAME_SIZE], struct fm_error *err);
bool disk_vdev_valid(const char *vdev); /* xvda, hdc, sdb1, … */
/* The two parts of a disk's name; false: it is none of ours. vdev_r points into name. */
bool disk_name_parse(const char *name, char *domain_r, size_t domain_size, const char **vdev_r);

/* A file's or a block device's size in bytes, rounded up to DISK_BLOCK. FM_USAGE: empty, too large, or neither. */
int disk_fd_size(int fd, uint64_t *size_r); /* as it is; -1 with errno */
int disk_size_of(const char *path, uint64_t *size_r, struct fm_error *err);
/* The content of the file or device `from` into a disk that reads as zeros; shared with it where the file system can. */
int disk_fill(int fd, const char *from, struct fm_error *err);

extern const struct disk_ops disk_reflink_ops, disk_thin_ops, disk_sim_ops;

#endif
