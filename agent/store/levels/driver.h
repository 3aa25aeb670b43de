/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver.h - what a kind of place implements; level.c is in front of it.
 *
 * A driver's own struct begins with `struct level`.  Names that arrive here are
 * valid, and errors need not name place and object: level.c puts that before.
 */
#ifndef FM_STORE_LEVEL_DRIVER_H
#define FM_STORE_LEVEL_DRIVER_H

#include "agent/store/levels/level.h"
#include "agent/store/levels/local.h"

struct level_ops {
	/* All of the file is at `name` and durable, or nothing is; see level_put(). */
	int (*put)(struct level *level, const char *name, struct outgoing *file, enum level_put_result *result_r,
		   struct fm_error *err);
	/* incoming_begin(), then incoming_add() until the object ends; level.c finishes. Again from the start after a failure. */
	int (*get)(struct level *level, const char *name, struct incoming *file, struct fm_error *err);
	int (*head)(struct level *level, const char *name, struct level_object *object_r, struct fm_error *err);
	int (*list)(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err);
	int (*remove)(struct level *level, const char *name, struct fm_error *err);
	int (*sweep)(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err);
	int64_t (*free_bytes)(struct level *level); /* NULL: the place does not say */
	void (*close)(struct level *level);          /* frees the struct; `where` is freed by level.c */
};

struct level {
	const struct level_ops *ops;
	char *where; /* owned */
};

#endif
