/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dm.h - the few words of device-mapper that thin.c needs (libdevmapper).
 *
 * Devices are called by their names. What udev has to do with a device is waited for in dm_settle(), not at once: nothing
 * but the kernel is waited for while a domain stands still. It is told to leave our devices alone: they are guests'.
 */
#ifndef FM_DISK_DM_H
#define FM_DISK_DM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define DM_PARAMS_SIZE 512

struct dm_target {
	uint64_t sectors;
	char type[32];
	char params[DM_PARAMS_SIZE]; /* the table's, or the status */
	uint32_t major, minor;
	bool suspended;
	char uuid[160];
};

/* libdevmapper says what it has to say to err alone. FM_INCOMPATIBLE: this kernel has no device-mapper. */
int dm_begin(struct fm_error *err);
/* A device of one target. FM_NOT_FOUND: there is none. */
int dm_look(const char *name, bool status, struct dm_target *target_r, struct fm_error *err);
/* FM_BUSY (EEXIST) and FM_NOT_FOUND (ENODATA) are for the caller to tell apart. */
int dm_message(const char *name, struct fm_error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int dm_make(const char *name, uint64_t sectors, const char *type, const char *params, bool readonly, struct fm_error *err);
/* Waits for what is under way; later requests wait until dm_resume(). */
int dm_suspend(const char *name, struct fm_error *err);
int dm_resume(const char *name, struct fm_error *err);
int dm_unmake(const char *name, struct fm_error *err); /* FM_BUSY: it is open */
void dm_settle(void);
typedef int (*dm_each_fn)(const char *name, void *data, struct fm_error *err);
int dm_each(dm_each_fn each, void *data, struct fm_error *err);

#endif
