/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json.h - typed look-ups on json-c objects that arrive from outside.
 *
 * A getter fails (FM_USAGE, naming the key) when the key is missing or has
 * another type; the _or forms give a default when it is missing or null.
 * Strings returned point into the object.
 */
#ifndef FM_JSON_H
#define FM_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define FM_JSON_DEPTH 16

static inline void fm_cleanup_json(struct json_object **o)
{
	if (*o)
		json_object_put(*o);
}
#define FM_AUTO_JSON __attribute__((cleanup(fm_cleanup_json)))

/* One JSON object, nothing but space after it; NULL on error. The caller puts it. */
struct json_object *fm_json_parse(const char *text, size_t size, struct fm_error *err);
/* {"a":1,"b":"x"} as one line; freed with the object. */
const char *fm_json_text(struct json_object *o);

int fm_json_string(struct json_object *o, const char *key, const char **value_r, struct fm_error *err);
int fm_json_int(struct json_object *o, const char *key, int64_t min, int64_t max, int64_t *value_r,
		struct fm_error *err);
int fm_json_bool(struct json_object *o, const char *key, bool *value_r, struct fm_error *err);
int fm_json_array(struct json_object *o, const char *key, size_t max, struct json_object **array_r,
		  struct fm_error *err);
const char *fm_json_string_or(struct json_object *o, const char *key, const char *otherwise);
int64_t fm_json_int_or(struct json_object *o, const char *key, int64_t otherwise);
bool fm_json_bool_or(struct json_object *o, const char *key, bool otherwise);

void fm_json_set_string(struct json_object *o, const char *key, const char *value); /* NULL value: nothing */
void fm_json_set_int(struct json_object *o, const char *key, int64_t value);
void fm_json_set_double(struct json_object *o, const char *key, double value);
void fm_json_set_bool(struct json_object *o, const char *key, bool value);

/* The agent's error body, both ways. */
struct json_object *fm_json_from_error(const struct fm_error *err);
/* Always returns -1 with err filled from {"error":{…}}, or FM_FAILED "malformed reply". */
int fm_json_to_error(struct json_object *o, struct fm_error *err);

#endif
