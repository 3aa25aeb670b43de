/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chkpnt_option.h - bsub -k "directory [init=minutes] [minutes] [method=name]". */
#ifndef FM_LSF_CHKPNT_OPTION_H
#define FM_LSF_CHKPNT_OPTION_H

#include <limits.h>

#include "common/error.h"

struct chkpnt_option {
	char dir[PATH_MAX];
	long init_minutes, minutes; /* 0: not given */
	char method[64];            /* "": not given */
};

/* FM_USAGE says which word is wrong, and why. */
int chkpnt_option_parse(struct chkpnt_option *option, const char *text, struct fm_error *err);

#endif
