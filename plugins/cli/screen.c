/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - see screen.h. The few control sequences are ECMA-48's: CUU, EL and ED. */
#include "config.h"

#include "plugins/cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/io.h"

int screen_usable(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

void screen_init(struct screen *s, int fd)
{
	*s = (struct screen){ .fd = fd };
	screen_look(s);
}

void screen_look(struct screen *s)
{
	struct winsize w = { 0 };

	if (ioctl(s->fd, TIOCGWINSZ, &w) < 0)
		w.ws_col = w.ws_row = 0;
	s->columns = w.ws_col > 1 ? w.ws_col : 80;
	s->rows = w.ws_row > 1 ? w.ws_row : 24;
	if (s->rows > SCREEN_LINES)
		s->rows = SCREEN_LINES;
}

/* Up to where the first line begins. */
static void go_up(struct screen *s, FILE *out)
{
	unsigned up = s->lines > 0 ? s->lines - 1 : 0;

	if (up >= s->rows) /* what has left the screen cannot be reached */
		up = s->rows - 1;
	fputc('\r', out);
	if (up > 0)
		fprintf(out, "\033[%uA", up);
}

/* A terminal that is gone is no reason to stop. */
static void flush(struct screen *s, FILE *out, char **frame, const size_t *size)
{
	if (fclose(out) == 0 && fm_write_all(s->fd, *frame, *size) < 0)
		s->lines = 0;
	free(*frame);
}

void screen_draw(struct screen *s, const char *text)
{
	char *frame = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&frame, &size);

	if (!out)
		return;
	go_up(s, out);
	for (s->lines = 0; s->lines < SCREEN_LINES; text++) {
		size_t length = strcspn(text, "\n");

		s->lines++;
		fprintf(out, "%.*s\033[K", (int)length, text);
		text += length;
		if (!*text)
			break;
		fputc('\n', out);
	}
	fputs("\033[J", out);
	flush(s, out, &frame, &size);
}

void screen_erase(struct screen *s)
{
	char *frame = NULL;
	size_t size = 0;
	FILE *out = s->lines ? open_memstream(&frame, &size) : NULL;

	if (!out)
		return;
	go_up(s, out);
	fputs("\033[J\r\033[K", out);
	s->lines = 0;
	flush(s, out, &frame, &size);
}

void screen_leave(struct screen *s)
{
	if (s->lines)
		fm_write_all(s->fd, "\n", 1);
	s->lines = 0;
}
