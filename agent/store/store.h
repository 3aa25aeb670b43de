/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - snapshots on disk: a shared directory.
 *
 * StoreDir/<job>/{script, pages/ (pages/pages.h)}, StoreDir/<job>/<n>/{member-<rank>.map (stream.h),
 * member-<rank>.held, member-<rank>.disk-<vdev>.map (disk_map.h), manifest.json}.  A snapshot exists once its manifest
 * does; the manifest is written last, atomically, and holds size and SHA-256
 * of everything beside it and of itself.  All calls block; the agent makes
 * them from worker processes or for small files only (manifest, held frames).
 */
#ifndef FM_STORE_H
#define FM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

struct store_file {
	char name[64];       /* within the snapshot's folder */
	uint64_t bytes;      /* on disk */
	uint64_t raw_bytes;  /* before compression */
	char sha256[65];     /* of the bytes on disk, hex */
};

/* A member's disk in a snapshot: its map (disk_map.h) and what it is of. */
struct store_disk {
	struct store_file map;
	char vdev[16];
	uint64_t size; /* of the disk, in bytes */
};

#define STORE_DISKS_MAX 16 /* of a member */
#define STORE_SMALL_MAX ((uint64_t)256 << 20) /* of a member's held frames */

/* Held frames and other small files; name is one plain path component. */
int store_file_write(const char *dir, const char *name, const void *data, size_t size,
		     struct store_file *file_r, struct fm_error *err);
int store_file_read(const char *dir, const struct store_file *expected, size_t max, void **data_r,
		    size_t *size_r, struct fm_error *err);

/* "<store>/<job>/<n>"; caller frees. */
char *store_snapshot_dir(const char *store, const struct fm_snapshot_id *id);

/* The next number of this job: one above every one ever given; makes its folder
 * (root, 0700) and removes half-written ones older than it.  Two callers never get
 * the same number, also from two nodes. */
int store_begin(const char *store, uint32_t job, struct fm_snapshot_id *id_r, struct fm_error *err);
/* Remove what a failed snapshot left: FM_BUSY when it is whole; none there is fine.  The
 * newest number's folder stays, empty, so that no number is given twice. */
int store_discard(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

/* manifest: the JSON object of HACKING "Manifest"; a "sha256" over the rest is
 * added.  Refused (FM_CORRUPT) when it is not a valid manifest of this snapshot or a
 * file it names is not there in its size.  Atomic and durable; the folder's files are already. */
int store_commit(const char *store, const struct fm_snapshot_id *id, struct json_object *manifest,
		 struct fm_error *err);
/* Checked against its own hash and the schema; id->n == 0 finds the newest whole one
 * (id is updated): a damaged manifest or one whose files are not all there in their sizes is passed
 * over.  FM_NOT_FOUND, FM_CORRUPT, FM_INCOMPATIBLE (a later version's). Caller puts it. */
struct json_object *store_manifest(const char *store, struct fm_snapshot_id *id, struct fm_error *err);
/* Are the files it names there, in their sizes? FM_CORRUPT: not; FM_FAILED: cannot tell. */
int store_check(const char *store, const struct fm_snapshot_id *id, struct json_object *manifest, struct fm_error *err);
/* The n-th member's store_file entries out of a manifest; held_r->name is "" when there are no held frames. */
int store_manifest_member(struct json_object *manifest, unsigned rank, struct store_file *map_r,
			  struct store_file *held_r, struct fm_error *err);

/* The i-th of all files of the n-th member, as manifest_member_file(); false: there are no more. */
bool store_manifest_file(struct json_object *manifest, unsigned rank, size_t i, struct store_file *file_r, bool *pages_r);

/* The i-th disk of the n-th member; false: there are no more. */
bool store_manifest_disk(struct json_object *manifest, unsigned rank, size_t i, struct store_disk *disk_r);

/* A manifest as the agent's API shows it (HACKING, GET /v1/snapshots/J.n): sums, folder,
 * and without the guest's token.  NULL only without memory. Caller puts it. */
struct json_object *store_describe(const char *store, const struct fm_snapshot_id *id,
				   struct json_object *manifest);

/* Array of store_describe() objects: whole snapshots of one job (job 0: of all), by job, oldest first.
 * A damaged manifest is listed as {snapshot, state:"damaged", error}. */
struct json_object *store_list(const char *store, uint32_t job, struct fm_error *err);
/* Manifest first, then the rest; a damaged one too.  FM_NOT_FOUND; FM_BUSY: it is pinned (pin.h). Its pages
 * go with the next sweep (sweep.h). */
int store_remove(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

#endif
