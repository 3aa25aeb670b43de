/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - columns on a terminal or in a pipe (libsmartcols).
 *
 * On a terminal a table is cut to its width where a column allows it; in a
 * pipe nothing is cut.  Cells take a string that the table frees, so that
 * table_cell(t, text_size(n)) reads well; control characters are made visible.
 */
#ifndef FM_CLI_TABLE_H
#define FM_CLI_TABLE_H

#include <stdbool.h>

#include "common/error.h"

struct table;

struct table_column {
	const char *title;
	bool right; /* numbers */
	bool trunc; /* may be cut on a narrow terminal */
};

/* columns end with a NULL title */
struct table *table_create(const struct table_column *columns, struct fm_error *err);
int table_row(struct table *table, struct fm_error *err);
/* The row's next cell; text is freed here, NULL is an error that table_print() reports. */
void table_cell(struct table *table, char *text);
void table_cell_copy(struct table *table, const char *text);
int table_print(struct table *table, struct fm_error *err);
void table_destroy(struct table *table); /* NULL is fine */

#endif
