/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - the `fermata` command: options, dispatch, errors with advice.
 *
 * One table of options and one of commands; getopt's tables and every --help are
 * made from them (and the manual is compared with --help by a test).
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/duration.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"
#include "plugins/cli/text.h"

enum option_id { OPT_JSON = 256, OPT_NODES, OPT_CONFIG, OPT_COMMENT, OPT_NO_WAIT, OPT_TIMEOUT, OPT_KEEP,
		 OPT_MAX_AGE, OPT_DRY_RUN, OPT_DAMAGED, OPT_ENDED, OPT_COMPACT, OPT_LEVELS, OPT_REPAIR, OPT_QUIET, OPT_DISK,
		 OPT_HELP, OPT_VERSION };

#define BIT(id) (1u << ((id) - OPT_JSON))
#define COMMON (BIT(OPT_JSON) | BIT(OPT_NODES) | BIT(OPT_CONFIG) | BIT(OPT_HELP))

static const struct cli_option {
	enum option_id id;
	const char *name, *argument, *help;
} options[] = {
	{ OPT_JSON, "json", NULL, "print the agent's answer as JSON: sizes in bytes, times in UTC" },
	{ OPT_COMMENT, "comment", "TEXT", "keep TEXT with the snapshot" },
	{ OPT_NO_WAIT, "no-wait", NULL, "return once the snapshot is begun" },
	{ OPT_TIMEOUT, "timeout", "TIME", "wait no longer than TIME (30s, 5m, 2h)" },
	{ OPT_KEEP, "keep", "N", "keep the newest N snapshots of each job" },
	{ OPT_MAX_AGE, "max-age", "TIME", "keep what is no older than TIME (90m, 12h, 30d)" },
	{ OPT_DRY_RUN, "dry-run", NULL, "only say what would be removed, and why the rest is kept" },
	{ OPT_DAMAGED, "damaged", NULL, "remove damaged snapshots, too" },
	{ OPT_ENDED, "ended", NULL, "the job has ended: its newest snapshot is like any other, and its folder goes when empty" },
	{ OPT_COMPACT, "compact", NULL, "keep each page once, and compress better: takes processor time" },
	{ OPT_QUIET, "quiet", NULL, "say nothing of the progress (-q)" },
	{ OPT_LEVELS, "levels", NULL, "also ask the levels behind StoreDir for what it has lost" },
	{ OPT_REPAIR, "repair", NULL, "put right what is damaged or missing from a place that has it" },
	{ OPT_DISK, "disk", "NAME", "not the domain but its disk NAME (xvdb), as an image" },
	{ OPT_NODES, "nodes", "LIST", "ask the agents of these nodes (n[1-3]) before those of Agents=" },
	{ OPT_CONFIG, "config", "FILE", "read FILE instead of " FM_SYSCONFDIR "/fermata/fermata.conf" },
	{ OPT_HELP, "help", NULL, "print this" },
	{ OPT_VERSION, "version", NULL, "print the version" },
};

static const struct command {
	const char *name, *operands, *help;
	int least, most; /* operands */
	unsigned options;
	int (*run)(struct cli *cli, struct fm_error *err);
} commands[] = {
	{ "list", "[JOB]", "the snapshots of a job, or of all your jobs", 0, 1, COMMON | BIT(OPT_LEVELS), cli_list },
	{ "show", "JOB[.N]", "a snapshot; for a job what it does now and its newest snapshot", 1, 1, COMMON, cli_show },
	{ "create", "JOB", "take a snapshot of a running job and wait until it is whole", 1, 1,
	  COMMON | BIT(OPT_COMMENT) | BIT(OPT_NO_WAIT) | BIT(OPT_TIMEOUT) | BIT(OPT_QUIET), cli_create },
	{ "rm", "JOB.N...", "remove snapshots", 1, 1000, COMMON | BIT(OPT_TIMEOUT), cli_rm },
	{ "verify", "JOB[.N]", "read a whole snapshot, on all levels, and say what is damaged", 1, 1,
	  COMMON | BIT(OPT_TIMEOUT) | BIT(OPT_REPAIR), cli_verify },
	{ "export", "JOB.N RANK FILE", "write a member's domain as a file for `xl restore` (root, where the store is; - is stdout)",
	  3, 3, BIT(OPT_JSON) | BIT(OPT_CONFIG) | BIT(OPT_QUIET) | BIT(OPT_HELP) | BIT(OPT_DISK), cli_export },
	{ "pin", "JOB.N", "keep a snapshot whatever the rules say", 1, 1, COMMON | BIT(OPT_COMMENT), cli_pin },
	{ "unpin", "JOB.N", "let the rules have it again", 1, 1, COMMON, cli_unpin },
	{ "prune", "[JOB]", "remove what the rules do not keep, and pages that nobody needs", 0, 1,
	  COMMON | BIT(OPT_KEEP) | BIT(OPT_MAX_AGE) | BIT(OPT_DRY_RUN) | BIT(OPT_DAMAGED) | BIT(OPT_ENDED) | BIT(OPT_COMPACT) | BIT(OPT_TIMEOUT),
	  cli_prune },
	{ "status", "[NODE...]", "the agents and the jobs they look after", 0, 1000, COMMON, cli_status },
};

#define KEEP_MAX 1000000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GLOBAL (BIT(OPT_HELP) | BIT(OPT_VERSION))

static void print_options(unsigned which)
{
	printf("\nOptions:\n");
	for (size_t i = 0; i < COUNT(options); i++) {
		char text[40];

		if (!(which & BIT(options[i].id)))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", options[i].name, options[i].argument ? "=" : "",
			 options[i].argument ? options[i].argument : "");
		printf("  %-18s %s\n", text, options[i].help);
	}
}

static void print_help(const struct command *command)
{
	if (command) {
		printf("usage: fermata %s [OPTION...] %s\n\n%s\n", command->name, command->operands, command->help);
		print_options(command->options);
		printf("\nExit status: 0 done, 1 failed, 2 usage, 3 not found, 4 not authorised, 5 corrupt,\n"
		       "6 incompatible, 7 timeout, 8 busy.  More in fermata(1).\n");
		return;
	}
	printf("usage: fermata COMMAND [OPTION...] [OPERAND...]\n\n"
	       "Freeze a whole parallel job at one instant, look at what is kept, and remove it.\n\nCommands:\n");
	for (size_t i = 0; i < COUNT(commands); i++)
		printf("  %-7s %-15s %s\n", commands[i].name, commands[i].operands, commands[i].help);
	print_options(GLOBAL);
	printf("\n`fermata COMMAND --help` has the command's options.\n"
	       "A job is its number (1234), a snapshot has a dot (1234.3).\n");
}

/* getopt's table of the options in `which`. */
static void fill_getopt(unsigned which, struct option *table)
{
	size_t used = 0;

	for (size_t i = 0; i < COUNT(options); i++)
		if (which & BIT(options[i].id))
			table[used++] = (struct option){ options[i].name,
							 options[i].argument ? required_argument : no_argument, NULL,
							 (int)options[i].id };
	table[used] = (struct option){ 0 };
}

static int take_time(const char *name, int64_t *ms_r, struct fm_error *err)
{
	if (fm_duration_conf(optarg, ms_r, err) < 0)
		return fm_context(err, "--%s", name);
	if (*ms_r <= 0)
		return fm_fail(err, FM_USAGE, "--%s=%s: must be longer than nothing", name, optarg);
	return 0;
}

static int take_keep(int64_t *keep_r, struct fm_error *err)
{
	char *end;

	errno = 0;
	*keep_r = strtoll(optarg, &end, 10);
	if (end == optarg || *end || errno || *keep_r < 1 || *keep_r > KEEP_MAX)
		return fm_fail(err, FM_USAGE, "--keep=%s: a number from 1 to %d is wanted", optarg, KEEP_MAX);
	return 0;
}

static int take_option(struct cli *cli, enum option_id id, struct fm_error *err)
{
	switch (id) {
	case OPT_JSON:
		cli->json = true;
		break;
	case OPT_NODES:
		cli->nodes = optarg;
		break;
	case OPT_CONFIG:
		cli->config = optarg;
		break;
	case OPT_COMMENT:
		cli->comment = optarg;
		break;
	case OPT_DISK:
		cli->disk = optarg;
		break;
	case OPT_NO_WAIT:
		cli->no_wait = true;
		break;
	case OPT_TIMEOUT:
		return take_time("timeout", &cli->timeout_ms, err);
	case OPT_MAX_AGE:
		return take_time("max-age", &cli->max_age_ms, err);
	case OPT_KEEP:
		return take_keep(&cli->keep, err);
	case OPT_DRY_RUN:
		cli->dry_run = true;
		break;
	case OPT_DAMAGED:
		cli->damaged = true;
		break;
	case OPT_ENDED:
		cli->ended = true;
		break;
	case OPT_COMPACT:
		cli->compact = true;
		break;
	case OPT_QUIET:
		cli->quiet = true;
		break;
	case OPT_LEVELS:
		cli->levels = true;
		break;
	case OPT_REPAIR:
		cli->repair = true;
		break;
	case OPT_HELP:
	case OPT_VERSION:
		break;
	}
	return 0;
}

/* 0: go on; 1: --help was given; -1: usage. */
static int parse_options(const struct command *command, struct cli *cli, int argc, char **argv, struct fm_error *err)
{
	struct option table[COUNT(options) + 1];
	bool help = false;
	int c;

	fill_getopt(command->options, table);
	opterr = 0; /* the message is ours */
	while ((c = getopt_long(argc, argv, command->options & BIT(OPT_QUIET) ? "hq" : "h", table, NULL)) != -1) {
		if (c == '?')
			return fm_fail(err, FM_USAGE, "%s: no such option, or not given as `fermata %s --help` says",
				       argv[optind - 1], command->name);
		if (c == 'h' || c == OPT_HELP)
			help = true;
		else if (take_option(cli, c == 'q' ? OPT_QUIET : (enum option_id)c, err) < 0)
			return -1;
	}
	cli->operand_count = argc - optind;
	cli->operands = argv + optind;
	if (help)
		return 1;
	if (cli->operand_count < command->least || cli->operand_count > command->most)
		return fm_fail(err, FM_USAGE, "usage: fermata %s [OPTION...] %s", command->name, command->operands);
	return 0;
}

int cli_parse_job(const char *text, uint32_t *job_r, struct fm_error *err)
{
	struct fm_snapshot_id id;

	if (fm_snapshot_id_parse(text, &id, err) < 0)
		return -1;
	if (id.n)
		return fm_fail(err, FM_USAGE, "%s is a snapshot; the job alone is wanted here: %u", text, id.job);
	*job_r = id.job;
	return 0;
}

int cli_parse_snapshot(const char *text, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	if (fm_snapshot_id_parse(text, id_r, err) < 0)
		return -1;
	if (id_r->n == 0)
		return fm_fail(err, FM_USAGE, "name a snapshot, not a job: %u.1, say (`fermata list %u` shows them)",
			       id_r->job, id_r->job);
	return 0;
}

/* What can be done about it. */
static const char *advice(const struct fm_error *err)
{
	switch (err->code) {
	case FM_NOT_FOUND:
		if (strstr(err->text, "reach") || strstr(err->text, "no agent to ask"))
			return "Is fermatad running there (`systemctl status fermatad`)?  A host without one needs Agents= in "
			       "its fermata.conf.";
		return NULL;
	case FM_DENIED:
		return "Only the job's owner and the users in AdminUsers= may do that.";
	case FM_CORRUPT:
		return "Choose another snapshot (`fermata list`); `fermata verify` tells which members are damaged.";
	case FM_INCOMPATIBLE:
		return "`fermata status` shows what the nodes run.";
	case FM_BUSY:
		if (strstr(err->text, "unpin it first"))
			return "`fermata unpin JOB.N` does.";
		return "Try again when that is done; `fermata show JOB` tells.";
	default:
		return NULL;
	}
}

static void print_error(const char *command, const struct fm_error *err)
{
	FM_AUTO_FREE char *text = text_plain(err->text);

	fprintf(stderr, "fermata: %s%s%s\n", command ? command : "", command ? ": " : "", text ? text : "");
	if (advice(err))
		fprintf(stderr, "%s\n", advice(err));
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static int run_command(const struct command *command, int argc, char **argv, struct fm_error *err)
{
	struct cli cli = { 0 };
	int rc = parse_options(command, &cli, argc, argv, err);

	if (rc == 1) {
		print_help(command);
		return print_finish(err);
	}
	if (rc < 0)
		return -1;
	rc = fm_conf_load(&cli.conf, cli.config, err);
	if (rc == 0)
		rc = command->run(&cli, err);
	fm_conf_dispose(&cli.conf);
	if (rc == 0)
		return print_finish(err);
	fflush(stdout);
	return -1;
}

/* Options before the command: --help and --version. True: all is done. */
static bool global_option(const char *text)
{
	if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
		print_help(NULL);
		return true;
	}
	if (strcmp(text, "--version") == 0) {
		printf("fermata %s\n", PACKAGE_VERSION);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct fm_error err = { 0 };

	setlocale(LC_ALL, "");
	if (argc >= 2 && global_option(argv[1]))
		return print_finish(&err) < 0 ? FM_FAILED : FM_OK;
	command = argc >= 2 ? find_command(argv[1]) : NULL;
	if (!command) {
		fprintf(stderr, "fermata: %s%s; `fermata --help` lists the commands\n",
			argc < 2 ? "no command" : "there is no command ", argc < 2 ? "" : argv[1]);
		return FM_USAGE;
	}
	if (run_command(command, argc - 1, argv + 1, &err) == 0)
		return FM_OK;
	print_error(command->name, &err);
	return err.code ? (int)err.code : FM_FAILED;
}
