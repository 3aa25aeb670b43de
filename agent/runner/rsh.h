/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rsh.h - fermata-rsh, as a program: `fermata-rsh [rsh's options] HOST COMMAND…`. */
#ifndef FM_RUNNER_RSH_H
#define FM_RUNNER_RSH_H

/* The command's exit code (128 + n: died of signal n), 255 when it could not be run, 2 on a wrong call. */
int rsh_main(int argc, char **argv);

#endif
