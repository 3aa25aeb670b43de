/* SPDX-License-Identifier: GPL-2.0-or-later */
/* undone.c - local_undone(): what an agent, or a copy, that died or failed has left to do. See work.h. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/local/place.h"
#include "agent/local/work.h"
#include "agent/store/store.h"
#include "common/cleanup.h"
#include "common/io.h"

struct search {
	const struct fm_conf *conf;
	local_undone_fn each;
	void *arg;
};

static bool is_settled(const struct fm_conf *conf, const struct placement *r, const char *name)
{
	FM_AUTO_JSON struct json_object *o = placement_state_read(conf->store_dir, r->job, r->n, name);

	return placement_state_settled(o);
}

static bool copies_left(const struct fm_conf *conf, const struct placement *r, unsigned rank)
{
	FM_AUTO_FREE char *flush = fm_format("flush-%u.json", rank);
	bool left = r->flush && flush && !is_settled(conf, r, flush);
	struct fm_error ignored;
	struct sets sets;

	if (placement_sets(r, &sets, &ignored))
		return left;
	for (size_t i = 0; i < sets.sets; i++)
		for (unsigned c = 0; c < sets.set[i].codes; c++) {
			FM_AUTO_FREE char *code = fm_format("code-%zu-%u.json", i, c);

			left = left || (code && placement_maker(r, &sets, i, c) == rank && !is_settled(conf, r, code));
		}
	sets_dispose(&sets);
	return left;
}

static void look_copies(const struct search *s, const struct placement *r)
{
	for (size_t i = 0; i < r->members; i++)
		if (strcmp(r->member[i].node, s->conf->node_name) == 0 && copies_left(s->conf, r, (unsigned)i))
			s->each(s->arg, &(struct local_undone){ .id = { .job = r->job, .n = r->n }, .rank = (unsigned)i });
}

/* A snapshot of this lead's, on the nodes' disks, without a record: the lead died, or a node did not answer. */
static void look_record(const struct search *s, const struct fm_snapshot_id *id)
{
	struct fm_snapshot_id of = *id;
	struct fm_error ignored;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(s->conf->store_dir, &of, &ignored);
	struct json_object *members = json_object_object_get(manifest, "members");
	size_t count = members ? json_object_array_length(members) : 0;
	FM_AUTO_FREE const char **node = calloc(count + 1, sizeof(*node));
	bool local = false;

	for (size_t i = 0; node && i < count; i++) {
		struct json_object *member = json_object_array_get_idx(members, i);

		node[i] = fm_json_string_or(member, "node", "");
		local = local || fm_json_bool_or(member, "local", false);
	}
	if (node && local && strcmp(node[0], s->conf->node_name) == 0)
		s->each(s->arg, &(struct local_undone){ .id = *id, .nodes = count, .node = node });
}

static int look_job(const struct search *s, uint32_t job, struct fm_error *err)
{
	FM_AUTO_FREE char *folder = folder_job(s->conf->store_dir, job, err);
	struct folder_numbers numbers;
	int rc = folder ? folder_numbers(folder, &numbers, err) : -1;

	if (rc)
		return -1;
	for (size_t i = 0; i < numbers.count; i++) {
		struct fm_snapshot_id id = { .job = job, .n = numbers.values[i] };
		struct fm_error why;
		struct placement r;

		if (folder_is_whole(s->conf->store_dir, &id, &why) != 1)
			continue;
		if (placement_read(s->conf->store_dir, job, id.n, &r, &why) == 0) {
			look_copies(s, &r);
			placement_dispose(&r);
		} else if (why.code == FM_NOT_FOUND) {
			look_record(s, &id);
		}
	}
	folder_numbers_dispose(&numbers);
	return 0;
}

int local_undone(const struct fm_conf *conf, local_undone_fn each, void *arg, struct fm_error *err)
{
	const struct search s = { conf, each, arg };
	FM_AUTO_FREE uint32_t *jobs = NULL;
	size_t count;

	if (local_check(conf, err) || local_jobs(conf, &jobs, &count, err))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (look_job(&s, jobs[i], err))
			return -1;
	return 0;
}
