/* SPDX-License-Identifier: GPL-2.0-or-later */
/* print.c - see print.h. */
#include "config.h"

#include "plugins/cli/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/cli/text.h"

int print_json(struct json_object *o, struct fm_error *err)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text || puts(text) == EOF)
		return fm_fail(err, FM_FAILED, "cannot write: %s", strerror(errno));
	return 0;
}

void print_field(const char *label, char *value)
{
	FM_AUTO_FREE char *plain = value ? text_plain(value) : NULL;

	if (plain && *plain)
		printf("%-12s %s\n", label, plain);
	free(value);
}

struct json_object *print_at(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

const char *print_text_at(struct json_object *o, const char *key)
{
	return fm_json_string_or(o, key, "");
}

double print_number_at(struct json_object *o, const char *key)
{
	struct json_object *v = print_at(o, key);

	return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double) ?
		       json_object_get_double(v) : 0;
}

char *print_names(struct json_object *array)
{
	char *names = strdup("");

	if (!json_object_is_type(array, json_type_array))
		return names;
	for (size_t i = 0; names && i < json_object_array_length(array); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(array, i));
		char *more = fm_format("%s%s%s", names, i ? "," : "", name ? name : "");

		free(names);
		names = more;
	}
	return names;
}

int print_finish(struct fm_error *err)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return fm_fail(err, FM_FAILED, "cannot write the output: %s", strerror(errno));
	return 0;
}

char *print_share(struct json_object *pages, const char *key)
{
	double all = print_number_at(pages, "zero_pages") + print_number_at(pages, "known_pages") +
		     print_number_at(pages, "stored_pages");

	return fm_format("%.0f%%", all > 0 ? 100 * print_number_at(pages, key) / all : 0);
}

char *print_compacted(struct json_object *o)
{
	FM_AUTO_FREE char *before = text_size(fm_json_int_or(o, "before", 0));
	FM_AUTO_FREE char *after = text_size(fm_json_int_or(o, "after", 0));
	FM_AUTO_FREE char *error = text_plain(print_text_at(o, "error"));
	const char *state = print_text_at(o, "state");

	if (!o || !before || !after || !error)
		return NULL;
	if (strcmp(state, "done") == 0)
		return fm_format("%s, of %s", after, before);
	return fm_format("%s%s%s", state, *error ? ": " : "", error);
}

char *print_saving(struct json_object *saving)
{
	FM_AUTO_FREE char *read = text_size((int64_t)print_number_at(saving, "pages") * 4096);
	FM_AUTO_FREE char *of = text_size((int64_t)print_number_at(saving, "raw_bytes"));
	FM_AUTO_FREE char *new = text_size((int64_t)print_number_at(saving, "stored_bytes"));
	FM_AUTO_FREE char *zero = print_share(saving, "zero_pages"), *known = print_share(saving, "known_pages");

	if (!saving || !read || !of || !new || !zero || !known)
		return NULL;
	return fm_format("%s of %s read, %s new, %s zero, %s known", read, of, new, zero, known);
}
