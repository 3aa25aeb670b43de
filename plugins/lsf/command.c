/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command.c - see command.h. */
#include "config.h"

#include "plugins/lsf/command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"

#define SCRIPT_MAX (16u << 20)
#define FOR_A_SHELL "|&;<>()$`\\\"'*?[]#~=%!{}\n"

/* #! behind a path: its content is what the guest needs. */
static int is_script(const char *path, char **script_r, size_t *size_r)
{
	struct stat st;
	struct fm_error none;
	char *text;

	if (!strchr(path, '/') || stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	text = fm_file_read(path, SCRIPT_MAX, size_r, &none);
	if (!text || *size_r < 2 || memcmp(text, "#!", 2)) {
		free(text);
		return 0;
	}
	*script_r = text;
	return 1;
}

static int split(struct command *c, const char *line, struct fm_error *err)
{
	char *save = NULL;
	size_t n = 0;

	c->text = strdup(line);
	if (!c->text)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *word = strtok_r(c->text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (n == COMMAND_WORDS_MAX)
			return fm_fail(err, FM_USAGE, "the job's command has more than %d words", COMMAND_WORDS_MAX);
		c->words[n++] = word;
	}
	return n ? 0 : fm_fail(err, FM_USAGE, "the job's command is empty");
}

static int take_words(struct command *c, char **argv, struct fm_error *err)
{
	for (size_t n = 0; argv[n]; n++) {
		if (n == COMMAND_WORDS_MAX)
			return fm_fail(err, FM_USAGE, "the job's command has more than %d words", COMMAND_WORDS_MAX);
		c->words[n] = argv[n];
	}
	return 0;
}

/* The words are a command of the guest's: the script has a name of its own before them. */
static int run_words(struct command *c, struct fm_error *err)
{
	static char name[] = "job";
	size_t n = 0;

	while (c->words[n])
		n++;
	if (n == COMMAND_WORDS_MAX)
		return fm_fail(err, FM_USAGE, "the job's command has more than %d words", COMMAND_WORDS_MAX - 1);
	memmove(c->words + 1, c->words, n * sizeof *c->words);
	c->words[0] = name;
	c->script = strdup("#!/bin/sh\nexec \"$@\"\n");
	return 0;
}

int command_make(struct command *c, char **argv, struct fm_error *err)
{
	static char name[] = "job";
	int line = !argv[1] && strpbrk(argv[0], FOR_A_SHELL);

	memset(c, 0, sizeof *c);
	if (line) {
		c->words[0] = name;
		c->script = fm_format("#!/bin/sh\n%s\n", argv[0]);
	} else if (argv[1] ? take_words(c, argv, err) : split(c, argv[0], err)) {
		return -1;
	} else if (is_script(c->words[0], &c->script, &c->size)) {
		return 0;
	} else if (run_words(c, err)) {
		return -1;
	}
	if (!c->script)
		return fm_fail(err, FM_FAILED, "out of memory");
	c->size = strlen(c->script);
	return 0;
}

void command_dispose(struct command *c)
{
	free(c->script);
	free(c->text);
	memset(c, 0, sizeof *c);
}
