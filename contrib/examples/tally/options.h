/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - tally's command line; a wrong one ends the program with status 2. */
#ifndef TALLY_OPTIONS_H
#define TALLY_OPTIONS_H

#include "tally.h"

void options_parse(struct options *options, int argc, char **argv);

#endif
