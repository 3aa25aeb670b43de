/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * show.c - fermata show JOB[.N]: one snapshot; for a job what it does now and its
 * newest whole snapshot.
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
	{ .title = "RANK", .right = true },
	{ .title = "NODE" },
	{ .title = "TYPE" },
	{ .title = "SIZE", .right = true },
	{ .title = "STATE OF", .right = true },
	{ .title = "STOPPED", .right = true },
	{ .title = "HELD FRAMES", .right = true },
	{ .title = "ZERO", .right = true },
	{ .title = "KNOWN", .right = true },
	{ .title = "NEW", .right = true },
	{ .title = NULL },
};

static int member_row(struct table *table, struct json_object *m, struct fm_error *err)
{
	if (table_row(table, err) < 0)
		return -1;
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(m, "rank", -1)));
	table_cell_copy(table, print_text_at(m, "node"));
	table_cell(table, fm_format("%s%s", print_text_at(m, "type"),
				    fm_json_bool_or(m, "live", true) ? "" : " (not live)"));
	table_cell(table, text_size(fm_json_int_or(m, "bytes", 0)));
	table_cell(table, text_size(fm_json_int_or(m, "raw_bytes", 0)));
	table_cell(table, text_ms(print_number_at(m, "stop_ms")));
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(m, "held_frames", 0)));
	table_cell(table, print_share(m, "zero_pages"));
	table_cell(table, print_share(m, "known_pages"));
	table_cell(table, print_share(m, "stored_pages"));
	return 0;
}

static int print_members(struct json_object *members, struct fm_error *err)
{
	struct table *table = table_create(columns, err);
	int rc = table ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < json_object_array_length(members); i++)
		rc = member_row(table, json_object_array_get_idx(members, i), err);
	if (rc == 0) {
		putchar('\n');
		rc = table_print(table, err);
	}
	table_destroy(table);
	return rc;
}

static char *ms_at(struct json_object *o, const char *key)
{
	return print_at(o, key) ? text_ms(print_number_at(o, key)) : NULL;
}

static void print_notes(struct json_object *notes)
{
	if (!json_object_is_type(notes, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(notes); i++) {
		const char *note = json_object_get_string(json_object_array_get_idx(notes, i));

		print_field(i ? "" : "Notes", note ? strdup(note) : NULL);
	}
}

/* "markers, at most 3.1 ms (FlushBound 20 ms)" */
static char *drained(struct json_object *s)
{
	FM_AUTO_FREE char *marker = ms_at(s, "marker_ms_max"), *bound = ms_at(s, "flush_bound_ms");
	const char *how = print_text_at(s, "drain");

	if (!*how)
		return NULL;
	return fm_format("%s%s%s%s%s%s", how, marker ? ", at most " : "", marker ? marker : "", bound ? " (FlushBound " : "",
			 bound ? bound : "", bound ? ")" : "");
}

/* "by alice, 2026-01-31 13:00:00: for the paper" */
static char *pinned(struct json_object *pin)
{
	FM_AUTO_FREE char *when = text_time(print_text_at(pin, "when"));
	const char *by = print_text_at(pin, "by"), *comment = print_text_at(pin, "comment");

	if (!pin)
		return NULL;
	return fm_format("%s%s%s%s%s%s", *by ? "by " : "yes", by, when && *when ? ", " : "", when ? when : "",
			 *comment ? ": " : "", comment);
}

/* "level second: StoreDir does not have it" */
static char *only_on(struct json_object *s)
{
	const char *level = print_text_at(s, "only_on");

	return *level ? fm_format("level %s: StoreDir does not have it; a restore fetches it", level) : NULL;
}

static int print_snapshot(struct json_object *s, struct fm_error *err)
{
	struct json_object *job = print_at(s, "job"), *members = print_at(s, "members");

	print_field("Snapshot", strdup(print_text_at(s, "snapshot")));
	print_field("State", fm_format("%s%s%s", print_text_at(s, "state"), print_at(s, "round") ? ", round " : "",
				       print_text_at(s, "round")));
	print_field("Error", strdup(print_text_at(s, "error")));
	print_field("Created", text_time(print_text_at(s, "created")));
	print_field("Comment", strdup(print_text_at(s, "comment")));
	print_field("Pinned", pinned(print_at(s, "pinned")));
	print_field("Job", fm_format("%lld%s%s, of %s", (long long)fm_json_int_or(job, "job", 0),
				     *print_text_at(job, "name") ? " " : "", print_text_at(job, "name"),
				     print_text_at(job, "user")));
	print_field("Nodes", print_names(print_at(job, "nodes")));
	print_field("Image", strdup(print_text_at(job, "image")));
	print_field("Took", ms_at(s, "create_ms"));
	print_field("Stopped", ms_at(s, "stop_ms"));
	print_field("Skew", ms_at(s, "skew_ms"));
	print_field("Drained", drained(s));
	if (print_at(s, "bytes"))
		print_field("Size", text_size(fm_json_int_or(s, "bytes", 0)));
	print_field("Folder", strdup(print_text_at(s, "dir")));
	print_field("Only on", only_on(s));
	print_levels(print_at(s, "levels"));
	print_notes(print_at(s, "notes"));
	if (!json_object_is_type(members, json_type_array) || !json_object_array_length(members))
		return 0;
	return print_members(members, err);
}

/* "1234.3 running, save" */
static char *snapshot_line(struct json_object *s)
{
	const char *more = *print_text_at(s, "error") ? print_text_at(s, "error") : print_text_at(s, "round");

	return fm_format("%s %s%s%s", print_text_at(s, "id"), print_text_at(s, "state"), *more ? ", " : "", more);
}

static void print_job(struct json_object *job)
{
	struct json_object *snapshot = print_at(job, "snapshot");

	print_field("Job", fm_format("%lld, of %s", (long long)fm_json_int_or(job, "job", 0), print_text_at(job, "user")));
	print_field("State", strdup(print_text_at(job, "state")));
	print_field("Error", strdup(print_text_at(job, "error")));
	print_field("Last error", strdup(print_text_at(job, "last_error")));
	print_field("Nodes", print_names(print_at(job, "nodes")));
	print_field("Lead", strdup(print_text_at(job, "lead")));
	print_field("Image", strdup(print_text_at(job, "image")));
	print_field("Restored", print_restored(job));
	if (fm_json_int_or(job, "interval_s", 0) > 0)
		print_field("Interval", text_seconds((double)fm_json_int_or(job, "interval_s", 0)));
	if (fm_json_int_or(job, "keep", 0) > 0)
		print_field("Keeps", fm_format("%lld", (long long)fm_json_int_or(job, "keep", 0)));
	if (fm_json_int_or(job, "max_age_s", 0) > 0)
		print_field("Max age", text_seconds((double)fm_json_int_or(job, "max_age_s", 0)));
	if (fm_json_bool_or(job, "checkpoint_disabled", false))
		print_field("Snapshots", strdup("disabled"));
	print_field("Saving", print_saving(print_at(job, "saving")));
	print_field("Compacted", print_compacted(print_at(job, "compacted")));
	if (snapshot)
		print_field("Snapshot", snapshot_line(snapshot));
	putchar('\n');
}

static int get_snapshot(struct cli *cli, const struct fm_snapshot_id *id, const char *nodes,
			struct json_object **snapshot_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = NULL;
	char name[24];

	fm_snapshot_id_format(id, name);
	path = fm_format("/v1/snapshots/%s?disks=1", name);
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	/* One that is being made is known to the job's own agents only… */
	if (fm_http_call_job(&cli->conf, id->job, nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, snapshot_r, err) == 0)
		return 0;
	if (err->code != FM_NOT_FOUND)
		return -1;
	/* …and when none has it, any agent says best what there is. */
	return fm_http_call_any(&cli->conf, nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, snapshot_r, err);
}

static int show_job(struct cli *cli, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *job = NULL, *snapshot = NULL, *both = NULL;
	FM_AUTO_FREE char *path = fm_format("/v1/jobs/%u", id->job);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_http_call_job(&cli->conf, id->job, cli->nodes, "GET", path, NULL, CLI_CALL_TIMEOUT_MS, &job, err) < 0 &&
	    err->code != FM_NOT_FOUND)
		return -1;
	/* A job without a VM may have left snapshots, and the other way round; one of both must be there. */
	if (get_snapshot(cli, id, cli->nodes, &snapshot, err) < 0 && (err->code != FM_NOT_FOUND || !job))
		return -1;
	if (cli->json) {
		both = json_object_new_object();
		json_object_object_add(both, "job", json_object_get(job));
		json_object_object_add(both, "snapshot", json_object_get(snapshot));
		return print_json(both, err);
	}
	if (job)
		print_job(job);
	if (snapshot)
		return print_snapshot(snapshot, err);
	puts("No snapshot yet.");
	return 0;
}

int cli_show(struct cli *cli, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *snapshot = NULL;
	struct fm_snapshot_id id;

	if (fm_snapshot_id_parse(cli->operands[0], &id, err) < 0)
		return -1;
	if (id.n == 0)
		return show_job(cli, &id, err);
	if (get_snapshot(cli, &id, cli->nodes, &snapshot, err) < 0)
		return -1;
	return cli->json ? print_json(snapshot, err) : print_snapshot(snapshot, err);
}
