/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * level_spec.h - what a line `Level=` of fermata.conf says:
 *
 *	NAME directory:/PATH [same-filesystem=yes]
 *	NAME s3:http[s]://HOST[:PORT]/BUCKET[/PREFIX] credentials=/PATH [region=REGION] [ca=/PATH]
 *
 * Its parts are separated by spaces, so none has one in it.  NAME is 1 to 32 of a-z A-Z 0-9 . _ -, begins with none of
 * the last three, and is not "store", which StoreDir is called.
 */
#ifndef FM_LEVEL_SPEC_H
#define FM_LEVEL_SPEC_H

#include <stdbool.h>

#include "common/error.h"

#define LEVEL_SPEC_STORE "store"

enum level_kind { LEVEL_DIRECTORY, LEVEL_S3 };

struct level_spec {
	char *text; /* the line, cut into what the others point to */
	enum level_kind kind;
	const char *name;
	const char *path;     /* directory */
	bool same_filesystem; /* directory: it may be on StoreDir's */
	char *endpoint;       /* S3, owned: "https://host:port" */
	const char *bucket, *prefix, *region, *credentials; /* prefix "" for none */
	const char *ca;       /* NULL: the system's certificates */
};

/* FM_USAGE saying what is wrong. Dispose in any case. */
int level_spec_parse(struct level_spec *spec, const char *line, struct fm_error *err);
void level_spec_dispose(struct level_spec *spec);

/* The name alone: the first word. true: both lines have the same. */
bool level_spec_same_name(const char *line, const char *other);

#endif
