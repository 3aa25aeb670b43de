/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostlist.h - Slurm's bracketed host lists, "n[1-3,07-09],head", expanded in order. */
#ifndef FM_HOSTLIST_H
#define FM_HOSTLIST_H

#include <stddef.h>

#include "error.h"

#define FM_HOSTLIST_MAX 65536

struct fm_hostlist {
	char **names;
	size_t count;
};

/* "" gives an empty list. Zero padding is kept; several brackets a name are allowed. Dispose in any case. */
int fm_hostlist_parse(struct fm_hostlist *list, const char *text, struct fm_error *err);
void fm_hostlist_dispose(struct fm_hostlist *list);
/* Index of name, or -1. */
long fm_hostlist_index(const struct fm_hostlist *list, const char *name);

#endif
