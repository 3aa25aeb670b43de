/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.c - fermata pin JOB.N, fermata unpin JOB.N: a snapshot that nobody and no rule removes, until it is unpinned. */
#include "config.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"

static int call(struct cli *cli, const char *method, struct json_object **reply_r, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = NULL;
	FM_AUTO_FREE char *path = NULL;
	struct fm_snapshot_id id;

	if (cli_parse_snapshot(cli->operands[0], &id, err) < 0)
		return -1;
	path = fm_format("/v1/snapshots/%u.%u/pin", id.job, id.n);
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (cli->comment) {
		body = json_object_new_object();
		fm_json_set_string(body, "comment", cli->comment);
	}
	return fm_http_call_any(&cli->conf, cli->nodes, method, path, body, CLI_CALL_TIMEOUT_MS, reply_r, err);
}

int cli_pin(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;

	if (call(cli, "POST", &reply, err) < 0)
		return -1;
	if (cli->json)
		return print_json(reply, err);
	printf("%s pinned\n", cli->operands[0]);
	return 0;
}

int cli_unpin(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;

	if (call(cli, "DELETE", &reply, err) < 0)
		return -1;
	if (cli->json)
		return print_json(reply, err);
	printf("%s unpinned\n", cli->operands[0]);
	return 0;
}
