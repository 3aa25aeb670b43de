/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostlist.c - see hostlist.h. A recursive expansion of the first bracket of each name. */
#include "config.h"

#include "common/hostlist.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define NAME_MAX_LENGTH 255

static int append(struct fm_hostlist *list, const char *name, struct fm_error *err)
{
	char **names;

	if (list->count >= FM_HOSTLIST_MAX)
		return fm_fail(err, FM_USAGE, "a host list of more than %d names", FM_HOSTLIST_MAX);
	if (!*name || strlen(name) > NAME_MAX_LENGTH)
		return fm_fail(err, FM_USAGE, "an empty or over-long host name");
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return fm_fail(err, FM_USAGE, "host name with the character '%c'",
				       isprint((unsigned char)*p) ? *p : '?');
	/* Grow by doubling: count is a power of two exactly when it is full. */
	if (!(list->count & (list->count - 1))) {
		names = reallocarray(list->names, list->count ? list->count * 2 : 1, sizeof *names);
		if (!names)
			return fm_fail(err, FM_FAILED, "out of memory");
		list->names = names;
	}
	if (!(list->names[list->count] = strdup(name)))
		return fm_fail(err, FM_FAILED, "out of memory");
	list->count++;
	return 0;
}

static int expand(struct fm_hostlist *list, const char *name, int depth, struct fm_error *err);

/* One "7", "07-09" of a bracket: prefix + number + rest for each. */
static int expand_range(struct fm_hostlist *list, const char *prefix, const char *range,
			const char *rest, int depth, struct fm_error *err)
{
	unsigned long first, last;
	char *end, name[NAME_MAX_LENGTH * 2];
	int width;

	if (!isdigit((unsigned char)*range))
		return fm_fail(err, FM_USAGE, "\"%s\" is no range of a host list", range);
	first = strtoul(range, &end, 10);
	width = (int)(end - range);
	last = first;
	if (*end == '-' && isdigit((unsigned char)end[1]))
		last = strtoul(end + 1, &end, 10);
	if (*end || width > 9 || last < first || last - first >= FM_HOSTLIST_MAX)
		return fm_fail(err, FM_USAGE, "\"%s\" is no range of a host list", range);
	for (unsigned long i = first; i <= last; i++) {
		if (snprintf(name, sizeof name, "%s%0*lu%s", prefix, width, i, rest) >= (int)sizeof name)
			return fm_fail(err, FM_USAGE, "an over-long host name");
		if (expand(list, name, depth + 1, err))
			return -1;
	}
	return 0;
}

static int expand(struct fm_hostlist *list, const char *name, int depth, struct fm_error *err)
{
	const char *open = strchr(name, '['), *close = open ? strchr(open, ']') : NULL;
	FM_AUTO_FREE char *prefix = NULL, *ranges = NULL;
	char *save = NULL;

	if (!open)
		return append(list, name, err);
	if (!close || depth > 4 || close == open + 1)
		return fm_fail(err, FM_USAGE, "\"%.64s\": bad brackets in a host list", name);
	prefix = strndup(name, (size_t)(open - name));
	ranges = strndup(open + 1, (size_t)(close - open - 1));
	if (!prefix || !ranges)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *r = strtok_r(ranges, ",", &save); r; r = strtok_r(NULL, ",", &save))
		if (expand_range(list, prefix, r, close + 1, depth, err))
			return -1;
	return 0;
}

/* Length of the first name: up to a comma outside brackets. */
static size_t name_length(const char *p)
{
	size_t n = 0;
	int inside = 0;

	for (; p[n] && (inside || p[n] != ','); n++)
		inside = p[n] == '[' ? 1 : p[n] == ']' ? 0 : inside;
	return n;
}

int fm_hostlist_parse(struct fm_hostlist *list, const char *text, struct fm_error *err)
{
	memset(list, 0, sizeof *list);
	while (*text) {
		size_t n = name_length(text);
		FM_AUTO_FREE char *name = strndup(text, n);

		if (!name)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (expand(list, name, 0, err))
			return -1;
		text += n;
		if (*text == ',' && !*++text)
			return fm_fail(err, FM_USAGE, "a host list that ends with a comma");
	}
	return 0;
}

void fm_hostlist_dispose(struct fm_hostlist *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	memset(list, 0, sizeof *list);
}

long fm_hostlist_index(const struct fm_hostlist *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->names[i], name))
			return (long)i;
	return -1;
}
