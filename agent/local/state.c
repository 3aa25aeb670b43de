/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - see state.h. */
#include "config.h"

#include "agent/local/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/local/place.h"
#include "agent/local/probe.h"
#include "common/cleanup.h"
#include "common/io.h"

#define TELL_MS 5000
#define BURST ((uint64_t)4 << 20)

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- while copying --------------------------------------------------------------------------------- */

static int tell(struct copying *c, const char *state, const struct fm_error *why, struct json_object *more,
		struct fm_error *err)
{
	struct json_object *o = more ? more : json_object_new_object();
	int rc;

	fm_json_set_string(o, "state", state);
	fm_json_set_int(o, "done", (int64_t)c->done);
	fm_json_set_int(o, "total", (int64_t)c->total);
	fm_json_set_int(o, "time", (int64_t)time(NULL));
	if (why)
		fm_json_set_string(o, "error", why->text);
	rc = placement_state_write(c->store, c->record->job, c->record->n, c->name, o, err);
	json_object_put(o);
	c->told_ms = now_ms();
	return rc;
}

int copying_begin(struct copying *c, const struct fm_conf *conf, const struct placement *r, const char *name,
		  uint64_t total, struct fm_error *err)
{
	*c = (struct copying){ .record = r, .store = conf->store_dir, .total = total };
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->burst = conf->bandwidth < BURST ? conf->bandwidth : BURST; /* a second's at most */
	if (conf->bandwidth && !(c->throttle = throttle_create(conf->bandwidth, c->burst, NULL, err)))
		return -1;
	return tell(c, "copying", NULL, NULL, err);
}

void copying_move(struct copying *c, uint64_t bytes)
{
	struct fm_error ignored;

	/* In pieces: a long wait is not to look like a standstill. */
	for (uint64_t left = bytes; c->throttle && left > 0;) {
		uint64_t n = left < c->burst ? left : c->burst;

		throttle_take(c->throttle, n);
		left -= n;
		if (now_ms() - c->told_ms >= TELL_MS)
			tell(c, "copying", NULL, NULL, &ignored);
	}
	c->done += bytes;
}

int copying_end(struct copying *c, const struct fm_error *why, struct json_object *more, struct fm_error *err)
{
	int rc;

	if (!c->record)
		return 0;
	if (!why)
		c->done = c->total;
	rc = tell(c, why ? "failed" : "whole", why, more, err);
	throttle_destroy(fm_steal_ptr(&c->throttle));
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static void fail(struct level_progress *p, const char *who, const char *why)
{
	p->state = LEVEL_FAILED;
	if (!*p->error)
		snprintf(p->error, sizeof(p->error), "%s: %s", who, why);
}

/* One more state into the sum; missing: it has not begun. */
static void add(struct level_progress *p, struct json_object *o, const char *node)
{
	const char *state = o ? fm_json_string_or(o, "state", "") : "waiting";
	int64_t when = o ? fm_json_int_or(o, "time", 0) : 0;
	char text[128];

	if (o) {
		p->done += (uint64_t)fm_json_int_or(o, "done", 0);
		p->since = when > p->since ? when : p->since;
	}
	if (strcmp(state, "whole") == 0)
		return;
	if (strcmp(state, "waiting") == 0) {
		p->state = p->state == LEVEL_WHOLE ? LEVEL_WAITING : p->state;
	} else if (strcmp(state, "failed") == 0 || strcmp(state, "damaged") == 0) {
		fail(p, node, fm_json_string_or(o, "error", ""));
	} else if (time(NULL) - when > PLACEMENT_STALE_S) {
		snprintf(text, sizeof(text), "no word for %lld s", (long long)(time(NULL) - when));
		fail(p, node, text);
	} else if (p->state != LEVEL_FAILED) {
		p->state = LEVEL_COPYING;
	}
}

/* What making a code moves: its data, once. */
static uint64_t code_bytes(const struct placement *r, const struct sets *sets, size_t set, unsigned code)
{
	const struct sets_set *s = &sets->set[set];
	uint64_t sum = 0;

	for (unsigned p = 0; p < s->k; p++) {
		const struct placement_member *m = &r->member[sets->member[s->first + sets_place(s, code, p)]];
		uint64_t offset, length;

		sets_piece(m->packs.bytes, s->k, p, &offset, &length);
		sum += length;
	}
	return sum;
}

int level_parity(const char *store, const struct placement *r, struct level_progress *p_r, struct fm_error *err)
{
	struct sets sets;

	*p_r = (struct level_progress){ .state = LEVEL_NONE };
	if (placement_sets(r, &sets, err))
		return -1;
	for (size_t i = 0; i < sets.sets; i++) {
		p_r->state = p_r->state == LEVEL_NONE ? LEVEL_WHOLE : p_r->state;
		for (unsigned c = 0; c < sets.set[i].codes; c++) {
			FM_AUTO_FREE char *name = fm_format("code-%zu-%u.json", i, c);
			FM_AUTO_JSON struct json_object *o = name ? placement_state_read(store, r->job, r->n, name) : NULL;

			p_r->total += code_bytes(r, &sets, i, c);
			add(p_r, o, r->member[placement_maker(r, &sets, i, c)].node);
		}
	}
	if (p_r->state == LEVEL_NONE && r->k)
		fail(p_r, "Protect", sets.note[0]);
	sets_dispose(&sets);
	return 0;
}

static bool in_store(const char *store, uint32_t job, const char *id)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/pages/%s" LOCAL_PACK_SUFFIX, store, job, id);
	struct stat st;

	return path && lstat(path, &st) == 0;
}

int level_shared(const char *store, const struct placement *r, struct level_progress *p_r, struct fm_error *err)
{
	bool whole = true;

	(void)err;
	*p_r = (struct level_progress){ .state = LEVEL_WHOLE };
	for (size_t i = 0; i < r->members; i++) {
		FM_AUTO_FREE char *name = fm_format("flush-%zu.json", i);
		FM_AUTO_JSON struct json_object *o = name && r->flush ? placement_state_read(store, r->job, r->n, name) : NULL;
		uint64_t done = p_r->done;

		add(p_r, o, r->member[i].node);
		p_r->done = done; /* the packs say it better */
		for (size_t j = 0; j < r->member[i].needs.count; j++) {
			const struct placement_pack *pack = &r->member[i].needs.pack[j];

			p_r->total += pack->bytes;
			if (in_store(store, r->job, pack->id))
				p_r->done += pack->bytes;
			else
				whole = false;
		}
	}
	if (whole)
		p_r->state = LEVEL_WHOLE, *p_r->error = '\0';
	else if (!r->flush)
		p_r->state = LEVEL_NONE;
	else if (p_r->state == LEVEL_WHOLE)
		fail(p_r, "StoreDir", "packs that were copied there are missing");
	return 0;
}

/* ---- as the API shows it ------------------------------------------------------------------------------- */

static void add_level(struct json_object *levels, const char *name, const char *kind, const struct level_progress *p)
{
	bool local = strcmp(kind, "local") == 0, shared = strcmp(kind, "directory") == 0;
	static const char *const states[] = { "none", "waiting", "copying", "whole", "failed" };
	struct json_object *o = json_object_new_object();
	struct tm tm;
	char text[32];
	time_t since = (time_t)p->since;

	fm_json_set_string(o, "name", name);
	fm_json_set_string(o, "kind", kind);
	fm_json_set_string(o, "where", local ? "each node's own disk" : shared ? "StoreDir" : "other nodes' disks");
	fm_json_set_string(o, "state", states[p->state]);
	fm_json_set_int(o, "bytes", (int64_t)p->total);
	if (p->state == LEVEL_COPYING) {
		fm_json_set_int(o, "done", (int64_t)p->done);
		fm_json_set_int(o, "total", (int64_t)p->total);
	}
	if (since && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&since, &tm)))
		fm_json_set_string(o, "since", text);
	if (*p->error)
		fm_json_set_string(o, "error", p->error);
	json_object_array_add(levels, o);
}

bool local_is(struct json_object *manifest)
{
	struct json_object *members = json_object_object_get(manifest, "members");

	for (size_t i = 0; members && i < json_object_array_length(members); i++)
		if (fm_json_bool_or(json_object_array_get_idx(members, i), "local", false))
			return true;
	return false;
}

/* What the sets are not that was asked for: for the owner. */
static void add_notes(struct json_object *levels, const struct placement *r)
{
	struct json_object *level = json_object_array_get_idx(levels, json_object_array_length(levels) - 1);
	struct json_object *notes = json_object_new_array();
	struct fm_error ignored;
	struct sets sets;

	if (placement_sets(r, &sets, &ignored) == 0) {
		for (unsigned i = 0; i < SETS_NOTES_MAX && *sets.note[i]; i++)
			json_object_array_add(notes, json_object_new_string(sets.note[i]));
		sets_dispose(&sets);
	}
	if (json_object_array_length(notes))
		json_object_object_add(level, "notes", notes);
	else
		json_object_put(notes);
}

/* No record yet, or none that can be read: nothing is being copied. */
static void unrecorded(struct json_object *manifest, const struct fm_error *err, struct level_progress *p_r)
{
	struct tm tm = { 0 };
	const char *end = strptime(fm_json_string_or(manifest, "created", ""), "%Y-%m-%dT%H:%M:%S", &tm);

	*p_r = (struct level_progress){ .state = LEVEL_WAITING };
	if (err->code == FM_NOT_FOUND && (!end || time(NULL) - timegm(&tm) < PLACEMENT_STALE_S))
		return;
	p_r->state = LEVEL_FAILED;
	snprintf(p_r->error, sizeof(p_r->error), "%.500s", err->code == FM_NOT_FOUND ?
		 "nothing is copied: the agent of the job's first node has not heard from all, and tries again" : err->text);
}

struct json_object *local_levels(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *manifest,
				 bool ask)
{
	const char *store = conf->store_dir;
	struct level_progress local = { .state = LEVEL_WHOLE }, parity, shared;
	struct json_object *levels;
	struct fm_error err;
	struct placement r;
	char name[PLACEMENT_KIND_MAX];

	if (!local_is(manifest))
		return NULL;
	levels = json_object_new_array();
	if (placement_read(store, id->job, id->n, &r, &err)) {
		unrecorded(manifest, &err, &shared);
		add_level(levels, "local", "local", &local);
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(conf->protect, ":"), conf->protect);
		if (strcmp(name, "none") != 0)
			add_level(levels, conf->protect, name, &shared);
		add_level(levels, "shared", "directory", &shared);
		return levels;
	}
	for (size_t i = 0; i < r.members; i++)
		local.total += r.member[i].needs.bytes;
	local.since = r.created;
	if (ask)
		local_probe(conf, &r, &local);
	add_level(levels, "local", "local", &local);
	if (r.k && level_parity(store, &r, &parity, &err) == 0) {
		placement_kind(&r, name);
		add_level(levels, name, r.kind, &parity);
		add_notes(levels, &r);
	}
	if (level_shared(store, &r, &shared, &err) == 0)
		add_level(levels, "shared", "directory", &shared);
	placement_dispose(&r);
	return levels;
}
