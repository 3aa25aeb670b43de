/* SPDX-License-Identifier: GPL-2.0-or-later */
/* duration.h - lengths of time as people and Slurm write them. */
#ifndef FM_DURATION_H
#define FM_DURATION_H

#include <stdint.h>

#include "error.h"

/*
 * Slurm's time formats (sbatch(1), --time): "minutes", "minutes:seconds",
 * "hours:minutes:seconds", "days-hours", "days-hours:minutes",
 * "days-hours:minutes:seconds".  A bare number is minutes.  Seconds out.
 */
int fm_duration_slurm(const char *text, int64_t *seconds_r, struct fm_error *err);

/* fermata.conf: "20ms", "2s", "5m", "1h", "1d"; a bare number is seconds. Milliseconds out. */
int fm_duration_conf(const char *text, int64_t *ms_r, struct fm_error *err);

#endif
