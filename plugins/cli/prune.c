/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prune.c - fermata prune [JOB]: remove what the rules do not keep, and what nobody needs any more.
 *
 * What could not be done for a job does not keep the others from it; the first such reason is the command's error, in
 * the end. That pages were in use is none: they are the next one's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/levels.h"
#include "plugins/cli/print.h"
#include "plugins/cli/table.h"
#include "plugins/cli/text.h"

static const struct table_column columns[] = {
	{ .title = "SNAPSHOT" },
	{ .title = "CREATED" },
	{ .title = "STATE" },
	{ .title = "DONE" },
	{ .title = "REASON" },
	{ .title = NULL },
};

static int row(struct table *table, struct json_object *s, bool dry_run, struct fm_error *err)
{
	bool removed = fm_json_bool_or(s, "removed", false), failed = *print_text_at(s, "error") != '\0';

	if (table_row(table, err) < 0)
		return -1;
	table_cell_copy(table, print_text_at(s, "snapshot"));
	table_cell(table, text_time(print_text_at(s, "created")));
	table_cell_copy(table, print_text_at(s, "state"));
	table_cell_copy(table, failed ? "failed" : !removed ? "kept" : dry_run ? "would remove" : "removed");
	table_cell_copy(table, failed ? print_text_at(s, "error") : print_text_at(s, "reason"));
	return 0;
}

static size_t length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static int print_snapshots(struct json_object *jobs, bool dry_run, struct fm_error *err)
{
	struct table *table = table_create(columns, err);
	size_t rows = 0;
	int rc = table ? 0 : -1;

	for (size_t i = 0; i < length(jobs); i++) {
		struct json_object *list = print_at(json_object_array_get_idx(jobs, i), "snapshots");

		for (size_t s = 0; rc == 0 && s < length(list); s++, rows++)
			rc = row(table, json_object_array_get_idx(list, s), dry_run, err);
	}
	if (rc == 0 && rows > 0)
		rc = table_print(table, err);
	table_destroy(table);
	return rc;
}

/* What is to be said of a job besides its snapshots. */
static void print_notes(struct json_object *job, bool dry_run)
{
	struct json_object *sweep = print_at(job, "sweep");
	long long number = (long long)fm_json_int_or(job, "job", 0);

	if (fm_json_bool_or(job, "folder_removed", false))
		printf("job %lld: %s its script and all that was left\n", number, dry_run ? "would remove" : "removed");
	else if (*print_text_at(job, "folder_reason"))
		printf("job %lld: its folder stays: %s\n", number, print_text_at(job, "folder_reason"));
	if (fm_json_int_or(sweep, "damaged", 0) > 0)
		printf("job %lld: packs that are damaged: %lld; %s\n", number,
		       (long long)fm_json_int_or(sweep, "damaged", 0), print_text_at(sweep, "damaged_text"));
	levels_print_trim(number, print_at(job, "levels"), dry_run);
	if (*print_text_at(job, "levels_error"))
		printf("job %lld: on its levels it is for later: %s\n", number, print_text_at(job, "levels_error"));
	if (fm_json_bool_or(sweep, "given_way", false))
		printf("job %lld: its pages are for the next time: a snapshot or a restore was waiting\n", number);
	else if (fm_json_int_or(job, "sweep_code", 0) == FM_BUSY)
		printf("job %lld: its pages are for the next time: %s\n", number, print_text_at(job, "sweep_error"));
}

static void print_sum(struct json_object *reply, bool dry_run)
{
	FM_AUTO_FREE char *size = text_size(fm_json_int_or(reply, "freed", 0));
	long long removed = (long long)fm_json_int_or(reply, "removed", 0);

	printf("%lld snapshot%s %s, %s %sfreed\n", removed, removed == 1 ? "" : "s",
	       dry_run ? "would be removed" : "removed", size ? size : "?", dry_run ? "would be " : "");
}

/* The first thing that went wrong. */
static int outcome(struct json_object *jobs, struct fm_error *err)
{
	for (size_t i = 0; i < length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i), *list = print_at(job, "snapshots");
		int64_t code = fm_json_int_or(job, "sweep_code", 0);

		if (*print_text_at(job, "error"))
			return fm_fail(err, (enum fm_code)fm_json_int_or(job, "code", FM_FAILED), "%s",
				       print_text_at(job, "error"));
		for (size_t s = 0; s < length(list); s++) {
			struct json_object *o = json_object_array_get_idx(list, s);

			if (*print_text_at(o, "error"))
				return fm_fail(err, FM_FAILED, "%s: %s", print_text_at(o, "snapshot"),
					       print_text_at(o, "error"));
		}
		if (code != FM_OK && code != FM_BUSY)
			return fm_fail(err, (enum fm_code)code, "%s", print_text_at(job, "sweep_error"));
	}
	return 0;
}

static struct json_object *wishes(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object();
	uint32_t job = 0;

	if (cli->operand_count && cli_parse_job(cli->operands[0], &job, err) < 0)
		return NULL;
	if (cli->ended && !job) {
		fm_fail(err, FM_USAGE, "--ended: which job has? Name it");
		return NULL;
	}
	if (job)
		fm_json_set_int(body, "job", job);
	if (cli->keep)
		fm_json_set_int(body, "keep", cli->keep);
	if (cli->max_age_ms)
		fm_json_set_int(body, "max_age_s", (cli->max_age_ms + 999) / 1000);
	fm_json_set_bool(body, "dry_run", cli->dry_run);
	fm_json_set_bool(body, "damaged", cli->damaged);
	fm_json_set_bool(body, "ended", cli->ended);
	fm_json_set_bool(body, "compact", cli->compact);
	return fm_steal_ptr(&body);
}

/* The caller says that it has ended; an agent that still has a VM of it knows better. */
static int check_ended(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	FM_AUTO_FREE char *path = fm_format("/v1/jobs/%s", cli->operands[0]);
	struct fm_snapshot_id id;

	if (fm_snapshot_id_parse(cli->operands[0], &id, err) < 0 || !path)
		return -1;
	if (fm_http_call_job(&cli->conf, id.job, cli->nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, &reply, err) == 0)
		return fm_fail(err, FM_BUSY, "job %u has not ended: it is %s on %s", id.job, print_text_at(reply, "state"),
			       print_text_at(reply, "node"));
	return err->code == FM_NOT_FOUND ? 0 : -1;
}

int cli_prune(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = wishes(cli, err), *reply = NULL;
	struct json_object *jobs;
	bool dry_run;

	if (!body || (cli->ended && check_ended(cli, err) < 0))
		return -1;
	if (fm_http_call_any(&cli->conf, cli->nodes, "POST", "/v1/prune", body, (long)cli->timeout_ms, &reply, err) < 0 ||
	    fm_json_array(reply, "jobs", SIZE_MAX, &jobs, err) < 0)
		return -1;
	dry_run = fm_json_bool_or(reply, "dry_run", false);
	if (cli->json) {
		if (print_json(reply, err) < 0)
			return -1;
	} else {
		if (print_snapshots(jobs, dry_run, err) < 0)
			return -1;
		for (size_t i = 0; i < length(jobs); i++)
			print_notes(json_object_array_get_idx(jobs, i), dry_run);
		print_sum(reply, dry_run);
	}
	return outcome(jobs, err);
}
