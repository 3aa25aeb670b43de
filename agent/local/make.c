/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make.c - local_protect(): the codes this node makes, one after the other.
 *
 * What a code needs comes from the other nodes (bundle.h), what it gives goes to them, through parity_make(): nothing but
 * the shards that are this node's own is written here.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/local/bundle.h"
#include "agent/local/place.h"
#include "agent/local/work.h"
#include "agent/store/parity/file.h"
#include "agent/store/parity/parity.h"
#include "common/cleanup.h"
#include "common/io.h"

struct shard {
	char *name;
	const char *node;
	struct parity_out *out;  /* here … */
	struct remote_put *put;  /* … or there */
};

struct making {
	const struct fm_conf *conf;
	const struct placement *record;
	const struct sets *sets;
	size_t set;
	unsigned code, k, m;
	struct remotes *remotes;
	struct copying copying;
	uint64_t longest, sum, moved; /* bytes of the data */
	struct bundle *bundle[PARITY_K_MAX];
	struct shard shard[PARITY_M_MAX];
	struct parity_data data[PARITY_K_MAX];
	struct parity_source source[PARITY_K_MAX];
	struct parity_sink sink[PARITY_M_MAX];
};

static size_t member_of(const struct making *m, unsigned shard)
{
	const struct sets_set *set = &m->sets->set[m->set];

	return m->sets->member[set->first + sets_place(set, m->code, shard)];
}

static int open_sources(struct making *m, struct fm_error *err)
{
	for (unsigned p = 0; p < m->k; p++) {
		size_t i = member_of(m, p);
		const struct placement_member *member = &m->record->member[i];
		uint64_t offset, length;

		sets_piece(member->packs.bytes, m->k, p, &offset, &length);
		m->bundle[p] = bundle_open(m->conf, m->remotes, m->record, i, offset, length, &m->source[p], err);
		if (!m->bundle[p])
			return -1;
		m->data[p] = (struct parity_data){ .name = member->node, .offset = offset, .length = length };
		m->longest = length > m->longest ? length : m->longest;
		m->sum += length;
	}
	return 0;
}

static int open_here(struct making *m, struct shard *s, struct parity_sink *sink, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = local_path(m->conf, m->record->job, "parity");
	FM_AUTO_FREE char *path = dir ? fm_format("%s/%s", dir, s->name) : NULL;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_mkdir_all(dir, 0700, err) || !(s->out = parity_out_create(path, err)))
		return -1;
	parity_out_whole(s->out, sink);
	return 0;
}

static int open_sinks(struct making *m, struct fm_error *err)
{
	for (unsigned j = 0; j < m->m; j++) {
		struct shard *s = &m->shard[j];

		s->node = m->record->member[member_of(m, m->k + j)].node;
		s->name = placement_shard_name(m->record, m->set, m->code, j);
		if (!s->name)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (strcmp(s->node, m->conf->node_name) == 0) {
			if (open_here(m, s, &m->sink[j], err))
				return -1;
		} else if (!(s->put = remote_put_open(m->conf, s->node, m->record->job, s->name, &m->sink[j], err))) {
			return -1;
		}
	}
	return 0;
}

static void close_all(struct making *m)
{
	for (unsigned p = 0; p < m->k; p++)
		bundle_close(m->bundle[p]);
	for (unsigned j = 0; j < m->m; j++) {
		parity_out_close(m->shard[j].out);
		remote_put_close(m->shard[j].put);
		free(m->shard[j].name);
	}
}

/* done, total: of the longest shard; all data together move at about the same pace. */
static int step(void *arg, uint64_t done, uint64_t total, struct fm_error *err)
{
	struct making *m = arg;
	uint64_t next = total - done < PARITY_STRIPE_DEFAULT ? total : done + PARITY_STRIPE_DEFAULT; /* what comes now */
	uint64_t moved = total ? (uint64_t)((double)m->sum * (double)next / (double)total) : 0;

	(void)err;
	if (moved > m->moved)
		copying_move(&m->copying, moved - m->moved);
	m->moved = moved > m->moved ? moved : m->moved;
	return 0;
}

static struct json_object *made_json(const struct making *m, const struct parity_made *made)
{
	struct json_object *o = json_object_new_object(), *shards = json_object_new_array();

	fm_json_set_string(o, "id", made->id);
	for (unsigned j = 0; j < m->m; j++) {
		struct json_object *s = json_object_new_object();

		fm_json_set_string(s, "node", m->shard[j].node);
		fm_json_set_string(s, "name", m->shard[j].name);
		fm_json_set_int(s, "bytes", (int64_t)made->shard[j].bytes);
		fm_json_set_string(s, "sha256", made->shard[j].sha256);
		json_object_array_add(shards, s);
	}
	json_object_object_add(o, "shards", shards);
	return o;
}

static int make_code(struct making *m, struct fm_error *err)
{
	const struct parity_spec spec = { .k = m->k, .m = m->m, .data = m->data };
	FM_AUTO_FREE char *state = fm_format("code-%zu-%u.json", m->set, m->code);
	const struct parity_pace pace = { step, m };
	struct json_object *more = NULL;
	struct parity_made made;
	struct fm_error ignored;
	int rc;

	if (!state)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = open_sources(m, err);
	if (rc == 0)
		rc = copying_begin(&m->copying, m->conf, m->record, state, m->sum, err);
	if (rc == 0 && m->sum)
		rc = open_sinks(m, err);
	if (rc == 0 && m->sum) {
		rc = parity_make(&spec, m->source, m->sink, &pace, &made, err);
		more = rc == 0 ? made_json(m, &made) : NULL;
	}
	if (rc == 0)
		rc = copying_end(&m->copying, NULL, more, err);
	else
		copying_end(&m->copying, err, NULL, &ignored);
	close_all(m);
	return rc;
}

static bool is_settled(const struct making *m)
{
	FM_AUTO_FREE char *state = fm_format("code-%zu-%u.json", m->set, m->code);
	FM_AUTO_JSON struct json_object *o = NULL;

	o = state ? placement_state_read(m->conf->store_dir, m->record->job, m->record->n, state) : NULL;
	return placement_state_settled(o);
}

int local_protect(const struct fm_conf *conf, const struct fm_snapshot_id *id, unsigned rank, struct fm_error *err)
{
	struct remotes *remotes = NULL;
	struct sets sets = { 0 };
	struct placement record;
	int rc;

	if (placement_read(conf->store_dir, id->job, id->n, &record, err))
		return -1;
	rc = placement_sets(&record, &sets, err);
	if (rc == 0 && sets.sets && !(remotes = remotes_create(conf, err)))
		rc = -1;
	for (size_t i = 0; rc == 0 && i < sets.sets; i++)
		for (unsigned c = 0; rc == 0 && c < sets.set[i].codes; c++) {
			struct making m = { .conf = conf, .record = &record, .sets = &sets, .set = i, .code = c,
					    .k = sets.set[i].k, .m = sets.set[i].m, .remotes = remotes };

			if (placement_maker(&record, &sets, i, c) == rank && !is_settled(&m))
				rc = make_code(&m, err);
		}
	remotes_destroy(remotes);
	sets_dispose(&sets);
	placement_dispose(&record);
	return rc;
}
