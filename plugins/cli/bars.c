/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bars.c - see bars.h. */
#include "config.h"

#include "plugins/cli/bars.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/cli/text.h"

#define BAR_MIN 10u
#define BAR_MAX 40u
#define SLOWEST_MAX 8u /* who is behind, when not all have a row */
#define LINE_MAX 512u
#define ETA_MAX_S (99 * 3600)

/* 0…1 of its memory. */
static double share(uint64_t done, uint64_t all, bool whole)
{
	double s = all ? (double)done / (double)all : 0;

	if (whole)
		return 1;
	return s < 0.99 ? s : 0.99;
}

static uint64_t read_bytes(const struct bars_member *m)
{
	uint64_t bytes = m->pages * BARS_PAGE;

	return m->state == BARS_DONE || (m->raw_bytes && bytes > m->raw_bytes) ? m->raw_bytes : bytes;
}

static double member_share(const struct bars_member *m)
{
	return share(read_bytes(m), m->raw_bytes, m->state == BARS_DONE);
}

void bars_sum(const struct bars *b, struct bars_sum *sum_r)
{
	struct bars_sum s = { 0 };
	size_t sized = 0;

	for (size_t i = 0; i < b->count; i++) {
		const struct bars_member *m = &b->members[i];

		s.pages += m->pages;
		s.zero += m->zero;
		s.known += m->known;
		s.stored += m->stored;
		s.stored_bytes += m->stored_bytes;
		s.done_bytes += read_bytes(m);
		s.raw_bytes += m->raw_bytes;
		s.done += m->state == BARS_DONE;
		sized += m->raw_bytes > 0;
	}
	if (sized > 0)
		s.raw_bytes = (uint64_t)((double)s.raw_bytes / (double)sized * (double)b->count);
	*sum_r = s;
}

static void draw_bar(char *at, unsigned width, double part)
{
	unsigned full = (unsigned)(part * width);

	for (unsigned i = 0; i < width; i++)
		at[i] = i < full ? '#' : '.';
	at[width] = '\0';
}

/* "[####....]", or "" where the rest of the line is worth more. */
static void bar(char *text, unsigned columns, double part)
{
	unsigned width = columns / 5 < BAR_MAX ? columns / 5 : BAR_MAX;

	*text = '\0';
	if (width < BAR_MIN )
		return;
	*text = '[';
	draw_bar(text + 1, width - 2, part);
	strcat(text, "] ");
}

/* "0:09", "1:02:09"; "" when nobody knows. */
static void eta(char text[16], const struct bars *b, const struct bars_sum *s)
{
	double left = s->raw_bytes > s->done_bytes && b->bytes_per_s > 0 ?
			      (double)(s->raw_bytes - s->done_bytes) / b->bytes_per_s + 0.5 : -1;
	unsigned t = left >= 0 && left < ETA_MAX_S ? (unsigned)left : 0;

	*text = '\0';
	if (left < 0 || left >= ETA_MAX_S)
		return;
	if (t >= 3600)
		snprintf(text, 16, "%u:%02u:%02u", t / 3600 % 1000, t / 60 % 60, t % 60);
	else
		snprintf(text, 16, "%u:%02u", t / 60, t % 60);
}

/* "12.3: save" */
static char *title(const struct bars *b)
{
	FM_AUTO_FREE char *round = text_plain(*b->round ? b->round : "waiting");

	return round ? fm_format("%s: %s", b->name, round) : NULL;
}

/* "8.3 of 16.0 GiB", "8.3 GiB" where nobody knows of how much */
static char *size_of(uint64_t done_bytes, uint64_t all_bytes)
{
	FM_AUTO_FREE char *done = text_size((int64_t)done_bytes), *all = text_size((int64_t)all_bytes);
	char *unit = done ? strchr(done, ' ') : NULL, *all_unit = all ? strchr(all, ' ') : NULL;

	if (!unit || !all_unit)
		return NULL;
	if (!all_bytes)
		return fm_steal_ptr(&done);
	if (strcmp(unit, all_unit) == 0)
		*unit = '\0';
	return fm_format("%s of %s", done, all);
}

/* "8.3 of 16.0 GiB, 812.0 MiB/s, ETA 0:09" */
static char *amounts(const struct bars *b, const struct bars_sum *s)
{
	FM_AUTO_FREE char *size = size_of(s->done_bytes, s->raw_bytes), *rate = text_size((int64_t)b->bytes_per_s);
	bool fast = b->bytes_per_s > 0;
	char left[16];

	if (!size || !rate)
		return NULL;
	eta(left, b, s);
	return fm_format("%s%s%s%s%s%s", size, fast ? ", " : "", fast ? rate : "", fast ? "/s" : "", *left ? ", ETA " : "",
			 left);
}

/* "2.1x": how many times less `after` is; "-" before there is anything. */
static void ratio(char text[16], double before, double after)
{
	if (before > 0 && after > 0)
		snprintf(text, 16, before / after < 100 ? "%.1fx" : "%.0fx", before / after);
	else
		snprintf(text, 16, "-");
}

/* "2181038 pages, 45% zero, 30% known, dedup 4.0x, compression 2.1x, 1.0 GiB new" */
static char *gains(uint64_t pages, uint64_t zero, uint64_t known, uint64_t stored, uint64_t stored_bytes)
{
	double all = (double)zero + (double)known + (double)stored;
	FM_AUTO_FREE char *written = text_size((int64_t)stored_bytes);
	char dedup[16], compression[16];

	ratio(dedup, all, (double)stored);
	ratio(compression, stored_bytes ? (double)stored * BARS_PAGE : 0, (double)stored_bytes);
	return written ? fm_format("%llu pages, %.0f%% zero, %.0f%% known, dedup %s, compression %s, %s new",
				   (unsigned long long)pages, all > 0 ? 100 * (double)zero / all : 0,
				   all > 0 ? 100 * (double)known / all : 0, dedup, compression, written) :
			 NULL;
}

char *bars_line(const struct bars *b)
{
	FM_AUTO_FREE char *head = title(b), *sizes = NULL, *won = NULL;
	struct bars_sum s;

	bars_sum(b, &s);
	sizes = amounts(b, &s);
	won = gains(s.pages, s.zero, s.known, s.stored, s.stored_bytes);
	if (!head || !sizes || !won)
		return NULL;
	if (!s.pages)
		return fm_format("%s, %.0f s", head, b->elapsed_s);
	return fm_format("%s, %.0f%%, %s, %s", head, 100 * share(s.done_bytes, s.raw_bytes, s.done == b->count), sizes, won);
}

/* One more line, cut to the width. */
static void put_line(FILE *out, unsigned columns, const char *text)
{
	fprintf(out, "%s%.*s", ftell(out) > 0 ? "\n" : "", (int)(columns < LINE_MAX ? columns - 1 : LINE_MAX), text);
}

static void total_lines(FILE *out, const struct bars *b, unsigned columns, unsigned rows)
{
	FM_AUTO_FREE char *head = title(b), *sizes = NULL, *won = NULL;
	char strip[BAR_MAX + 8], line[LINE_MAX];
	struct bars_sum s;
	double part;

	bars_sum(b, &s);
	part = share(s.done_bytes, s.raw_bytes, b->count && s.done == b->count);
	sizes = amounts(b, &s);
	won = gains(s.pages, s.zero, s.known, s.stored, s.stored_bytes);
	if (!head || !sizes || !won)
		return;
	bar(strip, columns, part);
	if (s.pages)
		snprintf(line, sizeof(line), "%-15s %s%3.0f%% %s", head, strip, 100 * part, sizes);
	else
		snprintf(line, sizeof(line), "%-15s %s%.1f s", head, strip, b->elapsed_s);
	put_line(out, columns, line);
	if (rows > 1 && s.zero + s.known + s.stored > 0) {
		snprintf(line, sizeof(line), "  %s", won);
		put_line(out, columns, line);
	}
}

static void member_line(FILE *out, const struct bars_member *m, unsigned columns)
{
	FM_AUTO_FREE char *size = size_of(read_bytes(m), m->raw_bytes), *new = text_size((int64_t)m->stored_bytes);
	double pages = (double)m->zero + (double)m->known + (double)m->stored;
	char strip[BAR_MAX + 8], line[LINE_MAX], dedup[16], part[8] = "done";

	if (!size || !new)
		return;
	bar(strip, columns, member_share(m));
	ratio(dedup, pages, (double)m->stored);
	if (m->state != BARS_DONE)
		snprintf(part, sizeof(part), "%3.0f%%", 100 * member_share(m));
	if (!m->pages) /* all that can be said is a word */
		snprintf(line, sizeof(line), "%5u %-9.9s %s%s", m->rank, m->node, strip,
			 m->state == BARS_SILENT ? "no answer" : m->state == BARS_DONE ? part : "");
	else
		snprintf(line, sizeof(line), "%5u %-9.9s %s%s %s%s, %s new, dedup %s", m->rank, m->node, strip, part,
			 m->state == BARS_SILENT ? "no answer, " : "", size, new, dedup);
	put_line(out, columns, line);
}

/* Those that are furthest behind first. */
static int by_share(const void *a, const void *b)
{
	const struct bars_member *x = *(const struct bars_member *const *)a, *y = *(const struct bars_member *const *)b;
	double p = member_share(x), q = member_share(y);

	return p < q ? -1 : p > q ? 1 : x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Not all have a row: the slowest, and how many more there are. */
static void folded_lines(FILE *out, const struct bars *b, unsigned columns, unsigned rows)
{
	FM_AUTO_FREE const struct bars_member **order = calloc(b->count, sizeof(struct bars_member *));
	size_t shown = rows - 1 < SLOWEST_MAX ? rows - 1 : SLOWEST_MAX, done = 0;
	char line[LINE_MAX];

	if (!order)
		return;
	for (size_t i = 0; i < b->count; i++)
		order[i] = &b->members[i];
	qsort(order, b->count, sizeof(struct bars_member *), by_share);
	for (size_t i = 0; i < shown; i++)
		member_line(out, order[i], columns);
	for (size_t i = shown; i < b->count; i++)
		done += order[i]->state == BARS_DONE;
	snprintf(line, sizeof(line), "%5s and %zu more members, further on; %zu of them done", "", b->count - shown, done);
	put_line(out, columns, line);
}

char *bars_lines(const struct bars *b, unsigned columns, unsigned rows)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	total_lines(out, b, columns, rows);
	rows -= rows > 2 ? 2 : rows;
	if (b->count > 1 && b->count <= rows)
		for (size_t i = 0; i < b->count; i++)
			member_line(out, &b->members[i], columns);
	else if (b->count > 1 && rows > 1)
		folded_lines(out, b, columns, rows);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
