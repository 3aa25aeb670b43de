/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * command.h - the job's command, as a job starter gets it, made a script for the guest.
 *
 * A guest has the files of its image and none of the host's.  So a script that
 * the command names by a path, as bsub <script does, goes along with its content; any other command is
 * looked up in the guest.  One argument is a command line (JOB_STARTER=… "%USRCMD"), several are a
 * command and its arguments (JOB_STARTER=… without %USRCMD).
 */
#ifndef FM_LSF_COMMAND_H
#define FM_LSF_COMMAND_H

#include <stddef.h>

#include "common/error.h"

#define COMMAND_WORDS_MAX 1024

struct command {
	char *script; /* with its size: what is run */
	size_t size;
	char *words[COMMAND_WORDS_MAX + 1]; /* its name and arguments, NULL at the end; in `text` or the caller's */
	char *text;
};

/* argv: NULL at the end, at least one. Dispose in any case. */
int command_make(struct command *c, char **argv, struct fm_error *err);
void command_dispose(struct command *c);

#endif
