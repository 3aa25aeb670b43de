/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chkpnt_option.c - see chkpnt_option.h. */
#include "config.h"

#include "plugins/lsf/chkpnt_option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "plugins/lsf/job.h"

#define MINUTES_MAX (366 * 24 * 60L)
#define METHOD_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static int take_minutes(const char *word, const char *text, long *minutes_r, struct fm_error *err)
{
	if (*minutes_r)
		return fm_fail(err, FM_USAGE, "-k: \"%s\" is a second such period", word);
	if (lsf_number(text, 1, MINUTES_MAX, minutes_r))
		return fm_fail(err, FM_USAGE, "-k: \"%s\" is no number of minutes", word);
	return 0;
}

static int take_word(struct chkpnt_option *o, const char *word, struct fm_error *err)
{
	if (!strncmp(word, "init=", 5))
		return take_minutes(word, word + 5, &o->init_minutes, err);
	if (strncmp(word, "method=", 7))
		return take_minutes(word, word, &o->minutes, err);
	if (*o->method)
		return fm_fail(err, FM_USAGE, "-k: \"%s\" is a second method", word);
	word += 7;
	if (!*word || word[strspn(word, METHOD_CHARS)] || strlen(word) >= sizeof o->method)
		return fm_fail(err, FM_USAGE, "-k: \"%s\" is no method's name", word);
	strcpy(o->method, word);
	return 0;
}

int chkpnt_option_parse(struct chkpnt_option *o, const char *text, struct fm_error *err)
{
	FM_AUTO_FREE char *copy = strdup(text);
	char *save = NULL, *word;
	long number;

	memset(o, 0, sizeof *o);
	if (!copy)
		return fm_fail(err, FM_FAILED, "out of memory");
	word = strtok_r(copy, " \t", &save);
	if (!word || !strncmp(word, "init=", 5) || !strncmp(word, "method=", 7) || !lsf_number(word, 0, LONG_MAX, &number))
		return fm_fail(err, FM_USAGE, "-k \"%s\": it begins with a directory", text);
	if (strlen(word) >= sizeof o->dir)
		return fm_fail(err, FM_USAGE, "-k: the directory's name is too long");
	strcpy(o->dir, word);
	while ((word = strtok_r(NULL, " \t", &save)))
		if (take_word(o, word, err))
			return -1;
	return 0;
}
