/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schema.c - see schema.h.  Depth is bounded by the tables, not by the input. */
#include "config.h"

#include "agent/store/schema.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool schema_hex64(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

bool schema_component(const char *text)
{
	if (!*text || *text == '.' || strlen(text) > 63)
		return false;
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p == '/' || iscntrl(*p))
			return false;
	return true;
}

bool schema_word(const char *text)
{
	if (!*text || *text == '.' || *text == '-')
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("._-", *text))
			return false;
	return true;
}

bool schema_ipv4(const char *text)
{
	struct in_addr ip;

	return inet_pton(AF_INET, text, &ip) == 1;
}

bool schema_mac(const char *text)
{
	if (strlen(text) != 17)
		return false;
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	return true;
}

bool schema_utc(const char *text)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	size_t i = 0;

	for (; shape[i]; i++)
		if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	if (text[i] == '.')
		i += 1 + strspn(text + i + 1, "0123456789");
	return strcmp(text + i, "Z") == 0;
}

static int check_value(struct json_object *v, const struct schema *s, struct fm_error *err);

static int check_range(double value, const struct schema *s, struct fm_error *err)
{
	if (!isfinite(value) || value < (double)s->min || value > (double)s->max)
		return fm_fail(err, FM_CORRUPT, "is %g, not within %" PRId64 " to %" PRId64, value,
			       s->min, s->max);
	return 0;
}

static int check_int(struct json_object *v, const struct schema *s, struct fm_error *err)
{
	int64_t value = json_object_get_int64(v); /* json-c clamps; no table allows INT64_MAX */

	if (value < s->min || value > s->max)
		return fm_fail(err, FM_CORRUPT, "is %s, not within %" PRId64 " to %" PRId64,
			       json_object_get_string(v), s->min, s->max);
	return 0;
}

static int check_string(struct json_object *v, const struct schema *s, struct fm_error *err)
{
	const char *text = json_object_get_string(v);
	size_t length = (size_t)json_object_get_string_len(v);

	if (strlen(text) != length)
		return fm_fail(err, FM_CORRUPT, "has a NUL inside");
	if (length < (uint64_t)s->min || length > (uint64_t)s->max)
		return fm_fail(err, FM_CORRUPT, "is %zu characters long, not within %" PRId64 " to %" PRId64,
			       length, s->min, s->max);
	if (s->form && !s->form(text))
		return fm_fail(err, FM_CORRUPT, "is \"%.80s\", which has not the right form", text);
	return 0;
}

static int check_array(struct json_object *v, const struct schema *s, struct fm_error *err)
{
	size_t count = json_object_array_length(v);

	if (count < (uint64_t)s->min || count > (uint64_t)s->max)
		return fm_fail(err, FM_CORRUPT, "has %zu entries, not within %" PRId64 " to %" PRId64,
			       count, s->min, s->max);
	for (size_t i = 0; i < count; i++)
		if (check_value(json_object_array_get_idx(v, i), s->element, err) < 0)
			return fm_context(err, "entry %zu", i);
	return 0;
}

static bool right_type(struct json_object *v, enum schema_kind kind)
{
	switch (kind) {
	case SCHEMA_INT:
		return json_object_is_type(v, json_type_int);
	case SCHEMA_NUMBER:
		return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double);
	case SCHEMA_BOOL:
		return json_object_is_type(v, json_type_boolean);
	case SCHEMA_STRING:
		return json_object_is_type(v, json_type_string);
	case SCHEMA_ARRAY:
		return json_object_is_type(v, json_type_array);
	case SCHEMA_OBJECT:
		return json_object_is_type(v, json_type_object);
	}
	return false;
}

static int check_value(struct json_object *v, const struct schema *s, struct fm_error *err)
{
	static const char *const names[] = { "an integer", "a number", "a boolean",
					     "a string",   "an array", "an object" };

	if (!right_type(v, s->kind))
		return fm_fail(err, FM_CORRUPT, "is not %s", names[s->kind]);
	switch (s->kind) {
	case SCHEMA_INT:
		return check_int(v, s, err);
	case SCHEMA_NUMBER:
		return check_range(json_object_get_double(v), s, err);
	case SCHEMA_STRING:
		return check_string(v, s, err);
	case SCHEMA_ARRAY:
		return check_array(v, s, err);
	case SCHEMA_OBJECT:
		return schema_check(v, s->fields, err);
	case SCHEMA_BOOL:
		break;
	}
	return 0;
}

int schema_check(struct json_object *o, const struct schema *fields, struct fm_error *err)
{
	for (const struct schema *s = fields; s->key; s++) {
		struct json_object *v = NULL;

		json_object_object_get_ex(o, s->key, &v);
		if (!v && s->optional)
			continue;
		if (!v)
			return fm_fail(err, FM_CORRUPT, "\"%s\" is missing", s->key);
		if (check_value(v, s, err) < 0)
			return fm_context(err, "\"%s\"", s->key);
	}
	return 0;
}
