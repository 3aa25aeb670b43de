/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trim.h - an idle agent's resident memory.
 *
 * Starting touches most of what the libraries we link (and those they link) bring
 * along: relocation, constructors, self-tests.  Next to nothing of it is needed
 * again, but it stays mapped for as long as the agent runs.  trim_start() gives those
 * pages back: only file pages that nobody has written to, so whatever is needed
 * after all is mapped again from the page cache.
 */
#ifndef FM_TRIM_H
#define FM_TRIM_H

/* Once, when the start is over. What cannot be given back stays. */
void trim_start(void);

#endif
