/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.h - a file as a block device. */
#ifndef FM_DISK_LOOP_H
#define FM_DISK_LOOP_H

#include "agent/disk/disk.h"

/* A loop device with direct I/O where that is possible. It goes by itself when nobody has it open any more, so
 * device_r->fd must be open until the domain has it. */
int loop_attach(const char *path, struct disk_device *device_r, struct fm_error *err);

#endif
