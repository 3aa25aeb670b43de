/* SPDX-License-Identifier: GPL-2.0-or-later */
/* list.c - fermata list [JOB]: the snapshots there are. */
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

#define LEVELS_TIMEOUT_MS 300000L /* each manifest is asked for */

static const struct table_column columns[] = {
	{ .title = "SNAPSHOT" },
	{ .title = "CREATED" },
	{ .title = "USER" },
	{ .title = "NAME", .trunc = true },
	{ .title = "NODES", .right = true },
	{ .title = "SIZE", .right = true },
	{ .title = "STOPPED", .right = true },
	{ .title = "STATE" },
	{ .title = "COMMENT", .trunc = true },
	{ .title = NULL },
};

static int row(struct table *table, struct json_object *s, struct fm_error *err)
{
	struct json_object *job = print_at(s, "job"), *members = print_at(s, "members");
	bool known = members != NULL; /* of a damaged one nothing but its name is */
	FM_AUTO_FREE char *on = levels_farthest(s);

	if (table_row(table, err) < 0)
		return -1;
	table_cell_copy(table, print_text_at(s, "snapshot"));
	table_cell(table, text_time(print_text_at(s, "created")));
	table_cell_copy(table, print_text_at(job, "user"));
	table_cell_copy(table, print_text_at(job, "name"));
	table_cell(table, known ? fm_format("%zu", json_object_array_length(members)) : strdup(""));
	table_cell(table, known ? text_size(fm_json_int_or(s, "bytes", 0)) : strdup(""));
	table_cell(table, known ? text_ms(print_number_at(s, "stop_ms")) : strdup(""));
	table_cell(table, fm_format("%s%s%s", print_text_at(s, "state"), print_at(s, "pinned") ? ", pinned" : "",
				    on ? on : ""));
	table_cell_copy(table, print_text_at(s, "comment"));
	return 0;
}

static int print_list(struct json_object *list, struct fm_error *err)
{
	struct table *table = table_create(columns, err);
	int rc = table ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < json_object_array_length(list); i++)
		rc = row(table, json_object_array_get_idx(list, i), err);
	if (rc == 0)
		rc = table_print(table, err);
	table_destroy(table);
	return rc;
}

int cli_list(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	FM_AUTO_FREE char *path = NULL;
	struct json_object *list;
	uint32_t job = 0;
	char of[24] = "";

	if (cli->operand_count && cli_parse_job(cli->operands[0], &job, err) < 0)
		return -1;
	if (job)
		snprintf(of, sizeof(of), "job=%u", job);
	path = fm_format("/v1/snapshots%s%s%s", *of || cli->levels ? "?" : "", of, cli->levels ? *of ? "&levels=1" : "levels=1" : "");
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_http_call_any(&cli->conf, cli->nodes, "GET", path, NULL, cli->levels ? LEVELS_TIMEOUT_MS : CLI_CALL_TIMEOUT_MS,
			     &reply, err) < 0 ||
	    fm_json_array(reply, "snapshots", SIZE_MAX, &list, err) < 0)
		return -1;
	if (cli->json)
		return print_json(reply, err);
	levels_warn(print_at(reply, "level_errors"));
	if (json_object_array_length(list))
		return print_list(list, err);
	if (job)
		fprintf(stderr, "fermata: job %u has no snapshots of yours\n", job);
	else
		fprintf(stderr, "fermata: there are no snapshots of yours\n");
	return 0;
}
