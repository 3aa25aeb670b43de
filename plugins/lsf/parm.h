/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parm.h - the files bsub and an esub exchange: lines NAME=value, a value bare
 * (Y, a number, SUB_RESET) or in double quotes, in which \" is a quote.  A job's
 * command may go over lines, and some releases do not escape its quotes: a value
 * ends at a quote behind which the next NAME= begins, or the file ends.  Lines
 * that are none are passed over: a job is not refused for what its command looks like.
 */
#ifndef FM_LSF_PARM_H
#define FM_LSF_PARM_H

#include <stdio.h>

#include "common/error.h"

struct parm {
	char *text; /* the file, cut in pieces */
	struct parm_line {
		const char *name, *value;
	} * lines;
	size_t count;
};

/* Fails only where the file cannot be read. Dispose in any case. */
int parm_read(struct parm *parm, const char *path, struct fm_error *err);
void parm_dispose(struct parm *parm);
/* NULL when it is not there, or SUB_RESET. */
const char *parm_get(const struct parm *parm, const char *name);

/* NAME="value" as one more line of a file that LSF made. */
int parm_write(FILE *to, const char *name, const char *value, struct fm_error *err);

#endif
