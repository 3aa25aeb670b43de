/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest.h - a snapshot's manifest as text: sealed by its own hash, and checked
 * against a schema with bounds before anyone looks at a value (store only).
 *
 * What passes manifest_check() may be read with the fm_json_…_or() getters.
 */
#ifndef FM_STORE_MANIFEST_H
#define FM_STORE_MANIFEST_H

#include <stddef.h>

#include "agent/store/store.h"

#define MANIFEST_NAME "manifest.json"
#define MANIFEST_VERSION 2
/* Of a manifest with disks: a reader that does not know of them would roll a member's memory back without its disk. */
#define MANIFEST_VERSION_DISKS 3
#define MANIFEST_SIZE_MAX ((size_t)64 << 20)

/* Types, bounds, and what must agree: FM_CORRUPT naming the place; FM_INCOMPATIBLE: another version. */
int manifest_check(struct json_object *manifest, const struct fm_snapshot_id *id, struct fm_error *err);

/* The text to write, with the hash; manifest itself is not changed. Caller frees. */
char *manifest_seal(struct json_object *manifest, struct fm_error *err);

/* Text to a checked object: hash first, then manifest_check(). Caller puts it. */
struct json_object *manifest_open(const char *text, size_t size, const struct fm_snapshot_id *id,
				  struct fm_error *err);

/* The value at "a" of the object, or NULL. */
struct json_object *manifest_get(struct json_object *o, const char *key);

/* member's files; held_r->name is "" when it has no held frames. */
void manifest_member_files(struct json_object *member, struct store_file *map_r,
			   struct store_file *held_r);
/* The i-th of the member's disks; false: no more. */
bool manifest_member_disk(struct json_object *member, size_t i, struct store_disk *disk_r);
/* The i-th of all its files in the snapshot's folder: its map, its disks' maps, its held frames. false: no more.
 * pages_r: it is a map, so needs packs. */
bool manifest_member_file(struct json_object *member, size_t i, struct store_file *file_r, bool *pages_r);

#endif
