/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * directory.h - a level that is a directory of another file system: NFS, Lustre,
 * GPFS, a second disk.
 *
 * An object is a file of its name.  What is being written is in ".incoming",
 * moved to its name when it is durable; a folder is made when the first object
 * is moved into it, and goes with the last.  Files have mode 0600, folders 0700.
 */
#ifndef FM_STORE_LEVEL_DIRECTORY_H
#define FM_STORE_LEVEL_DIRECTORY_H

#include "agent/store/levels/level.h"

struct directory_config {
	const char *path; /* must exist: a mount point that is not mounted must not be filled */
	/* A path it must not share its file system with, as StoreDir: a copy there is lost with it. NULL: anything. */
	const char *apart_from;
};

struct level *level_open_directory(const struct directory_config *config, struct fm_error *err);

#endif
