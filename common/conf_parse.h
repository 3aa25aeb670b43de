/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_parse.h - the `Key=Value` grammar against a table of keys, for conf.c
 * and image.c.  The caller's struct is zeroed; after conf_parse_file() every
 * field has its value or its fallback; conf_dispose() frees strings and lists.
 */
#ifndef FM_CONF_PARSE_H
#define FM_CONF_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum conf_kind {
	CONF_STRING,    /* char * */
	CONF_UNSIGNED,  /* unsigned, min…max */
	CONF_DURATION,  /* int64_t milliseconds, min…max */
	CONF_LOG_LEVEL, /* enum fm_log_level */
	CONF_BYTES,     /* uint64_t, min…max; "100M": K, M, G, T are powers of 1024 */
	CONF_LIST,      /* char **, NULL-terminated, the key may repeat */
};

struct conf_key {
	const char *key; /* NULL ends the table */
	size_t offset;
	enum conf_kind kind;
	int64_t min, max;
	const char *fallback; /* NULL: must be given; lists: ignored */
};

/* required 0: a missing file means all fallbacks. Errors name file:line and key. */
int conf_parse_file(const char *path, int required, const struct conf_key *keys, void *object,
		    struct fm_error *err);
void conf_dispose(const struct conf_key *keys, void *object);

#endif
