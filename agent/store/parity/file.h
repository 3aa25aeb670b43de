/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h - sources and sinks of parity.h that are files of this machine.
 *
 * A file is written as PATH.part, made durable, and then renamed: it is there whole, or not at all. The writer holds a
 * lock (flock) on the .part file; one without is a dead writer's, taken over by the next writer of that file or removed
 * by a sweep.
 */
#ifndef FM_STORE_PARITY_FILE_H
#define FM_STORE_PARITY_FILE_H

#include "agent/store/parity/parity.h"

/* ---- reading ---- */
struct parity_in;

#define PARITY_TO_END UINT64_MAX
/*
 * length bytes from offset on, or all that follow. FM_NOT_FOUND: missing. A regular file only. *source_r is valid until the
 * close; its name is path.
 */
struct parity_in *parity_in_open(const char *path, uint64_t offset, uint64_t length, struct parity_source *source_r,
				 struct fm_error *err);
void parity_in_close(struct parity_in *in); /* NULL is fine */

/* ---- writing ---- */
struct parity_out;

/* FM_BUSY: another writer of this file lives. Nothing of an existing file is touched before the end. */
struct parity_out *parity_out_create(const char *path, struct fm_error *err);
/* The whole file: committing the sink finishes it. */
void parity_out_whole(struct parity_out *out, struct parity_sink *sink_r);
/* What begins at this offset: for an object that several sets have parts of. Any number; then parity_out_finish(). */
int parity_out_part(struct parity_out *out, uint64_t offset, struct parity_sink *sink_r, struct fm_error *err);
/* Durable under its name, unless a part was not committed: FM_FAILED. Once. */
int parity_out_finish(struct parity_out *out, struct fm_error *err);
void parity_out_close(struct parity_out *out); /* what was not finished goes; NULL is fine */

/* Remove the .part files in dir whose writers are dead. */
int parity_out_sweep(const char *dir, unsigned *removed_r, struct fm_error *err);

#endif
