/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disks.h - a member's own disks in the worker's operations (agent/disk).
 *
 * Which disks a domain has is asked of the place they are in, by the domain's name; the hypervisor's driver compares that
 * with what the domain has in truth (save_calls.has_disk, domain_spec.disks in a restore). So a snapshot whose memory goes
 * without one of its writable disks can neither be taken nor restored.
 */
#ifndef FM_WORKER_DISKS_H
#define FM_WORKER_DISKS_H

#include <stdbool.h>

#include "agent/hypervisor/hypervisor.h"
#include "agent/store/access.h"
#include "agent/worker/request.h"
#include "common/json.h"

struct worker;
struct worker_disks;

/* Nothing is looked at yet. NULL only without memory. */
struct worker_disks *worker_disks_new(const struct worker *w);
void worker_disks_free(struct worker_disks *d); /* NULL is fine */

/*
 * A new domain's: one for each writable disk of spec, with its file's content; or, in a restore, for each of the
 * request's, with its content in the snapshot, verified and on the disk. spec's paths are then theirs, until d is freed.
 * What a domain of that name had before and left is removed; while there is such a domain: FM_BUSY. FM_INCOMPATIBLE: not
 * on this node. Nothing is left behind by a failure.
 */
int worker_disks_create(struct worker_disks *d, struct domain_spec *spec, struct fm_error *err);
int worker_disks_restore(struct worker_disks *d, const struct store_access *access, struct domain_spec *spec,
			 struct fm_error *err);
/* The domain is gone: all it had. What cannot be removed is logged. */
void worker_disks_remove(struct worker_disks *d);

/* A save: find them and have all ready. */
int worker_disks_ready(struct worker_disks *d, struct fm_error *err);
bool worker_disks_has(const struct worker_disks *d, const char *vdev);
unsigned worker_disks_count(const struct worker_disks *d);
/* The domain stands still: copies of all. */
int worker_disks_freeze(struct worker_disks *d, struct fm_error *err);
/* It runs again: the copies into the store, beside the member's map; each copy is dropped when it is there. 1: stop() said
 * so. disks_r: what the manifest has of them; the caller puts it. */
int worker_disks_store(struct worker_disks *d, const struct store_access *access, bool (*stop)(void *data), void *data,
		       struct json_object **disks_r, struct fm_error *err);
/* The save has failed: copies and maps are removed. Does nothing after all is stored and worker_disks_keep() was called. */
void worker_disks_undo(struct worker_disks *d);
void worker_disks_keep(struct worker_disks *d);

/* A saver that died has left copies of this domain's disks. */
void worker_disks_drop_cuts(struct worker_disks *d);
/* An agent begins: remove the disks whose domain is gone, and copies that nobody works at. */
int worker_disks_sweep(struct worker_disks *d, unsigned *removed_r, struct fm_error *err);

#endif
