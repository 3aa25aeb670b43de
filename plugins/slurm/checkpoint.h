/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * checkpoint.h - `scontrol checkpoint <op> <job[.step]> [options]`, as Slurm
 * had it until 19.05: the same words, abbreviations, messages and exit codes.
 *
 * What differs, on purpose: create, vacate and requeue wait until the snapshot
 * is whole and say where it is (MaxWait=seconds bounds that, 0 does not wait);
 * ImageDir= and the step are read and have no effect, since a snapshot is the
 * whole job's and lies in the site's store; what Slurm answered with exit 0
 * after "Invalid …" is exit 1.
 */
#ifndef FM_SLURM_CHECKPOINT_H
#define FM_SLURM_CHECKPOINT_H

struct fm_front {
	const char *cluster; /* -M, or NULL */
	int quiet;           /* -Q: no error messages */
};

/* argv[0] is the keyword. Returns the exit code. */
int fm_checkpoint(const struct fm_front *front, int argc, char **argv);

#endif
