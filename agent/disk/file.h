/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.h - disks that are files of one folder, p->where: what the drivers reflink and sim have in common. */
#ifndef FM_DISK_FILE_H
#define FM_DISK_FILE_H

#include "agent/disk/disk.h"

/* The folder is there (made, 0700, if only it is missing) and nobody else's. */
int disk_file_open(struct disk_place *p, struct fm_error *err);
/* "<where>/<name>", or with the cut's ending. Caller frees. */
char *disk_file_path(const struct disk_place *p, const char *name, bool cut, struct fm_error *err);
int disk_file_create(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err);
int disk_file_open_cut(struct disk_place *p, const char *name, uint64_t *size_r, int *fd_r, struct fm_error *err);
int disk_file_drop_cut(struct disk_place *p, const char *name, struct fm_error *err);
int disk_file_remove(struct disk_place *p, const char *name, struct fm_error *err);
int disk_file_list(struct disk_place *p, disk_each_fn each, void *data, struct fm_error *err);
/* Room for all of the disk's blocks once more. */
int disk_file_room(struct disk_place *p, const char *name, struct fm_error *err);

#endif
