/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json.c - see json.h. */
#include "config.h"

#include "common/json.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct json_object *fm_json_parse(const char *text, size_t size, struct fm_error *err)
{
	struct json_tokener *tok = json_tokener_new_ex(FM_JSON_DEPTH);
	struct json_object *o = NULL;
	enum json_tokener_error why = json_tokener_error_size;

	if (tok && size < INT_MAX) {
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
		o = json_tokener_parse_ex(tok, text, (int)size);
		why = json_tokener_get_error(tok);
	}
	if (tok && why == json_tokener_success)
		for (size_t i = json_tokener_get_parse_end(tok); i < size; i++)
			if (!strchr(" \t\r\n", text[i]))
				why = json_tokener_error_parse_unexpected;
	if (tok)
		json_tokener_free(tok);
	if (why == json_tokener_success && json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	fm_fail(err, FM_USAGE, "malformed JSON: %s",
		why == json_tokener_success ? "not an object" : json_tokener_error_desc(why));
	return NULL;
}

const char *fm_json_text(struct json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* The member of that type, or an error that names the key. */
static struct json_object *typed(struct json_object *o, const char *key, enum json_type type,
				 struct fm_error *err)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !v)
		fm_fail(err, FM_USAGE, "\"%s\" is missing", key);
	else if (!json_object_is_type(v, type))
		fm_fail(err, FM_USAGE, "\"%s\" is not of type %s", key, json_type_to_name(type));
	else
		return v;
	return NULL;
}

int fm_json_string(struct json_object *o, const char *key, const char **value_r, struct fm_error *err)
{
	struct json_object *v = typed(o, key, json_type_string, err);

	if (!v)
		return -1;
	*value_r = json_object_get_string(v);
	if (strlen(*value_r) != (size_t)json_object_get_string_len(v))
		return fm_fail(err, FM_USAGE, "\"%s\" has a NUL inside", key);
	return 0;
}

int fm_json_int(struct json_object *o, const char *key, int64_t min, int64_t max, int64_t *value_r,
		struct fm_error *err)
{
	struct json_object *v = typed(o, key, json_type_int, err);

	if (!v)
		return -1;
	*value_r = json_object_get_int64(v);
	if (*value_r < min || *value_r > max)
		return fm_fail(err, FM_USAGE, "\"%s\" is %" PRId64 ", not within %" PRId64 " to %" PRId64, key,
			       *value_r, min, max);
	return 0;
}

int fm_json_bool(struct json_object *o, const char *key, bool *value_r, struct fm_error *err)
{
	struct json_object *v = typed(o, key, json_type_boolean, err);

	if (!v)
		return -1;
	*value_r = json_object_get_boolean(v);
	return 0;
}

int fm_json_array(struct json_object *o, const char *key, size_t max, struct json_object **array_r,
		  struct fm_error *err)
{
	struct json_object *v = typed(o, key, json_type_array, err);

	if (!v)
		return -1;
	if (json_object_array_length(v) > max)
		return fm_fail(err, FM_USAGE, "\"%s\" has %zu entries, more than %zu", key,
			       json_object_array_length(v), max);
	*array_r = v;
	return 0;
}

const char *fm_json_string_or(struct json_object *o, const char *key, const char *otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ?
		       json_object_get_string(v) : otherwise;
}

int64_t fm_json_int_or(struct json_object *o, const char *key, int64_t otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int) ?
		       json_object_get_int64(v) : otherwise;
}

bool fm_json_bool_or(struct json_object *o, const char *key, bool otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_boolean) ?
		       json_object_get_boolean(v) : otherwise;
}

void fm_json_set_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

void fm_json_set_int(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void fm_json_set_double(struct json_object *o, const char *key, double value)
{
	char text[40];

	/* Ten digits: 0.539, where json-c's own seventeen would say 0.53900000000000003. */
	snprintf(text, sizeof(text), "%.10g", value);
	if (!strpbrk(text, ".en"))
		strcat(text, ".0");
	json_object_object_add(o, key, json_object_new_double_s(value, text));
}

void fm_json_set_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

struct json_object *fm_json_from_error(const struct fm_error *err)
{
	struct json_object *reply = json_object_new_object(), *e = json_object_new_object();

	fm_json_set_int(e, "code", err->code);
	fm_json_set_string(e, "name", fm_code_name(err->code));
	fm_json_set_string(e, "text", err->text);
	json_object_object_add(reply, "error", e);
	return reply;
}

int fm_json_to_error(struct json_object *o, struct fm_error *err)
{
	struct json_object *e;
	int64_t code;
	const char *text;

	if (!o || !json_object_object_get_ex(o, "error", &e) ||
	    fm_json_int(e, "code", FM_FAILED, FM_BUSY, &code, err) ||
	    fm_json_string(e, "text", &text, err))
		return fm_fail(err, FM_FAILED, "a malformed reply");
	return fm_fail(err, (enum fm_code)code, "%s", text);
}
