/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli.h - the `fermata` command: one table entry a command, one file a command.
 *
 * A command gets its operands and the options that were given, calls the agent
 * and prints to stdout.  It returns 0, or -1 with err; main prints the error
 * with advice and exits with its code (enum fm_code).
 */
#ifndef FM_CLI_H
#define FM_CLI_H

#include <stdbool.h>

#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

struct cli {
	struct fm_conf conf;
	const char *config; /* NULL: the default file */
	const char *nodes;  /* hostlist whose agents are asked before Agents=, may be NULL */
	const char *comment;
	const char *disk; /* NULL: not given */
	bool json;
	bool quiet;
	bool no_wait;
	int64_t timeout_ms; /* 0: wait as long as it takes */
	int64_t keep;       /* 0: not given */
	int64_t max_age_ms; /* 0: not given */
	bool dry_run, damaged, ended, compact, levels, repair;
	int operand_count;
	char **operands;
};

int cli_list(struct cli *cli, struct fm_error *err);
int cli_show(struct cli *cli, struct fm_error *err);
int cli_create(struct cli *cli, struct fm_error *err);
int cli_rm(struct cli *cli, struct fm_error *err);
int cli_export(struct cli *cli, struct fm_error *err);
int cli_verify(struct cli *cli, struct fm_error *err);
int cli_pin(struct cli *cli, struct fm_error *err);
int cli_unpin(struct cli *cli, struct fm_error *err);
int cli_prune(struct cli *cli, struct fm_error *err);
int cli_status(struct cli *cli, struct fm_error *err);

/* A job's number (no ".n"). */
int cli_parse_job(const char *text, uint32_t *job_r, struct fm_error *err);
/* A snapshot's id with its number: a job's alone would mean its newest, which is rarely what is meant. */
int cli_parse_snapshot(const char *text, struct fm_snapshot_id *id_r, struct fm_error *err);

#define CLI_CALL_TIMEOUT_MS 30000L /* of calls that the agent answers at once */

#endif
