/* SPDX-License-Identifier: GPL-2.0-or-later */
/* records.c - see records.h. */
#include "config.h"

#include "agent/local/records.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

/* Does a member's list have it, and on its disk? needs of 0 bytes are other nodes'. */
static bool has(const struct placement_member *m, const char *pack)
{
	const struct placement_pack *need = placement_packs_find(&m->needs, pack);

	return need && need->bytes;
}

bool records_needed(const struct records *rs, const char *pack)
{
	for (size_t i = 0; rs->own < rs->count && i < rs->record[rs->own].members; i++)
		if (placement_packs_find(&rs->record[rs->own].member[i].needs, pack))
			return true;
	return false;
}

bool records_held(const struct records *rs, const char *pack)
{
	for (size_t i = 0; rs->own < rs->count && i < rs->record[rs->own].members; i++)
		if (has(&rs->record[rs->own].member[i], pack))
			return true;
	return false;
}

bool records_expects(const struct records *rs, size_t i, const struct placement_member *m, const struct placement_pack *pack)
{
	if (!rs->matters[i])
		return false;
	if (placement_packs_find(&m->packs, pack->id))
		return true;
	return has(m, pack->id) && (i == rs->own || (records_needed(rs, pack->id) && !records_held(rs, pack->id)));
}

uint64_t records_bundled(const struct records *rs, const char *node, const char *pack)
{
	for (size_t i = 0; i < rs->count; i++)
		for (size_t j = 0; rs->record[i].k && j < rs->record[i].members; j++) {
			const struct placement_member *m = &rs->record[i].member[j];
			const struct placement_pack *found = strcmp(m->node, node) == 0 ? placement_packs_find(&m->packs, pack) : NULL;

			if (found)
				return found->bytes;
		}
	return 0;
}

static bool flush_whole(const char *store, const struct placement *r, size_t rank)
{
	FM_AUTO_FREE char *name = fm_format("flush-%zu.json", rank);
	FM_AUTO_JSON struct json_object *o = name ? placement_state_read(store, r->job, r->n, name) : NULL;

	return o && strcmp(fm_json_string_or(o, "state", ""), "whole") == 0;
}

bool records_flushed(const char *store, const struct records *rs, const char *pack)
{
	for (size_t i = 0; i < rs->count; i++)
		for (size_t j = 0; rs->record[i].flush && j < rs->record[i].members; j++)
			if (has(&rs->record[i].member[j], pack) && flush_whole(store, &rs->record[i], j))
				return true;
	return false;
}

/* ---- which matter --------------------------------------------------------------------------------------- */

static bool matters(const struct records *rs, const struct placement *r)
{
	for (size_t i = 0; i < r->members; i++) {
		const struct placement_member *m = &r->member[i];

		for (size_t j = 0; r->k && j < m->packs.count; j++)
			if (records_needed(rs, m->packs.pack[j].id))
				return true;
		for (size_t j = 0; j < m->needs.count; j++)
			if (m->needs.pack[j].bytes && records_needed(rs, m->needs.pack[j].id) && !records_held(rs, m->needs.pack[j].id))
				return true;
	}
	return false;
}

static void read_all(const char *store, const struct fm_snapshot_id *id, const struct folder_numbers *numbers, struct records *rs)
{
	for (size_t i = 0; i < numbers->count; i++) {
		struct fm_error why;

		if (placement_read(store, id->job, numbers->values[i], &rs->record[rs->count], &why) == 0) {
			if (numbers->values[i] == id->n)
				rs->own = rs->count;
			rs->count++;
		} else if (numbers->values[i] == id->n && why.code != FM_NOT_FOUND) {
			rs->why = why;
		}
	}
}

int records_read(const char *store, const struct fm_snapshot_id *id, struct records *rs, struct fm_error *err)
{
	struct folder_numbers numbers = { 0 };
	int rc;

	*rs = (struct records){ .own = SIZE_MAX };
	rc = placement_numbers(store, id->job, &numbers, err);
	if (rc == 0) {
		rs->record = calloc(numbers.count + 1, sizeof(*rs->record));
		rs->matters = calloc(numbers.count + 1, sizeof(*rs->matters));
		rc = rs->record && rs->matters ? 0 : fm_fail(err, FM_FAILED, "out of memory");
	}
	if (rc == 0)
		read_all(store, id, &numbers, rs);
	for (size_t i = 0; rc == 0 && i < rs->count; i++)
		rs->matters[i] = i == rs->own || matters(rs, &rs->record[i]);
	folder_numbers_dispose(&numbers);
	return rc;
}

void records_dispose(struct records *rs)
{
	for (size_t i = 0; i < rs->count; i++)
		placement_dispose(&rs->record[i]);
	free(rs->record);
	free(rs->matters);
	*rs = (struct records){ .own = SIZE_MAX };
}
