/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rm.c - fermata rm JOB.N…: remove snapshots, one after another. */
#include "config.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"

static int remove_one(struct cli *cli, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("/v1/snapshots/%u.%u", id->job, id->n);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_http_call_any(&cli->conf, cli->nodes, "DELETE", path, NULL,
				cli->timeout_ms ? (long)cli->timeout_ms : CLI_CALL_TIMEOUT_MS, NULL, err);
}

int cli_rm(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = json_object_new_object();
	struct json_object *removed = json_object_new_array();
	struct fm_snapshot_id id;
	int rc = 0;

	json_object_object_add(reply, "removed", removed);
	for (int i = 0; i < cli->operand_count; i++) /* all or nothing for what can be seen beforehand */
		if (cli_parse_snapshot(cli->operands[i], &id, err) < 0)
			return -1;
	for (int i = 0; rc == 0 && i < cli->operand_count; i++) {
		rc = cli_parse_snapshot(cli->operands[i], &id, err);
		if (rc == 0)
			rc = remove_one(cli, &id, err);
		if (rc < 0)
			fm_context(err, "%s", cli->operands[i]);
		else
			json_object_array_add(removed, json_object_new_string(cli->operands[i]));
	}
	if (cli->json) {
		struct fm_error ignored;

		return print_json(reply, rc < 0 ? &ignored : err) < 0 || rc < 0 ? -1 : 0;
	}
	for (size_t i = 0; i < json_object_array_length(removed); i++)
		printf("removed %s\n", json_object_get_string(json_object_array_get_idx(removed, i)));
	return rc;
}
