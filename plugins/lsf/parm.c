/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parm.c - see parm.h. */
#include "config.h"

#include "plugins/lsf/parm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

#define FILE_MAX (8u << 20)
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static size_t name_size(const char *p)
{
	size_t size = strspn(p, NAME_CHARS);

	return size && p[size] == '=' ? size : 0;
}

/* Does a value end with the quote before p? A command may have quotes of its own, escaped or not. */
static int is_end(const char *p)
{
	if (*p && *p != '\n')
		return 0;
	p += strspn(p, "\n");
	return !*p || name_size(p);
}

/* From behind the opening quote to behind the closing one, or to the end of the text. Unescaped in place. */
static char *unquote(char *p)
{
	char *to = p;

	for (; *p; p++) {
		if (*p == '"' && is_end(p + 1)) {
			p++;
			break;
		}
		if (*p == '\\' && p[1] == '"' && !is_end(p + 2))
			p++;
		*to++ = *p;
	}
	if (to < p)
		*to = '\0';
	return p;
}

/* One line that has a name; where the next begins. */
static char *take(struct parm *parm, char *p)
{
	struct parm_line *line = &parm->lines[parm->count++];
	size_t size = name_size(p);
	char *end;

	line->name = p;
	p[size] = '\0';
	p += size + 1;
	line->value = *p == '"' ? p + 1 : p;
	end = *p == '"' ? unquote(p + 1) : p + strcspn(p, "\n");
	if (*end)
		*end++ = '\0';
	return end;
}

int parm_read(struct parm *parm, const char *path, struct fm_error *err)
{
	size_t size, most = 1;
	char *p;

	*parm = (struct parm){ 0 };
	parm->text = fm_file_read(path, FILE_MAX, &size, err);
	if (!parm->text)
		return -1;
	for (p = parm->text; *p; p++)
		most += *p == '\n';
	parm->lines = calloc(most, sizeof *parm->lines);
	if (!parm->lines)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (p = parm->text; *p;) {
		if (name_size(p))
			p = take(parm, p);
		else /* of something that is none of ours to understand */
			p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n');
	}
	return 0;
}

void parm_dispose(struct parm *parm)
{
	free(parm->lines);
	free(parm->text);
	*parm = (struct parm){ 0 };
}

const char *parm_get(const struct parm *parm, const char *name)
{
	for (size_t i = parm->count; i-- > 0;) /* the last one stands */
		if (!strcmp(parm->lines[i].name, name))
			return strcmp(parm->lines[i].value, "SUB_RESET") ? parm->lines[i].value : NULL;
	return NULL;
}

int parm_write(FILE *to, const char *name, const char *value, struct fm_error *err)
{
	fprintf(to, "%s=\"", name);
	for (; *value; value++)
		fprintf(to, "%s%c", *value == '"' ? "\\" : "", *value);
	fputs("\"\n", to);
	return ferror(to) ? fm_fail(err, FM_FAILED, "%s: %s", name, strerror(errno)) : 0;
}
