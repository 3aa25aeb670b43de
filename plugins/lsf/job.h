/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h - the LSF job this process runs for, as its environment tells.
 *
 * sbatchd puts its own variables over those of the submitting user, but the
 * rest is the user's: nothing here says who somebody is.  The agent asks the kernel.
 *
 * An agent knows a job by one number.  It is LSB_JOBID; an element of an array
 * gets one above 2^31 out of id and index, each to its own bits, so that no two
 * jobs share one (LSF's own defaults, MAX_JOBID 999999 and MAX_JOB_ARRAY_SIZE
 * 1000, fit).  What does not fit is refused.
 */
#ifndef FM_LSF_JOB_H
#define FM_LSF_JOB_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define LSF_ARRAY_FLAG UINT32_C(0x80000000)
#define LSF_ARRAY_ID_BITS 20
#define LSF_ARRAY_INDEX_MAX 2047u

struct lsf_job {
	uint32_t id;               /* LSB_JOBID */
	uint32_t index;            /* LSB_JOBINDEX; 0: no array */
	uint32_t number;           /* the agents' */
	char name[32];             /* "123" or "123[4]": as LSF writes it */
	char chkpnt_dir[PATH_MAX]; /* LSB_CHKPNT_DIR, the job's own; "": not checkpointable */
	bool restart;              /* LSB_RESTART=Y: it ran before, under this or another id */
};

/* FM_USAGE: not run by LSF, or a job whose number does not fit. */
int lsf_job_read(struct lsf_job *job, struct fm_error *err);

/* FM_USAGE when they do not fit. */
int lsf_job_number(uint32_t id, uint32_t index, uint32_t *number_r, struct fm_error *err);

/* A decimal number, nothing else, in [min, max]; 0 or -1. */
int lsf_number(const char *text, long min, long max, long *value_r);

#endif
