/* SPDX-License-Identifier: GPL-2.0-or-later */
/* survey_levels.c - survey_levels(): what was found, as entries of a verdict. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "agent/local/place.h"
#include "agent/local/survey_private.h"
#include "common/cleanup.h"
#include "common/io.h"

struct entry {
	struct json_object *o, *damaged;
	int64_t files, bytes;
	double seconds;
	bool bad, unreachable, absent;
	char error[700];
};

static struct entry entry_begin(const char *name, const char *where)
{
	struct entry e = { .o = json_object_new_object(), .damaged = json_object_new_array() };

	fm_json_set_string(e.o, "name", name);
	fm_json_set_string(e.o, "where", where);
	return e;
}

/* Once for each text. */
static void entry_note(struct entry *e, const char *text)
{
	size_t used = strlen(e->error);

	if (*text && !strstr(e->error, text))
		snprintf(e->error + used, sizeof(e->error) - used, "%s%s", used ? "; " : "", text);
}

static void entry_take(struct entry *e, const char *node, const char *file, struct json_object *said)
{
	bool ok = fm_json_bool_or(said, "ok", false);
	struct json_object *o;

	e->files++;
	e->bytes += fm_json_int_or(said, "bytes", 0);
	e->bad = e->bad || !ok;
	if (!json_object_object_get(said, "error"))
		return;
	o = json_object_new_object();
	fm_json_set_string(o, "node", node);
	fm_json_set_string(o, "file", file);
	fm_json_set_string(o, "error", fm_json_string_or(said, "error", ""));
	if (json_object_object_get(said, "repaired"))
		fm_json_set_string(o, "repaired", fm_json_string_or(said, "repaired", ""));
	else if (json_object_object_get(said, "repair_error"))
		fm_json_set_string(o, "repair_error", fm_json_string_or(said, "repair_error", ""));
	json_object_array_add(e->damaged, o);
}

static void entry_unreachable(struct entry *e, const struct survey_node *node)
{
	e->unreachable = true;
	entry_note(e, node->why.text);
}

static double seconds_of(const struct survey_node *node, const char *key)
{
	struct json_object *o = node->reply ? json_object_object_get(node->reply, key) : NULL;

	return o ? json_object_get_double(o) : 0;
}

static bool entry_end(struct entry *e, struct json_object *levels)
{
	const char *state = e->bad ? "damaged" : e->unreachable ? "unreachable" : e->absent ? "absent" : "whole";

	fm_json_set_string(e->o, "state", state);
	fm_json_set_bool(e->o, "ok", !strcmp(state, "whole"));
	fm_json_set_int(e->o, "files", e->files);
	fm_json_set_int(e->o, "bytes", e->bytes);
	fm_json_set_double(e->o, "seconds", e->seconds);
	if (*e->error)
		fm_json_set_string(e->o, "error", e->error);
	json_object_object_add(e->o, "damaged", e->damaged);
	json_object_array_add(levels, e->o);
	return !e->bad && !e->unreachable;
}

/* ---- local ------------------------------------------------------------------------------------------------ */

/* Was the node asked for packs, or only for others' shards? */
static bool has_packs(const struct survey *s, const char *node)
{
	for (size_t i = 0; i < s->records.count; i++)
		for (size_t j = 0; s->records.matters[i] && j < s->records.record[i].members; j++) {
			const struct placement_member *m = &s->records.record[i].member[j];

			for (size_t l = 0; strcmp(m->node, node) == 0 && l < m->needs.count; l++)
				if (records_expects(&s->records, i, m, &m->needs.pack[l]))
					return true;
			if (strcmp(m->node, node) == 0 && m->packs.count)
				return true;
		}
	return s->records.own == SIZE_MAX;
}

/* It is written once: nobody can say again what it said. The packs were found by the members' maps. */
static void take_record(const struct survey *s, struct entry *e)
{
	FM_AUTO_FREE char *file = fm_format("%u/local/%u/record.json", s->id.job, s->id.n);
	FM_AUTO_JSON struct json_object *said = json_object_new_object();

	if (s->records.why.code == FM_OK || !file)
		return;
	fm_json_set_string(said, "error", s->records.why.text);
	entry_take(e, "StoreDir", file, said);
}

static bool local(const struct survey *s, struct json_object *levels)
{
	struct entry e = entry_begin("local", "each node's own disk");

	take_record(s, &e);
	for (size_t i = 0; i < s->nodes; i++) {
		struct survey_node *node = &s->node[i];
		struct json_object *packs = node->reply ? json_object_object_get(node->reply, "packs") : NULL;
		double seconds = seconds_of(node, "pack_seconds");

		if (!node->reply && has_packs(s, node->name))
			entry_unreachable(&e, node);
		if (!packs)
			continue;
		e.seconds = seconds > e.seconds ? seconds : e.seconds;
		json_object_object_foreach(packs, id, said) {
			FM_AUTO_FREE char *file = fm_format("%u/pages/%s" LOCAL_PACK_SUFFIX, s->id.job, id);

			entry_take(&e, node->name, file ? file : id, said);
		}
	}
	return entry_end(&e, levels);
}

/* ---- protection --------------------------------------------------------------------------------------------- */

struct kind {
	char name[PLACEMENT_KIND_MAX];
	struct entry e;
};

static void not_made(struct entry *e, const struct survey_code *c)
{
	const char *why = c->state ? fm_json_string_or(c->state, "error", "") : "";

	/* Nothing to protect is whole without a shard. */
	if (c->state && strcmp(fm_json_string_or(c->state, "state", ""), "whole") == 0)
		return;
	e->absent = true;
	entry_note(e, *why ? why : "not all of it has been made yet");
}

static void take_shard(const struct survey *s, const struct survey_shard *shard, struct entry *e)
{
	const struct survey_node *at = survey_node(s, shard->node);
	FM_AUTO_FREE char *path = fm_format("%u/parity/%s", s->id.job, shard->name);
	double seconds = at ? seconds_of(at, "shard_seconds") : 0;

	e->seconds = seconds > e->seconds ? seconds : e->seconds;
	if (shard->said)
		entry_take(e, shard->node, path ? path : shard->name, shard->said);
	else if (at && !at->reply)
		entry_unreachable(e, at);
	else
		e->absent = true; /* made after its node was asked */
}

static int take_code(const struct survey *s, struct survey_code *c, void *arg)
{
	struct kind *kind = arg;
	char name[PLACEMENT_KIND_MAX];

	placement_kind(c->record, name);
	if (strcmp(name, kind->name) != 0)
		return 0;
	survey_load(s, c);
	if (!c->shards)
		not_made(&kind->e, c);
	for (size_t j = 0; j < c->shards; j++) {
		const struct survey_shard shard = survey_shard(s, c, j);

		take_shard(s, &shard, &kind->e);
	}
	return 0;
}

/* That there are not enough nodes for it. */
static void take_notes(const struct placement *r, struct entry *e)
{
	struct fm_error ignored;
	struct sets sets;

	if (placement_sets(r, &sets, &ignored))
		return;
	if (!sets.sets) {
		e->absent = true;
		entry_note(e, sets.note[0]);
	}
	sets_dispose(&sets);
}

static bool said_before(const struct survey *s, size_t i, const char *name)
{
	char earlier[PLACEMENT_KIND_MAX];

	for (size_t j = 0; j < i; j++) {
		placement_kind(&s->records.record[j], earlier);
		if (s->records.matters[j] && s->records.record[j].k && strcmp(earlier, name) == 0)
			return true;
	}
	return false;
}

static bool protection(const struct survey *s, struct json_object *levels)
{
	bool good = true;

	for (size_t i = 0; i < s->records.count; i++) {
		const struct placement *r = &s->records.record[i];
		struct kind kind;

		placement_kind(r, kind.name);
		if (!s->records.matters[i] || !r->k || said_before(s, i, kind.name))
			continue;
		kind.e = entry_begin(kind.name, "other nodes' disks");
		take_notes(r, &kind.e);
		survey_codes(s, take_code, &kind);
		good = entry_end(&kind.e, levels) && good;
	}
	if (s->records.own == SIZE_MAX && strcmp(s->conf->protect, "none") != 0) {
		struct entry e = entry_begin(s->conf->protect, "other nodes' disks");

		e.absent = true;
		entry_note(&e, s->records.why.code ? "its record is damaged" : "what is on the nodes' disks is not recorded yet");
		entry_end(&e, levels);
	}
	return good;
}

bool survey_levels(const struct survey *s, struct json_object *levels)
{
	bool good = local(s, levels);

	return protection(s, levels) && good;
}
