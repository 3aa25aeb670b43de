/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify.c - fermata verify JOB[.N]: read a whole snapshot and say what is damaged. */
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

static const struct table_column columns[] = {
	{ .title = "RANK", .right = true },
	{ .title = "NODE" },
	{ .title = "VERDICT" },
	{ .title = NULL },
};

static int row(struct table *table, struct json_object *m, struct fm_error *err)
{
	bool ok = fm_json_bool_or(m, "ok", false);

	if (table_row(table, err) < 0)
		return -1;
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(m, "rank", -1)));
	table_cell_copy(table, print_text_at(m, "node"));
	table_cell_copy(table, ok ? "ok" : print_text_at(m, "error"));
	return 0;
}

static int print_verdicts(struct json_object *members, struct fm_error *err)
{
	struct table *table = table_create(columns, err);
	int rc = table ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < json_object_array_length(members); i++)
		rc = row(table, json_object_array_get_idx(members, i), err);
	if (rc == 0)
		rc = table_print(table, err);
	table_destroy(table);
	return rc;
}

static size_t count_damaged(struct json_object *members)
{
	size_t damaged = 0;

	for (size_t i = 0; i < json_object_array_length(members); i++)
		damaged += !fm_json_bool_or(json_object_array_get_idx(members, i), "ok", false);
	return damaged;
}

int cli_verify(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL, *body = cli->repair ? json_object_new_object() : NULL;
	FM_AUTO_FREE char *path = NULL;
	struct json_object *members, *levels;
	struct fm_snapshot_id id;
	char name[24];
	bool ok;

	if (fm_snapshot_id_parse(cli->operands[0], &id, err) < 0)
		return -1;
	fm_snapshot_id_format(&id, name);
	path = fm_format("/v1/snapshots/%s/verify", name);
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (body)
		fm_json_set_bool(body, "repair", true);
	if (fm_http_call_any(&cli->conf, cli->nodes, "POST", path, body, (long)cli->timeout_ms, &reply, err) < 0 ||
	    fm_json_array(reply, "members", SIZE_MAX, &members, err) < 0 || fm_json_bool(reply, "ok", &ok, err) < 0)
		return -1;
	levels = print_at(reply, "levels");
	if (cli->json ? print_json(reply, err) < 0 : print_verdicts(members, err) < 0 || print_level_verdicts(levels, err) < 0)
		return -1;
	if (!ok && !count_damaged(members))
		return fm_fail(err, FM_CORRUPT, "snapshot %s can be restored, but is not on every level as it is to be%s", name,
			       levels_have_damage(levels) && !cli->repair ? " (--repair puts it right)" : "");
	if (!ok)
		return fm_fail(err, FM_CORRUPT, "snapshot %s is damaged: %zu of %zu members do not verify", name,
			       count_damaged(members), json_object_array_length(members));
	if (!cli->json)
		printf("%s verifies (%.1f s)\n", *print_text_at(reply, "snapshot") ? print_text_at(reply, "snapshot") : name,
		       print_number_at(reply, "seconds"));
	return 0;
}
