/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.c - see job.h. */
#include "config.h"

#include "plugins/lsf/job.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int lsf_number(const char *text, long min, long max, long *value_r)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	*value_r = strtol(text, &end, 10);
	return *end || errno || *value_r < min || *value_r > max ? -1 : 0;
}

int lsf_job_number(uint32_t id, uint32_t index, uint32_t *number_r, struct fm_error *err)
{
	if (!index && id < LSF_ARRAY_FLAG) {
		*number_r = id;
		return 0;
	}
	if (id >> LSF_ARRAY_ID_BITS || index > LSF_ARRAY_INDEX_MAX)
		return fm_fail(err, FM_USAGE, "job %" PRIu32 "[%" PRIu32 "]: arrays are taken up to job %u and index %u",
			       id, index, (1u << LSF_ARRAY_ID_BITS) - 1, LSF_ARRAY_INDEX_MAX);
	*number_r = LSF_ARRAY_FLAG | index << LSF_ARRAY_ID_BITS | id;
	return 0;
}

static int read_number(const char *name, long min, long otherwise, uint32_t *value_r, struct fm_error *err)
{
	const char *text = getenv(name);
	long value = otherwise;

	if (!text && otherwise < 0)
		return fm_fail(err, FM_USAGE, "%s is not set: LSF runs this, not a user", name);
	if (text && lsf_number(text, min, INT32_MAX, &value))
		return fm_fail(err, FM_USAGE, "%s=%.32s is not a number", name, text);
	*value_r = (uint32_t)value;
	return 0;
}

int lsf_job_read(struct lsf_job *job, struct fm_error *err)
{
	const char *dir = getenv("LSB_CHKPNT_DIR"), *restart = getenv("LSB_RESTART");

	memset(job, 0, sizeof *job);
	if (read_number("LSB_JOBID", 1, -1, &job->id, err) || read_number("LSB_JOBINDEX", 0, 0, &job->index, err) ||
	    lsf_job_number(job->id, job->index, &job->number, err))
		return -1;
	if (job->index)
		snprintf(job->name, sizeof job->name, "%" PRIu32 "[%" PRIu32 "]", job->id, job->index);
	else
		snprintf(job->name, sizeof job->name, "%" PRIu32, job->id);
	if (dir && strlen(dir) >= sizeof job->chkpnt_dir)
		return fm_fail(err, FM_USAGE, "LSB_CHKPNT_DIR is longer than %zu bytes", sizeof job->chkpnt_dir - 1);
	strcpy(job->chkpnt_dir, dir ? dir : "");
	job->restart = restart && (*restart == 'Y' || *restart == 'y');
	return 0;
}
