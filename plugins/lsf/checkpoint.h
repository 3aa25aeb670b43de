/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * checkpoint.h - what of a checkpoint is in LSF's checkpoint directory.
 *
 * The snapshot itself is in the agents' store.  Here is one small file that
 * names it, `fermata.snapshot`: LSF renames what a method has written from
 * <id>.tmp to <id> file by file, in no order, and takes a method that was killed
 * for one that has succeeded.  So one file is all there is, it appears whole, and
 * says of itself whether it is: {version, job, number, snapshot, created,
 * members, bytes, nodes:[…], sha256 (of the object without it)}.
 */
#ifndef FM_LSF_CHECKPOINT_H
#define FM_LSF_CHECKPOINT_H

#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"
#include "plugins/lsf/job.h"

/* A directory this process may write files in: FM_NOT_FOUND, FM_DENIED, FM_USAGE (no directory). */
int lsf_checkpoint_dir(const char *dir, struct fm_error *err);
/* What earlier, failed ones left in dir, that it does not pass for this one's. */
int lsf_checkpoint_clear(const char *dir, struct fm_error *err);
/* snapshot: the agent's description of a whole one. */
int lsf_checkpoint_write(const char *dir, const struct lsf_job *job, struct json_object *snapshot, struct fm_error *err);
/* FM_NOT_FOUND: there is none; FM_CORRUPT: there is, but not what was written. id_r->n is never 0. */
int lsf_checkpoint_read(const char *dir, struct fm_snapshot_id *id_r, struct fm_error *err);

/*
 * <dir>/fermata.starts: how often the job's command has been started; 0 when it
 * never was.  It is the incarnation of the next start of the same job id.
 */
unsigned lsf_starts_read(const char *dir);
int lsf_starts_write(const char *dir, unsigned count, struct fm_error *err);

#endif
