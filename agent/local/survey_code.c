/* SPDX-License-Identifier: GPL-2.0-or-later */
/* survey_code.c - what the parity of a snapshot's packs is worth, after what the nodes have read. See survey_private.h. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/local/survey_private.h"
#include "common/cleanup.h"

static int each_code(const struct survey *s, const struct placement *r, const struct sets *sets, survey_code_fn each, void *arg)
{
	for (size_t i = 0; i < sets->sets; i++)
		for (unsigned c = 0; c < sets->set[i].codes; c++) {
			struct survey_code code = { .record = r, .sets = sets, .set = i, .code = c, .k = sets->set[i].k, .m = sets->set[i].m };
			int rc;

			snprintf(code.name, sizeof(code.name), "code-%zu-%u.json", i, c);
			rc = each(s, &code, arg);
			json_object_put(code.state);
			if (rc)
				return rc;
		}
	return 0;
}

int survey_codes(const struct survey *s, survey_code_fn each, void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->records.count; i++) {
		struct fm_error ignored;
		struct sets sets;

		if (!s->records.matters[i] || placement_sets(&s->records.record[i], &sets, &ignored))
			continue;
		rc = each_code(s, &s->records.record[i], &sets, each, arg);
		sets_dispose(&sets);
	}
	return rc;
}

void survey_load(const struct survey *s, struct survey_code *c)
{
	struct json_object *made;

	if (c->state)
		return;
	c->state = placement_state_read(s->conf->store_dir, c->record->job, c->record->n, c->name);
	made = placement_made(c->state);
	c->shards = made ? json_object_array_length(made) : 0;
}

struct survey_shard survey_shard(const struct survey *s, const struct survey_code *c, size_t j)
{
	struct json_object *o = json_object_array_get_idx(placement_made(c->state), j);
	struct survey_shard shard = { fm_json_string_or(o, "node", ""), fm_json_string_or(o, "name", ""), NULL };

	shard.said = survey_said(s, shard.node, "shards", shard.name);
	if (shard.said && strcmp(fm_json_string_or(shard.said, "id", ""), fm_json_string_or(c->state, "id", "")) != 0)
		shard.said = NULL;
	return shard;
}

static bool is_good(struct json_object *said)
{
	return said && fm_json_bool_or(said, "ok", false);
}

/* ---- shards ------------------------------------------------------------------------------------------------ */

const struct placement_member *survey_data(const struct survey_code *c, unsigned p)
{
	const struct sets_set *set = &c->sets->set[c->set];

	return &c->record->member[c->sets->member[set->first + sets_place(set, c->code, p)]];
}

/* Does pack i of the bundle, which begins at `begin`, have bytes of this piece? */
static bool overlaps(const struct placement_packs *packs, size_t i, uint64_t begin, uint64_t offset, uint64_t length)
{
	return begin < offset + length && begin + packs->pack[i].bytes > offset;
}

bool survey_data_good(const struct survey *s, const struct survey_code *c, unsigned p)
{
	const struct placement_member *m = survey_data(c, p);
	uint64_t offset, length, begin = 0;

	sets_piece(m->packs.bytes, c->k, p, &offset, &length);
	for (size_t i = 0; i < m->packs.count; begin += m->packs.pack[i++].bytes)
		if (overlaps(&m->packs, i, begin, offset, length) && !survey_said_good(s, m->node, "packs", m->packs.pack[i].id))
			return false;
	return true;
}

unsigned survey_lost(const struct survey *s, struct survey_code *c)
{
	unsigned lost = 0;

	survey_load(s, c);
	for (unsigned p = 0; p < c->k; p++)
		lost += !survey_data_good(s, c, p);
	for (unsigned j = 0; j < c->m; j++)
		lost += j >= c->shards || !is_good(survey_shard(s, c, j).said);
	return lost;
}

/* ---- packs --------------------------------------------------------------------------------------------------- */

struct question {
	const char *pack;
	const struct placement_member *member; /* whose bundle has the pack */
	bool found, lost;
};

/* Each piece of the member's that has bytes of the pack is data of a code: is it there, or can it be made? */
static int judge(const struct survey *s, struct survey_code *c, void *arg)
{
	struct question *q = arg;

	for (unsigned p = 0; p < c->k; p++) {
		const struct placement_packs *packs = &q->member->packs;
		uint64_t offset, length, begin = 0;

		if (survey_data(c, p) != q->member)
			continue;
		sets_piece(packs->bytes, c->k, p, &offset, &length);
		for (size_t i = 0; i < packs->count; begin += packs->pack[i++].bytes) {
			if (strcmp(packs->pack[i].id, q->pack) != 0 || !overlaps(packs, i, begin, offset, length))
				continue;
			q->found = true;
			q->lost = q->lost || (!survey_data_good(s, c, p) && survey_lost(s, c) > c->m);
		}
	}
	return 0;
}

bool survey_protected(const struct survey *s, const char *pack)
{
	for (size_t i = 0; i < s->records.count; i++)
		for (size_t j = 0; s->records.matters[i] && s->records.record[i].k && j < s->records.record[i].members; j++) {
			struct question q = { .pack = pack, .member = &s->records.record[i].member[j] };

			if (!placement_packs_find(&q.member->packs, pack))
				continue;
			survey_codes(s, judge, &q);
			if (q.found && !q.lost)
				return true;
		}
	return false;
}

/* ---- states -------------------------------------------------------------------------------------------------- */

static int mark(const struct survey *s, struct survey_code *c, void *arg)
{
	struct survey_shard bad = { 0 };
	struct fm_error why, ignored;
	bool whole, unknown = false;

	(void)arg;
	survey_load(s, c);
	whole = c->state && strcmp(fm_json_string_or(c->state, "state", ""), "whole") == 0;
	for (size_t j = 0; j < c->shards; j++) {
		const struct survey_shard shard = survey_shard(s, c, j);

		unknown = unknown || !shard.said;
		if (shard.said && !is_good(shard.said) && !bad.said)
			bad = shard;
	}
	if (!c->shards || (whole ? !bad.said : bad.said || unknown))
		return 0;
	fm_json_set_string(c->state, "state", bad.said ? "damaged" : "whole");
	json_object_object_del(c->state, "error");
	if (bad.said) {
		fm_fail(&why, FM_CORRUPT, "shard %s on node %s is damaged, found by a verify", bad.name, bad.node);
		fm_json_set_string(c->state, "error", why.text);
	}
	fm_json_set_int(c->state, "time", (int64_t)time(NULL));
	placement_state_write(s->conf->store_dir, c->record->job, c->record->n, c->name, c->state, &ignored);
	return 0;
}

void survey_mark(const struct survey *s)
{
	survey_codes(s, mark, NULL);
}
