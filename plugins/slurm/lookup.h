/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lookup.h - fermata-slurm's check and script: what sbatch must know before it queues a job. */
#ifndef FM_SLURM_LOOKUP_H
#define FM_SLURM_LOOKUP_H

#include "common/conf.h"
#include "common/error.h"

/* Is there such an image?  Where nobody can tell (no images here, no agent), there is. */
int fm_lookup_image(const struct fm_conf *conf, const char *image, struct fm_error *err);

/*
 * "J" or "J.n": whole, and the caller's own (the agent sees to that).
 * name_r: its full name, "J.n".  The error names the snapshot.
 */
int fm_lookup_snapshot(const struct fm_conf *conf, const char *snapshot, char name_r[24], long *members_r,
		       struct fm_error *err);

/* The script saved with it; caller frees. */
char *fm_lookup_script(const struct fm_conf *conf, const char *snapshot, struct fm_error *err);

#endif
