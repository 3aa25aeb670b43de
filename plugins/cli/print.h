/* SPDX-License-Identifier: GPL-2.0-or-later */
/* print.h - replies on stdout: as they are for --json, or as "Key: value" lines. */
#ifndef FM_CLI_PRINT_H
#define FM_CLI_PRINT_H

#include "common/error.h"
#include "common/json.h"

int print_json(struct json_object *o, struct fm_error *err);
/* "Label      value"; value is freed; nothing is printed for NULL or "". */
void print_field(const char *label, char *value);
/* The name at o[key], or "". */
const char *print_text_at(struct json_object *o, const char *key);
double print_number_at(struct json_object *o, const char *key);
struct json_object *print_at(struct json_object *o, const char *key);
/* Of a job's "compacted": "1.2 GiB, of 1.9 GiB", "running"; NULL for NULL. Caller frees. */
char *print_compacted(struct json_object *compacted);
/* Of a member's "saving": "60.1 of 128 MiB read, 12.3 MiB new, 45% zero, 20% known"; NULL for NULL. Caller frees. */
char *print_saving(struct json_object *saving);
/* "45%" of all its pages are in those of this key: "zero_pages", "known_pages", "stored_pages". Caller frees. */
char *print_share(struct json_object *pages, const char *key);
/* "n1,n2" of an array of strings; caller frees. */
char *print_names(struct json_object *array);
/* Everything printed so far has reached its file: a full disk is an error. */
int print_finish(struct fm_error *err);

#endif
