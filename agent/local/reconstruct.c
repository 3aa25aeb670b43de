/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reconstruct.c - packs of a node that is gone, out of the parity of its bundle.
 *
 * The bundle is cut in k pieces, each a data shard of another code. A piece that has some of a missing pack is rebuilt, and
 * of what comes the missing packs' bytes are kept, each in its file in incoming/; then these are verified as if they had
 * been fetched.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/local/bundle.h"
#include "agent/local/obtain_private.h"
#include "agent/local/place.h"
#include "agent/store/parity/file.h"
#include "agent/store/parity/parity.h"
#include "common/cleanup.h"
#include "common/io.h"

/* A piece on its way into the files of the packs it has parts of. */
struct split {
	struct obtain *obtain;
	const struct placement_packs *packs;
	uint64_t at; /* in the bundle */
};

static struct missing *missing_find(const struct obtain *o, const char *id)
{
	for (size_t i = 0; i < o->missings; i++)
		if (!o->missing[i].got && strcmp(o->missing[i].id, id) == 0)
			return &o->missing[i];
	return NULL;
}

static int write_at(const struct obtain *o, const char *id, uint64_t offset, const char *data, size_t size,
		    struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->incoming, id);
	FM_AUTO_CLOSE int fd = path ? open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "cannot make a file in %s: %s", o->incoming, strerror(errno));
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return fm_fail(err, FM_FAILED, "cannot write %s: %s", path, strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int split_write(void *arg, const void *data, size_t size, struct fm_error *err)
{
	struct split *s = arg;
	const char *from = data;
	uint64_t begin = 0;

	for (size_t i = 0; size > 0 && i < s->packs->count; begin += s->packs->pack[i++].bytes) {
		const struct placement_pack *pack = &s->packs->pack[i];
		size_t some;

		if (s->at >= begin + pack->bytes)
			continue;
		some = size < begin + pack->bytes - s->at ? size : (size_t)(begin + pack->bytes - s->at);
		if (missing_find(s->obtain, pack->id) && write_at(s->obtain, pack->id, s->at - begin, from, some, err))
			return -1;
		s->at += some;
		from += some;
		size -= some;
	}
	return size == 0 ? 0 : fm_fail(err, FM_CORRUPT, "a rebuilt piece is longer than what it is of");
}

/* Its packs are verified one by one: there is nothing to make durable or to undo here. */
static int split_commit(void *arg, struct fm_error *err)
{
	(void)arg, (void)err;
	return 0;
}

static void split_abort(void *arg)
{
	(void)arg;
}

/* ---- one piece ----------------------------------------------------------------------------------------- */

struct piece {
	struct obtain *o;
	const struct placement *r;
	const struct sets *sets;
	size_t set;
	unsigned code, k, m, lost;
	struct bundle *bundle[PARITY_K_MAX];
	struct parity_in *in[PARITY_M_MAX];
	struct remote_file *file[PARITY_M_MAX];
	struct parity_source source[PARITY_SHARDS_MAX];
	const struct parity_source *at[PARITY_SHARDS_MAX]; /* NULL: lost */
};

static const struct placement_member *member_of(const struct piece *p, unsigned shard, size_t *i_r)
{
	const struct sets_set *set = &p->sets->set[p->set];

	*i_r = p->sets->member[set->first + sets_place(set, p->code, shard)];
	return &p->r->member[*i_r];
}

static void open_data(struct piece *p, unsigned shard)
{
	struct fm_error err;
	uint64_t offset, length;
	size_t i;
	const struct placement_member *m = member_of(p, shard, &i);

	if (shard == p->lost)
		return;
	sets_piece(m->packs.bytes, p->k, shard, &offset, &length);
	p->bundle[shard] = bundle_open(p->o->conf, p->o->remotes, p->r, i, offset, length, &p->source[shard], &err);
	if (p->bundle[shard])
		p->at[shard] = &p->source[shard];
}

static void open_parity(struct piece *p, unsigned j)
{
	FM_AUTO_FREE char *name = placement_shard_name(p->r, p->set, p->code, j);
	FM_AUTO_FREE char *dir = local_path(p->o->conf, p->o->job, "parity");
	FM_AUTO_FREE char *path = name && dir ? fm_format("%s/%s", dir, name) : NULL;
	struct parity_source *source = &p->source[p->k + j];
	struct fm_error err;
	size_t i;
	const struct placement_member *m = member_of(p, p->k + j, &i);

	if (!path)
		return;
	if (strcmp(m->node, p->o->conf->node_name) == 0)
		p->in[j] = parity_in_open(path, 0, PARITY_TO_END, source, &err);
	else
		p->file[j] = remote_file_open(p->o->remotes, m->node, p->o->job, "parity", name, source, &err);
	if (p->in[j] || p->file[j])
		p->at[p->k + j] = source;
	else
		obtain_note(p->o, m->node, err.text);
}

static void piece_close(struct piece *p)
{
	for (unsigned i = 0; i < p->k; i++)
		bundle_close(p->bundle[i]);
	for (unsigned j = 0; j < p->m; j++) {
		parity_in_close(p->in[j]);
		remote_file_close(p->file[j]);
	}
}

static int rebuild_piece(struct piece *p, struct split *split, struct fm_error *err)
{
	const struct parity_sink sink = { "what was lost", split_write, split_commit, split_abort, split };
	const struct parity_sink *sinks[PARITY_SHARDS_MAX] = { NULL };
	FM_AUTO_FREE char *name = fm_format("code-%zu-%u.json", p->set, p->code);
	FM_AUTO_JSON struct json_object *state = NULL;
	struct parity_shards shards = { .k = p->k, .m = p->m, .source = p->at };
	struct parity_report report;
	const char *id;
	int rc;

	state = name ? placement_state_read(p->o->conf->store_dir, p->o->job, p->r->n, name) : NULL;
	id = state ? fm_json_string_or(state, "id", "") : "";
	shards.id = *id ? id : NULL;
	for (unsigned i = 0; i < p->k; i++)
		open_data(p, i);
	for (unsigned j = 0; j < p->m; j++)
		open_parity(p, j);
	sinks[p->lost] = &sink;
	rc = parity_rebuild(&shards, sinks, NULL, &report, err);
	piece_close(p);
	return rc;
}

/* ---- a bundle ------------------------------------------------------------------------------------------ */

/* Does this piece have bytes of a missing pack? */
static bool has_missing(const struct obtain *o, const struct placement_packs *packs, uint64_t offset, uint64_t length)
{
	uint64_t begin = 0;

	for (size_t i = 0; i < packs->count; begin += packs->pack[i++].bytes)
		if (begin < offset + length && begin + packs->pack[i].bytes > offset && missing_find(o, packs->pack[i].id))
			return true;
	return false;
}

static int rebuild_pieces(struct obtain *o, const struct placement *r, const struct sets *sets, size_t set, unsigned place,
			  struct fm_error *err)
{
	const struct sets_set *s = &sets->set[set];
	const struct placement_packs *packs = &r->member[sets->member[s->first + place]].packs;

	for (unsigned i = 0; i < s->k; i++) {
		struct piece p = { .o = o, .r = r, .sets = sets, .set = set, .code = sets_code(s, place, i), .k = s->k,
				   .m = s->m, .lost = i };
		struct split split = { .obtain = o, .packs = packs };
		uint64_t length;

		sets_piece(packs->bytes, s->k, i, &split.at, &length);
		if (p.code == UINT_MAX || !has_missing(o, packs, split.at, length))
			continue;
		if (rebuild_piece(&p, &split, err))
			return -1;
	}
	return 0;
}

static void admit_all(struct obtain *o, const struct placement *r, const struct placement_member *m)
{
	for (size_t i = 0; i < m->packs.count; i++) {
		struct missing *missing = missing_find(o, m->packs.pack[i].id);
		struct fm_error err;

		if (!missing)
			continue;
		if (obtain_admit(o, missing->id, &err)) {
			obtain_note(o, r->kind, err.text);
			continue;
		}
		missing->got = true;
		snprintf(missing->from, sizeof(missing->from), "%s", r->kind);
		o->result->rebuilt++;
		obtain_note_level(o, r->kind);
	}
}

void obtain_rebuild(struct obtain *o, const struct placement *r)
{
	struct fm_error err;
	struct sets sets;

	if (placement_sets(r, &sets, &err)) {
		obtain_note(o, r->kind, err.text);
		return;
	}
	for (size_t i = 0; i < sets.sets; i++)
		for (unsigned place = 0; place < sets.set[i].members; place++) {
			size_t member = sets.member[sets.set[i].first + place];

			if (member >= r->members || !has_missing(o, &r->member[member].packs, 0, UINT64_MAX))
				continue;
			if (rebuild_pieces(o, r, &sets, i, place, &err))
				obtain_note(o, r->kind, err.text);
			else
				admit_all(o, r, &r->member[member]);
		}
	sets_dispose(&sets);
}
