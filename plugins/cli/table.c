/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c - see table.h. */
#include "config.h"

#include "plugins/cli/table.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t next_column;
	bool broken; /* out of memory somewhere */
};

struct table *table_create(const struct table_column *columns, struct fm_error *err)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t)
		t->scols = scols_new_table();
	if (!t || !t->scols)
		goto out_of_memory;
	scols_table_set_column_separator(t->scols, "  ");
	for (; columns->title; columns++) {
		int flags = (columns->right ? SCOLS_FL_RIGHT : 0) | (columns->trunc ? SCOLS_FL_TRUNC : 0);

		if (!scols_table_new_column(t->scols, columns->title, 0, flags))
			goto out_of_memory;
	}
	return t;
out_of_memory:
	table_destroy(t);
	fm_fail(err, FM_FAILED, "out of memory");
	return NULL;
}

int table_row(struct table *table, struct fm_error *err)
{
	table->line = scols_table_new_line(table->scols, NULL);
	table->next_column = 0;
	return table->line ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

void table_cell(struct table *table, char *text)
{
	if (!text || scols_line_refer_data(table->line, table->next_column, text) != 0) {
		free(text);
		table->broken = true;
	}
	table->next_column++;
}

void table_cell_copy(struct table *table, const char *text)
{
	table_cell(table, strdup(text));
}

int table_print(struct table *table, struct fm_error *err)
{
	if (table->broken || scols_print_table(table->scols) != 0)
		return fm_fail(err, FM_FAILED, "cannot print the table");
	return 0;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	scols_unref_table(table->scols);
	free(table);
}
