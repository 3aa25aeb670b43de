/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * real.h - the scheduler's own programs behind the scontrol front.
 *
 * They are looked for on PATH, then in the usual places.  This very file, any
 * other front that handed over to us, and what we became before (a wrapper
 * that led back here) are passed over: no loop whatever PATH looks like.
 */
#ifndef FM_SLURM_REAL_H
#define FM_SLURM_REAL_H

#include "common/error.h"

/* Become the real `name` (argv[0] stays the caller's). Returns only on failure. */
int fm_real_exec(const char *name, char *const argv[], struct fm_error *err);

/* Run the real argv[0] with our stdin, stdout and stderr; its exit code, or -1. */
int fm_real_run(const char *const argv[], struct fm_error *err);

#endif
