/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * survey_repair.c - survey_repair(): packs first, from wherever they are; then shards, of packs that are good.
 *
 * Node after node: what one has got back the next may need. A shard is made anew by who made it, with all of its code, as if
 * it had never been: so all data of the code have to be good, and all who keep a shard of it have to answer; else what is
 * there stays as it is, and may be worth something still.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/local/check.h"
#include "agent/local/survey_private.h"
#include "common/cleanup.h"

#define PASSES 2 /* what a node lacked at first another may have by then */
#define POLL_US 100000
#define MEND_MOST 1000u /* packs in a call */

/* ---- packs ---------------------------------------------------------------------------------------------------- */

/* At most MEND_MOST, after the first `skip`: what a call may carry before its caller is proven is little. */
static struct json_object *bad_packs(const struct survey_node *node, size_t skip)
{
	struct json_object *packs = node->reply ? json_object_object_get(node->reply, "packs") : NULL;
	struct json_object *bad = json_object_new_array();

	if (!packs)
		return bad;
	json_object_object_foreach(packs, id, said) {
		if (fm_json_bool_or(said, "ok", false) || json_object_array_length(bad) >= MEND_MOST)
			continue;
		if (skip)
			skip--;
		else
			json_object_array_add(bad, json_object_new_string(id));
	}
	return bad;
}

static void note_failure(struct json_object *said, const char *why)
{
	fm_json_set_string(said, "repair_error", why);
}

/* How many are good now. */
static size_t take_mended(const struct survey *s, const struct survey_node *node, struct json_object *asked, struct json_object *reply,
			  const struct fm_error *why)
{
	struct json_object *mended = reply ? json_object_object_get(reply, "packs") : NULL;
	size_t good = 0;

	for (size_t i = 0; i < json_object_array_length(asked); i++) {
		const char *id = json_object_get_string(json_object_array_get_idx(asked, i));
		struct json_object *said = survey_said(s, node->name, "packs", id);
		struct json_object *now = mended ? json_object_object_get(mended, id) : NULL;
		const char *from = now ? fm_json_string_or(now, "repaired", NULL) : NULL;

		if (!from) {
			note_failure(said, now ? fm_json_string_or(now, "repair_error", "") : why->text);
			continue;
		}
		good++;
		fm_json_set_bool(said, "ok", true);
		json_object_object_del(said, "repair_error");
		fm_json_set_string(said, "repaired", *from ? from : "somebody else in the meantime");
	}
	return good;
}

/* Some of its packs. How many are good now; *left_r: how many are not. */
static size_t mend_some(const struct survey *s, const struct survey_node *node, size_t skip, size_t *left_r)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object(), *reply = NULL;
	struct json_object *bad = bad_packs(node, skip);
	struct fm_error err = { .text = "it was not tried" };
	size_t mended;

	json_object_object_add(body, "mend", bad);
	*left_r = 0;
	if (!json_object_array_length(bad))
		return 0;
	if (strcmp(node->name, s->conf->node_name) == 0) {
		reply = json_object_new_object();
		if (local_mend(s->conf, &s->id, bad, reply, &err)) {
			json_object_put(reply);
			reply = NULL;
		}
	} else {
		survey_call(s, s->id.n, node->name, "disk", body, &reply, &err);
	}
	mended = take_mended(s, node, bad, reply, &err);
	*left_r = json_object_array_length(bad) - mended;
	return mended;
}

static size_t mend_node(const struct survey *s, const struct survey_node *node)
{
	size_t mended = 0, skip = 0, some, left;

	do {
		some = mend_some(s, node, skip, &left);
		mended += some;
		skip += left;
	} while (some || left);
	return mended;
}

static void mend_packs(const struct survey *s)
{
	size_t mended = 1;

	for (int pass = 0; pass < PASSES && mended; pass++) {
		mended = 0;
		for (size_t i = 0; i < s->nodes; i++)
			mended += mend_node(s, &s->node[i]);
	}
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

/* Its shards that are damaged, told what became of them; how many there are. */
static size_t tell_shards(const struct survey *s, const struct survey_code *c, const char *repaired, const char *why)
{
	size_t bad = 0;

	for (size_t j = 0; j < c->shards; j++) {
		struct json_object *said = survey_shard(s, c, j).said;

		if (!said || fm_json_bool_or(said, "ok", false))
			continue;
		bad++;
		if (repaired) {
			fm_json_set_bool(said, "ok", true);
			fm_json_set_string(said, "repaired", repaired);
		} else if (why) {
			note_failure(said, why);
		}
	}
	return bad;
}

/* All that is needed to make it anew. sources_r: "the packs of n1,n3". */
static int can_make(const struct survey *s, const struct survey_code *c, char *sources_r, size_t size, struct fm_error *err)
{
	size_t used = (size_t)snprintf(sources_r, size, "the packs of");

	for (unsigned p = 0; p < c->k; p++) {
		const char *node = survey_data(c, p)->node;

		if (!survey_data_good(s, c, p))
			return fm_fail(err, FM_CORRUPT, "the packs of node %s, of which it is made, are not all good", node);
		if (used < size)
			used += (size_t)snprintf(sources_r + used, size - used, "%s%s", p ? "," : " ", node);
	}
	for (size_t j = 0; j < c->shards; j++) {
		const char *name = survey_shard(s, c, j).node;
		const struct survey_node *node = survey_node(s, name);

		if (!node || !node->reply)
			return fm_fail(err, FM_NOT_FOUND, "node %s, which has a shard of the same code, does not answer", name);
	}
	return 0;
}

/* Until its maker has said "whole" or "failed", or nothing for long. */
static int await_made(const struct survey *s, const struct survey_code *c, const char *maker, struct fm_error *err)
{
	for (;;) {
		FM_AUTO_JSON struct json_object *o = placement_state_read(s->conf->store_dir, c->record->job, c->record->n, c->name);
		const char *state = o ? fm_json_string_or(o, "state", "") : "";

		if (strcmp(state, "whole") == 0)
			return 0;
		if (strcmp(state, "failed") == 0)
			return fm_fail(err, FM_FAILED, "node %s: %s", maker, fm_json_string_or(o, "error", ""));
		if (o && time(NULL) - fm_json_int_or(o, "time", 0) > PLACEMENT_STALE_S)
			return fm_fail(err, FM_TIMEOUT, "node %s has not made it anew yet: it is at other copies", maker);
		usleep(POLL_US);
	}
}

static int make_anew(const struct survey *s, const struct survey_code *c, struct fm_error *err)
{
	size_t rank = placement_maker(c->record, c->sets, c->set, c->code);
	const char *maker = c->record->member[rank].node, *store = s->conf->store_dir;
	FM_AUTO_JSON struct json_object *waiting = json_object_new_object(), *body = json_object_new_object();
	struct fm_error ignored;

	fm_json_set_string(waiting, "state", "waiting");
	fm_json_set_int(waiting, "total", fm_json_int_or(c->state, "total", 0));
	fm_json_set_int(waiting, "time", (int64_t)time(NULL));
	fm_json_set_int(body, "rank", (int64_t)rank);
	if (placement_state_write(store, c->record->job, c->record->n, c->name, waiting, err))
		return -1;
	if (survey_call(s, c->record->n, maker, "protect", body, NULL, err)) {
		/* Nobody has begun, so it is what it was. */
		placement_state_write(store, c->record->job, c->record->n, c->name, c->state, &ignored);
		return -1;
	}
	return await_made(s, c, maker, err);
}

/* What was said of its shards is of the new ones now, which have just been written. */
static void renew(const struct survey *s, const struct survey_code *c)
{
	FM_AUTO_JSON struct json_object *o = placement_state_read(s->conf->store_dir, c->record->job, c->record->n, c->name);

	for (size_t j = 0; o && j < c->shards; j++) {
		struct json_object *said = survey_shard(s, c, j).said;

		if (said)
			fm_json_set_string(said, "id", fm_json_string_or(o, "id", ""));
	}
}

static int repair_code(const struct survey *s, struct survey_code *c, void *arg)
{
	struct fm_error err;
	char sources[200];

	(void)arg;
	survey_load(s, c);
	if (!tell_shards(s, c, NULL, NULL))
		return 0;
	if (can_make(s, c, sources, sizeof(sources), &err) || make_anew(s, c, &err)) {
		tell_shards(s, c, NULL, err.text);
	} else {
		tell_shards(s, c, sources, NULL);
		renew(s, c);
	}
	return 0;
}

void survey_repair(struct survey *s)
{
	mend_packs(s);
	survey_codes(s, repair_code, NULL);
}
