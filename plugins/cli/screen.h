/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * screen.h - a few lines at the bottom of a terminal, redrawn in place.
 *
 * Nothing above them is touched, no mode of the terminal is changed, and between two calls it may be taken away: the cursor
 * stands at the end of the last line. A frame is one write. A terminal that becomes narrower may wrap what stands there: the
 * next frame then leaves a rest of it above, since not all do, and what is above is not ours to overwrite.
 */
#ifndef FM_CLI_SCREEN_H
#define FM_CLI_SCREEN_H

#include <stddef.h>

#define SCREEN_LINES 512u /* that are used of one, however high it is */

struct screen {
	int fd;
	unsigned columns, rows; /* as of the last screen_look() */
	unsigned lines;         /* that stand there now; 0: none */
};

/* Is this a terminal on which lines can be redrawn? */
int screen_usable(int fd);
void screen_init(struct screen *s, int fd);
/* How large it is now: 80 by 24 where it does not say. */
void screen_look(struct screen *s);
/* Lines with '\n' between them, each shorter than s->columns. */
void screen_draw(struct screen *s, const char *text);
/* Takes them away; the cursor stands where the first began. */
void screen_erase(struct screen *s);
/* Leaves them; the cursor goes to the next line. */
void screen_leave(struct screen *s);

#endif
