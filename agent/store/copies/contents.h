/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * contents.h - the list of packs that a snapshot's copy on a level needs: the object "<job>/<n>/packs".
 *
 *	fermata packs 1
 *	<64 hex> <bytes> <present>	a pack: its size there, and how many pages it has
 *	sha256 <64 hex>			of all lines before
 *
 * It is put before the packs, so that who removes what no list names takes nothing from a copy that is under way; and
 * again before the manifest, when it has changed. A pack that is written anew only ever loses pages: so one that is there
 * in a listed size, with no fewer pages than ours, need not be put again, and must not be by one that has fewer.
 */
#ifndef FM_STORE_COPIES_CONTENTS_H
#define FM_STORE_COPIES_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CONTENTS_NAME "packs"
#define CONTENTS_SIZE_MAX ((size_t)64 << 20)

struct contents_pack {
	char id[65];
	uint64_t bytes;
	uint32_t present;
};

struct contents {
	struct contents_pack *pack; /* by id, each once, after contents_sort() */
	size_t count, room;
};

int contents_add(struct contents *c, const struct contents_pack *pack, struct fm_error *err);
int contents_add_all(struct contents *c, const struct contents *more, struct fm_error *err);
/* c is empty. */
int contents_copy(struct contents *c, const struct contents *from, struct fm_error *err);
/* Of an id that was added several times the one with the most pages stays. */
void contents_sort(struct contents *c);
/* After contents_sort(). NULL: not in it. */
struct contents_pack *contents_find(const struct contents *c, const char *id);
bool contents_same(const struct contents *a, const struct contents *b);
void contents_dispose(struct contents *c);

/* The object; caller frees. */
char *contents_text(const struct contents *c, struct fm_error *err);
/* Adds to c. FM_CORRUPT, FM_INCOMPATIBLE. */
int contents_parse(struct contents *c, const char *text, size_t size, struct fm_error *err);

#endif
