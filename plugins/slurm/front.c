/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * front.c - scontrol, installed where PATH finds it before Slurm's own.
 *
 * It answers `checkpoint` and becomes the real scontrol for everything else,
 * with the arguments as they came.  The global options are read with
 * scontrol's own table only to find the keyword behind them; one that is not
 * in it (a newer Slurm's) is the real one's business, too.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/error.h"
#include "plugins/slurm/checkpoint.h"
#include "plugins/slurm/real.h"

enum { OPT_OTHER = 256 };

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "cluster", required_argument, NULL, 'M' },
	{ "clusters", required_argument, NULL, 'M' },
	{ "details", no_argument, NULL, 'd' },
	{ "federation", no_argument, NULL, OPT_OTHER },
	{ "future", no_argument, NULL, 'F' },
	{ "help", no_argument, NULL, 'h' },
	{ "hide", no_argument, NULL, OPT_OTHER },
	{ "local", no_argument, NULL, OPT_OTHER },
	{ "oneliner", no_argument, NULL, 'o' },
	{ "quiet", no_argument, NULL, 'Q' },
	{ "sibling", no_argument, NULL, OPT_OTHER },
	{ "uid", required_argument, NULL, 'u' },
	{ "usage", no_argument, NULL, 'h' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* Where the keyword is, or -1 when this is the real scontrol's. argv is permuted. */
static int find_keyword(struct fm_front *front, int argc, char **argv)
{
	int option;

	opterr = 0;
	front->cluster = getenv("SLURM_CLUSTERS");
	while ((option = getopt_long(argc, argv, "adhM:FoQu:vV", long_options, NULL)) != -1)
		switch (option) {
		case '?':
		case 'h':
		case 'V':
			return -1;
		case 'M':
			front->cluster = optarg;
			break;
		case 'Q':
			front->quiet = 1;
			break;
		default:
			break;
		}
	return optind < argc ? optind : -1;
}

/* scontrol takes any abbreviation of at least two letters, in any case. */
static int is_checkpoint(const char *word)
{
	size_t n = strlen(word);

	return !strncasecmp(word, "checkpoint", n > 2 ? n : 2);
}

int main(int argc, char **argv)
{
	struct fm_front front = { NULL, 0 };
	char **copy = calloc((size_t)argc + 1, sizeof *copy);
	struct fm_error err;
	int keyword;

	if (!copy) {
		fprintf(stderr, "scontrol: out of memory\n");
		return 1;
	}
	memcpy(copy, argv, (size_t)argc * sizeof *copy);
	keyword = find_keyword(&front, argc, copy);
	if (keyword >= 0 && is_checkpoint(copy[keyword])) {
		int r = fm_checkpoint(&front, argc - keyword, copy + keyword);

		free(copy);
		return fflush(stdout) ? 1 : r;
	}
	free(copy);
	fm_real_exec("scontrol", argv, &err);
	fprintf(stderr, "scontrol: %s\n", err.text);
	return 127;
}
