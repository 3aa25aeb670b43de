/* SPDX-License-Identifier: GPL-2.0-or-later */
/* levels.c - see levels.h. */
#include "config.h"

#include "plugins/cli/levels.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/cli/print.h"
#include "plugins/cli/table.h"
#include "plugins/cli/text.h"

static size_t length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static bool is_state(struct json_object *level, const char *state)
{
	return strcmp(print_text_at(level, "state"), state) == 0;
}

/* ---- show --------------------------------------------------------------------------------- */

static char *state_of(struct json_object *level)
{
	FM_AUTO_FREE char *since = text_time(print_text_at(level, "since"));
	FM_AUTO_FREE char *bytes = text_size(fm_json_int_or(level, "bytes", 0));
	int64_t done = fm_json_int_or(level, "done", 0), total = fm_json_int_or(level, "total", 0);

	if (is_state(level, "whole"))
		return since && *since ? fm_format("whole since %s, %s", since, bytes ? bytes : "?") : strdup("whole");
	if (is_state(level, "copying"))
		return total > 0 ? fm_format("copying, %lld %%", (long long)(done * 100 / total)) : strdup("copying");
	if (*print_text_at(level, "error"))
		return fm_format("%s: %s", print_text_at(level, "state"), print_text_at(level, "error"));
	return strdup(print_text_at(level, "state"));
}

void print_levels(struct json_object *levels)
{
	for (size_t i = 0; i < length(levels); i++) {
		struct json_object *level = json_object_array_get_idx(levels, i);
		FM_AUTO_FREE char *state = state_of(level);

		print_field(i ? "" : "Levels", fm_format("%s (%s): %s", print_text_at(level, "name"), print_text_at(level, "where"),
							 state ? state : "?"));
		for (size_t k = 0; k < length(print_at(level, "notes")); k++)
			print_field("", strdup(json_object_get_string(json_object_array_get_idx(print_at(level, "notes"), k))));
	}
}

char *levels_farthest(struct json_object *snapshot)
{
	struct json_object *levels = print_at(snapshot, "levels");

	if (*print_text_at(snapshot, "only_on"))
		return fm_format(", only on %s", print_text_at(snapshot, "only_on"));
	for (size_t i = length(levels); i-- > 0;) {
		struct json_object *level = json_object_array_get_idx(levels, i);

		if (is_state(level, "whole"))
			return fm_format(", on %s", print_text_at(level, "name"));
	}
	return NULL;
}

void levels_warn(struct json_object *errors)
{
	for (size_t i = 0; i < length(errors); i++) {
		struct json_object *o = json_object_array_get_idx(errors, i);
		FM_AUTO_FREE char *text = text_plain(print_text_at(o, "error"));

		fprintf(stderr, "fermata: level %s could not be asked: %s\n", print_text_at(o, "name"), text ? text : "?");
	}
}

char *print_restored(struct json_object *job)
{
	const char *from = print_text_at(job, "restored_from"), *level = print_text_at(job, "restored_level");
	const char *obtained = print_text_at(print_at(job, "obtained"), "level"); /* where there are nodes' own disks */
	FM_AUTO_FREE char *bytes = text_size(fm_json_int_or(job, "fetched_bytes", 0));
	long long files = (long long)fm_json_int_or(job, "fetched_files", 0);

	if (!*from)
		return NULL;
	if (!*level)
		return strdup(from);
	if (!files)
		return fm_format("%s from %s%s", from, *obtained ? "level " : "", *obtained ? obtained : level);
	return fm_format("%s from level %s (%lld file%s, %s fetched)", from, level, files, files == 1 ? "" : "s", bytes ? bytes : "?");
}

/* ---- verify ---------------------------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ .title = "LEVEL" },
	{ .title = "FILES", .right = true },
	{ .title = "READ", .right = true },
	{ .title = "TIME", .right = true },
	{ .title = "PER SECOND", .right = true },
	{ .title = "VERDICT" },
	{ .title = NULL },
};

static size_t damaged_in(struct json_object *level)
{
	return length(print_at(level, "damaged"));
}

bool levels_have_damage(struct json_object *levels)
{
	for (size_t i = 0; i < length(levels); i++)
		if (damaged_in(json_object_array_get_idx(levels, i)))
			return true;
	return false;
}

static char *verdict_of(struct json_object *level)
{
	long long to_come = (long long)fm_json_int_or(level, "to_come", 0);
	size_t damaged = damaged_in(level);

	if (is_state(level, "absent") && to_come)
		return fm_format("%lld pack%s not there (yet)", to_come, to_come == 1 ? "" : "s");
	if (is_state(level, "absent") && *print_text_at(level, "error"))
		return fm_format("not there (yet): %s", print_text_at(level, "error"));
	if (*print_text_at(level, "error"))
		return fm_format("%s: %s", print_text_at(level, "state"), print_text_at(level, "error"));
	if (is_state(level, "whole"))
		return damaged ? fm_format("repaired: %zu damaged", damaged) : strdup("ok");
	if (is_state(level, "absent"))
		return strdup("not there (yet)");
	return fm_format("%s: %zu file%s", print_text_at(level, "state"), damaged, damaged == 1 ? "" : "s");
}

static int row(struct table *table, struct json_object *level, struct fm_error *err)
{
	double seconds = print_number_at(level, "seconds");
	int64_t bytes = fm_json_int_or(level, "bytes", 0);

	if (table_row(table, err) < 0)
		return -1;
	table_cell_copy(table, print_text_at(level, "name"));
	table_cell(table, fm_format("%lld", (long long)fm_json_int_or(level, "files", 0)));
	table_cell(table, text_size(bytes));
	table_cell(table, fm_format("%.1f s", seconds));
	table_cell(table, seconds > 0 ? text_size((int64_t)((double)bytes / seconds)) : strdup(""));
	table_cell(table, verdict_of(level));
	return 0;
}

static void print_damaged(struct json_object *level)
{
	struct json_object *list = print_at(level, "damaged");

	for (size_t i = 0; i < length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		FM_AUTO_FREE char *why = text_plain(print_text_at(o, "error")), *not = text_plain(print_text_at(o, "repair_error"));

		printf("%s: %s%s%s: %s\n", print_text_at(level, "name"), print_text_at(o, "node"), *print_text_at(o, "node") ? ": " : "",
		       print_text_at(o, "file"), why ? why : "?");
		if (*print_text_at(o, "repaired"))
			printf("  repaired from %s\n", print_text_at(o, "repaired"));
		else if (not && *not)
			printf("  not repaired: %s\n", not);
	}
}

int print_level_verdicts(struct json_object *levels, struct fm_error *err)
{
	struct table *table = length(levels) ? table_create(columns, err) : NULL;
	int rc = table || !length(levels) ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < length(levels); i++)
		rc = row(table, json_object_array_get_idx(levels, i), err);
	if (rc == 0 && table) {
		putchar('\n');
		rc = table_print(table, err);
	}
	table_destroy(table);
	for (size_t i = 0; rc == 0 && i < length(levels); i++)
		print_damaged(json_object_array_get_idx(levels, i));
	return rc;
}

/* ---- prune -------------------------------------------------------------------------------------- */

void levels_print_trim(long long job, struct json_object *levels, int dry_run)
{
	for (size_t i = 0; i < length(levels); i++) {
		struct json_object *o = json_object_array_get_idx(levels, i);
		FM_AUTO_FREE char *size = text_size(fm_json_int_or(o, "freed", 0));

		printf("job %lld: level %s: %lld snapshot%s, %s %s\n", job, print_text_at(o, "name"),
		       (long long)fm_json_int_or(o, "removed", 0), fm_json_int_or(o, "removed", 0) == 1 ? "" : "s",
		       size ? size : "?", dry_run ? "would be removed" : "removed");
	}
}
