/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lookup.h - fermata-slurm's check and script: what sbatch must know before it queues a job. */
#ifndef FM_SLURM_LOOKUP_H
#define FM_SLURM_LOOKUP_H

#include "common/conf.h"
#include "common/error.h"

/* Is there such an image?  Where nobody can tell (no images here, no agent), there is. */
int fm_lookup_image(const struct fm_conf *conf, const char *image, struct fm_error *err);

/* What a restart must be given: as many nodes as members, each with this. */
struct fm_snapshot_needs {
	char name[24]; /* "J.n" */
	long members;
	long memory_mib; /* 0 = the site gives all guests the same, whatever the job has */
	long vcpus;
};

/* "J" or "J.n": whole, and the caller's own (the agent sees to that). The error names the snapshot. */
int fm_lookup_snapshot(const struct fm_conf *conf, const char *snapshot, struct fm_snapshot_needs *needs,
		       struct fm_error *err);

/* The script saved with it; caller frees. */
char *fm_lookup_script(const struct fm_conf *conf, const char *snapshot, struct fm_error *err);

#endif
