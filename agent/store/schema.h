/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * schema.h - check a JSON object against a declarative table (store only).
 *
 * A key the table does not know is let through: a later writer of the same
 * version may add some.
 */
#ifndef FM_STORE_SCHEMA_H
#define FM_STORE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

enum schema_kind {
	SCHEMA_INT,    /* min … max */
	SCHEMA_NUMBER, /* integer or finite fraction, min … max */
	SCHEMA_BOOL,
	SCHEMA_STRING, /* length min … max; then form() if given */
	SCHEMA_ARRAY,  /* min … max entries, each like element */
	SCHEMA_OBJECT, /* fields */
};

struct schema {
	const char *key; /* NULL ends a table */
	enum schema_kind kind;
	bool optional; /* may be missing or null */
	int64_t min, max;
	bool (*form)(const char *text);
	const struct schema *element; /* one entry, its key is not used */
	const struct schema *fields;
};

/* FM_CORRUPT with the place: "members[1]: stream: \"bytes\" is -1, …". */
int schema_check(struct json_object *o, const struct schema *fields, struct fm_error *err);

/* Forms */
bool schema_hex64(const char *text);     /* 64 lower-case hex digits */
bool schema_component(const char *text); /* a file's name: no '/', no leading '.', no control characters */
bool schema_word(const char *text);      /* [A-Za-z0-9._-], not starting with '.' or '-' */
bool schema_ipv4(const char *text);
bool schema_mac(const char *text);
bool schema_utc(const char *text); /* 2026-01-31T12:00:00Z, a fraction is allowed */

#endif
