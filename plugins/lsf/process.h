/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - what LSF's programs begin with, and how they speak.
 *
 * sbatchd starts the checkpoint methods with HUP, INT, PIPE, ALRM, TERM, TSTP,
 * TTIN and TTOU ignored and CHLD blocked, throws away what they print, and takes
 * a death by signal for success.
 */
#ifndef FM_LSF_PROCESS_H
#define FM_LSF_PROCESS_H

#include "common/error.h"

/* First thing in main(): every disposition the default, nothing blocked. But PIPE: an end by it would pass for success. */
void lsf_process_begin(void);

/*
 * From now on lsf_say() also adds to <dir>/fermata.log, where the job's owner
 * looks; dir is the job's own checkpoint directory.  One that is not there, or
 * not to be written, is done without.  Made for the owner alone; a link there is not followed.
 */
void lsf_log_open(const char *program, const char *dir);
/* A line, with the time and the program: in the log, and on stderr. Control characters are replaced. */
void lsf_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "program: job 12: text" as above; gives the exit code. */
int lsf_failed(const char *job, const struct fm_error *err);

#endif
