/* SPDX-License-Identifier: GPL-2.0-or-later */
/* directory_private.h - between directory.c (objects) and directory_tree.c (folders). */
#ifndef FM_STORE_LEVEL_DIRECTORY_PRIVATE_H
#define FM_STORE_LEVEL_DIRECTORY_PRIVATE_H

#include "agent/store/levels/driver.h"

#define DIRECTORY_INCOMING ".incoming"
#define DIRECTORY_TEMP_MAX 160

struct directory {
	struct level level; /* first */
	int fd;
};

/* From errno: "WHAT NAME: No space left on device", with the code that belongs to it. */
int directory_fail(struct fm_error *err, const char *what, const char *name);

/* A new name in .incoming, which is made when missing. */
int directory_temp(struct directory *d, char temp_r[DIRECTORY_TEMP_MAX], struct fm_error *err);
/* Give a durable file its name, durably, making its folders. */
int directory_move(struct directory *d, const char *temp, const char *name, struct fm_error *err);

int directory_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err);
int directory_remove(struct level *level, const char *name, struct fm_error *err);
int directory_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err);

#endif
