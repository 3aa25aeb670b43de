/* SPDX-License-Identifier: GPL-2.0-or-later */
/* placement.c - see placement.h. */
#include "config.h"

#include "agent/local/placement.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/store/parity/parity.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PLACEMENT_MAX ((size_t)64 << 20)
#define STATE_MAX ((size_t)1 << 20)
#define PACKS_MAX 32768u
#define PACK_BYTES_MAX ((int64_t)1 << 31) /* a GiB of pages, and what there is around them */
_Static_assert(PACKS_MAX * (uint64_t)PACK_BYTES_MAX <= PARITY_LENGTH_MAX, "a bundle is no data file");

char *placement_root(const char *store, uint32_t job)
{
	return fm_format("%s/%" PRIu32 "/local", store, job);
}

char *placement_path(const char *store, uint32_t job, uint32_t n, const char *name)
{
	return fm_format("%s/%" PRIu32 "/local/%" PRIu32 "%s%s", store, job, n, name ? "/" : "", name ? name : "");
}

int placement_numbers(const char *store, uint32_t job, struct folder_numbers *numbers_r, struct fm_error *err)
{
	FM_AUTO_FREE char *root = placement_root(store, job);

	*numbers_r = (struct folder_numbers){ 0 };
	return root ? folder_numbers(root, numbers_r, err) : fm_fail(err, FM_FAILED, "out of memory");
}

/* ---- packs ---------------------------------------------------------------------------------------- */

int placement_packs_add(struct placement_packs *packs, const char *id, uint64_t bytes, struct fm_error *err)
{
	struct placement_pack *bigger = reallocarray(packs->pack, packs->count + 1, sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	packs->pack = bigger;
	snprintf(bigger[packs->count].id, sizeof(bigger->id), "%s", id);
	bigger[packs->count++].bytes = bytes;
	packs->bytes += bytes;
	return 0;
}

void placement_packs_dispose(struct placement_packs *packs)
{
	free(packs->pack);
	*packs = (struct placement_packs){ 0 };
}

const struct placement_pack *placement_packs_find(const struct placement_packs *packs, const char *id)
{
	for (size_t i = 0; i < packs->count; i++)
		if (strcmp(packs->pack[i].id, id) == 0)
			return &packs->pack[i];
	return NULL;
}

struct json_object *placement_packs_json(const struct placement_packs *packs)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < packs->count; i++) {
		struct json_object *pair = json_object_new_array();

		json_object_array_add(pair, json_object_new_string(packs->pack[i].id));
		json_object_array_add(pair, json_object_new_int64((int64_t)packs->pack[i].bytes));
		json_object_array_add(array, pair);
	}
	return array;
}

static bool is_id(const char *text)
{
	return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

int placement_packs_parse(struct json_object *array, struct placement_packs *packs_r, struct fm_error *err)
{
	*packs_r = (struct placement_packs){ 0 };
	if (!json_object_is_type(array, json_type_array) || json_object_array_length(array) > PACKS_MAX)
		return fm_fail(err, FM_CORRUPT, "a list of packs is none");
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *pair = json_object_array_get_idx(array, i);
		struct json_object *id = NULL, *bytes = NULL;

		if (json_object_is_type(pair, json_type_array) && json_object_array_length(pair) == 2) {
			id = json_object_array_get_idx(pair, 0);
			bytes = json_object_array_get_idx(pair, 1);
		}
		if (!json_object_is_type(id, json_type_string) || !is_id(json_object_get_string(id)) ||
		    !json_object_is_type(bytes, json_type_int) || json_object_get_int64(bytes) < 0 ||
		    json_object_get_int64(bytes) > PACK_BYTES_MAX) {
			placement_packs_dispose(packs_r);
			return fm_fail(err, FM_CORRUPT, "a list of packs holds something else");
		}
		if (placement_packs_add(packs_r, json_object_get_string(id), (uint64_t)json_object_get_int64(bytes), err)) {
			placement_packs_dispose(packs_r);
			return -1;
		}
	}
	return 0;
}

/* ---- the record -------------------------------------------------------------------------------------- */

static int member_parse(struct json_object *o, bool spare, struct placement_member *m, struct fm_error *err)
{
	const char *node;

	if (fm_json_string(o, "node", &node, err))
		return -1;
	m->node = strdup(node);
	m->rack = strdup(fm_json_string_or(o, "rack", ""));
	if (!m->node || !m->rack)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (spare)
		return 0;
	return placement_packs_parse(json_object_object_get(o, "needs"), &m->needs, err) ||
	       placement_packs_parse(json_object_object_get(o, "packs"), &m->packs, err) ? -1 : 0;
}

static int parse(struct json_object *o, struct placement *r, struct fm_error *err)
{
	struct json_object *members, *spares;
	int64_t version, k, m;

	if (fm_json_int(o, "version", 0, INT32_MAX, &version, err))
		return -1;
	if (version != PLACEMENT_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "it is of version %d", (int)version);
	if (fm_json_int(o, "k", 0, PARITY_K_MAX, &k, err) || fm_json_int(o, "m", 0, PARITY_M_MAX, &m, err) ||
	    fm_json_array(o, "members", SETS_NODES_MAX, &members, err) ||
	    fm_json_array(o, "spares", SETS_NODES_MAX, &spares, err))
		return -1;
	snprintf(r->kind, sizeof(r->kind), "%s", fm_json_string_or(o, "kind", "none"));
	r->k = (unsigned)k;
	r->m = (unsigned)m;
	r->flush = fm_json_bool_or(o, "flush", false);
	r->created = fm_json_int_or(o, "created", 0);
	r->members = json_object_array_length(members);
	r->spares = json_object_array_length(spares);
	r->member = calloc(r->members + r->spares + 1, sizeof(*r->member));
	if (!r->member)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < r->members + r->spares; i++) {
		bool spare = i >= r->members;
		struct json_object *at = json_object_array_get_idx(spare ? spares : members, spare ? i - r->members : i);

		if (member_parse(at, spare, &r->member[i], err))
			return -1;
	}
	return 0;
}

int placement_write(const char *store, uint32_t job, uint32_t n, struct json_object *o, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = placement_path(store, job, n, NULL);
	FM_AUTO_FREE char *path = placement_path(store, job, n, "record.json");
	const char *text = fm_json_text(o);
	struct placement r = { .job = job, .n = n };

	if (parse(o, &r, err)) { /* what cannot be read must not be written */
		placement_dispose(&r);
		return -1;
	}
	placement_dispose(&r);
	if (!dir || !path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_mkdir_all(dir, 0700, err) ? -1 : fm_file_write(path, 0600, text, strlen(text), err);
}

int placement_read(const char *store, uint32_t job, uint32_t n, struct placement *r_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = placement_path(store, job, n, "record.json");
	FM_AUTO_FREE char *text = NULL;
	FM_AUTO_JSON struct json_object *o = NULL;
	size_t size;

	*r_r = (struct placement){ .job = job, .n = n };
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, PLACEMENT_MAX, &size, err);
	if (!text)
		return -1;
	o = fm_json_parse(text, size, err);
	if (o && parse(o, r_r, err) == 0)
		return 0;
	placement_dispose(r_r);
	if (err->code == FM_USAGE)
		err->code = FM_CORRUPT;
	return fm_context(err, "%s", path);
}

void placement_dispose(struct placement *r)
{
	for (size_t i = 0; r->member && i < r->members + r->spares; i++) {
		free(r->member[i].node);
		free(r->member[i].rack);
		placement_packs_dispose(&r->member[i].needs);
		placement_packs_dispose(&r->member[i].packs);
	}
	free(r->member);
	*r = (struct placement){ 0 };
}

/* ---- codes -------------------------------------------------------------------------------------------- */

int placement_sets(const struct placement *r, struct sets *sets_r, struct fm_error *err)
{
	FM_AUTO_FREE struct sets_node *node = calloc(r->members + r->spares + 1, sizeof(*node));

	*sets_r = (struct sets){ 0 };
	if (!node)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (!r->k || !r->m)
		return 0;
	for (size_t i = 0; i < r->members + r->spares; i++)
		node[i] = (struct sets_node){ r->member[i].node, r->member[i].rack };
	return sets_choose(&(struct sets_request){ .node = node, .nodes = r->members, .spare = node + r->members,
						   .spares = r->spares, .k = r->k, .m = r->m }, sets_r, err);
}

size_t placement_maker(const struct placement *r, const struct sets *sets, size_t set, unsigned code)
{
	const struct sets_set *s = &sets->set[set];
	size_t first = sets->member[s->first + sets_place(s, code, s->k)];

	/* A spare knows nothing of the job. */
	return first < r->members ? first : sets->member[s->first + sets_place(s, code, 0)];
}

char *placement_shard_name(const struct placement *r, size_t set, unsigned code, unsigned j)
{
	return fm_format("%" PRIu32 "-%zu-%u-%u.parity", r->n, set, code, j);
}

void placement_kind(const struct placement *r, char text_r[PLACEMENT_KIND_MAX])
{
	if (strcmp(r->kind, "rs") == 0)
		snprintf(text_r, PLACEMENT_KIND_MAX, "rs:%u+%u", r->k, r->m);
	else if (strcmp(r->kind, "xor") == 0)
		snprintf(text_r, PLACEMENT_KIND_MAX, "xor:%u", r->k);
	else
		snprintf(text_r, PLACEMENT_KIND_MAX, "%s", r->kind);
}

/* ---- states ------------------------------------------------------------------------------------------- */

struct json_object *placement_state_read(const char *store, uint32_t job, uint32_t n, const char *name)
{
	FM_AUTO_FREE char *path = placement_path(store, job, n, name);
	FM_AUTO_FREE char *text = NULL;
	struct fm_error ignored;
	size_t size;

	text = path ? fm_file_read(path, STATE_MAX, &size, &ignored) : NULL;
	return text ? fm_json_parse(text, size, &ignored) : NULL;
}

int placement_state_write(const char *store, uint32_t job, uint32_t n, const char *name, struct json_object *o,
		       struct fm_error *err)
{
	FM_AUTO_FREE char *path = placement_path(store, job, n, name);
	const char *text = fm_json_text(o);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_file_write(path, 0600, text, strlen(text), err);
}

bool placement_state_settled(struct json_object *state)
{
	const char *text = state ? fm_json_string_or(state, "state", "") : "";

	return strcmp(text, "whole") == 0 || strcmp(text, "damaged") == 0;
}

struct json_object *placement_made(struct json_object *state)
{
	struct json_object *shards = placement_state_settled(state) ? json_object_object_get(state, "shards") : NULL;

	return json_object_is_type(shards, json_type_array) ? shards : NULL;
}
