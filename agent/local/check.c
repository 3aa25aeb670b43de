/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c - see check.h. */
#include "config.h"

#include "agent/local/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/local/obtain_private.h"
#include "agent/local/place.h"
#include "agent/local/records.h"
#include "agent/local/verify_local.h"
#include "agent/local/work.h"
#include "agent/store/levels/level.h"
#include "common/cleanup.h"
#include "common/io.h"

struct check {
	const struct fm_conf *conf;
	const struct fm_snapshot_id *id;
	struct records records;
	struct store_access access; /* pages: here */
	struct placement_packs expected;
	struct json_object *packs, *shards;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(struct json_object *all, const char *name, uint64_t bytes, const struct fm_error *why)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_bool(o, "ok", !why);
	fm_json_set_int(o, "bytes", (int64_t)bytes);
	if (why)
		fm_json_set_string(o, "error", why->text);
	json_object_object_add(all, name, o);
}

/* ---- which packs ----------------------------------------------------------------------------------------- */

static int expect(struct check *c, const struct placement_pack *pack, struct fm_error *err)
{
	return placement_packs_find(&c->expected, pack->id) ? 0 : placement_packs_add(&c->expected, pack->id, pack->bytes, err);
}

static int expect_list(struct check *c, size_t record, const struct placement_member *m, const struct placement_packs *packs,
		       struct fm_error *err)
{
	for (size_t i = 0; i < packs->count; i++)
		if (records_expects(&c->records, record, m, &packs->pack[i]) && expect(c, &packs->pack[i], err))
			return -1;
	return 0;
}

static int expect_recorded(struct check *c, struct fm_error *err)
{
	for (size_t i = 0; i < c->records.count; i++)
		for (size_t j = 0; j < c->records.record[i].members; j++) {
			const struct placement_member *m = &c->records.record[i].member[j];

			if (strcmp(m->node, c->conf->node_name) == 0 &&
			    (expect_list(c, i, m, &m->packs, err) || expect_list(c, i, m, &m->needs, err)))
				return -1;
		}
	return 0;
}

/* What its members' maps name, and is here. */
static int expect_unrecorded(struct check *c, struct fm_error *err)
{
	struct fm_snapshot_id id = *c->id;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(c->conf->store_dir, &id, err);
	struct json_object *members = json_object_object_get(manifest, "members");
	int rc = members ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < json_object_array_length(members); i++) {
		struct json_object *m = json_object_array_get_idx(members, i);
		FM_AUTO_JSON struct json_object *listed = NULL;
		struct placement_packs needs = { 0 };

		if (strcmp(fm_json_string_or(m, "node", ""), c->conf->node_name) != 0)
			continue;
		listed = local_list(c->conf, &id, (unsigned)i, err);
		rc = listed ? placement_packs_parse(json_object_object_get(listed, "needs"), &needs, err) : -1;
		for (size_t j = 0; rc == 0 && j < needs.count; j++)
			rc = needs.pack[j].bytes ? expect(c, &needs.pack[j], err) : 0;
		placement_packs_dispose(&needs);
	}
	return rc;
}

/* ---- packs ------------------------------------------------------------------------------------------------ */

static const char *expected_id(const void *arg, size_t i)
{
	const struct check *c = arg;

	return c->expected.pack[i].id;
}

static uint64_t file_bytes(const struct check *c, const char *pack)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, c->access.pages, pack);
	struct stat st;

	return path && lstat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static bool take_verdict(void *arg, size_t i, int rc, const struct pages_verdict *verdict, const struct fm_error *err)
{
	struct check *c = arg;
	const char *pack = c->expected.pack[i].id;
	uint64_t bundled = records_bundled(&c->records, c->conf->node_name, pack), bytes = file_bytes(c, pack);
	struct fm_error why = { 0 };

	if (rc)
		why = *err;
	else if (bundled && bundled != bytes)
		fm_fail(&why, FM_CORRUPT, "%s/%s" LOCAL_PACK_SUFFIX " has %" PRIu64 " bytes, and not the %" PRIu64 " of which there is parity",
			c->access.pages, pack, bytes, bundled);
	say(c->packs, pack, verdict->bytes, why.code ? &why : NULL);
	return true;
}

/* ---- shards ----------------------------------------------------------------------------------------------- */

/* id: of the code, as it was made. */
static void check_shard(struct check *c, struct json_object *shard, const char *id)
{
	const char *name = fm_json_string_or(shard, "name", ""), *sha256 = fm_json_string_or(shard, "sha256", "");
	FM_AUTO_FREE char *dir = local_path(c->conf, c->id->job, "parity");
	FM_AUTO_FREE char *path = dir ? fm_format("%s/%s", dir, name) : NULL;
	struct level_object is = { 0 };
	struct fm_error why = { 0 };

	if (!path || !local_name_ok("parity", name))
		return;
	if (level_object_of_file(path, &is, &why)) {
		if (why.code == FM_NOT_FOUND)
			fm_fail(&why, FM_CORRUPT, "%s is missing", path);
	} else if ((int64_t)is.bytes != fm_json_int_or(shard, "bytes", -1)) {
		fm_fail(&why, FM_CORRUPT, "%s has %" PRIu64 " bytes, and not %lld", path, is.bytes,
			(long long)fm_json_int_or(shard, "bytes", -1));
	} else if (strcmp(is.sha256, sha256) != 0) {
		fm_fail(&why, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, and was %.12s…", path, is.sha256, sha256);
	}
	say(c->shards, name, is.bytes, why.code ? &why : NULL);
	fm_json_set_string(json_object_object_get(c->shards, name), "id", id);
}

static void check_code(struct check *c, const struct placement *r, size_t set, unsigned code)
{
	FM_AUTO_FREE char *name = fm_format("code-%zu-%u.json", set, code);
	FM_AUTO_JSON struct json_object *state = name ? placement_state_read(c->conf->store_dir, r->job, r->n, name) : NULL;
	struct json_object *shards = placement_made(state);

	for (size_t i = 0; shards && i < json_object_array_length(shards); i++) {
		struct json_object *shard = json_object_array_get_idx(shards, i);

		if (strcmp(fm_json_string_or(shard, "node", ""), c->conf->node_name) == 0)
			check_shard(c, shard, fm_json_string_or(state, "id", ""));
	}
}

static int check_shards(struct check *c, struct fm_error *err)
{
	for (size_t i = 0; i < c->records.count; i++) {
		const struct placement *r = &c->records.record[i];
		struct sets sets;

		if (!c->records.matters[i])
			continue;
		if (placement_sets(r, &sets, err))
			return -1;
		for (size_t s = 0; s < sets.sets; s++)
			for (unsigned code = 0; code < sets.set[s].codes; code++)
				check_code(c, r, s, code);
		sets_dispose(&sets);
	}
	return 0;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static int run(struct check *c, struct json_object *o, struct fm_error *err)
{
	double begun = now();

	if (c->records.own == SIZE_MAX ? expect_unrecorded(c, err) : expect_recorded(c, err))
		return -1;
	packs_verify(&(struct packs_verify){ c->access.pages, c->id->job, c->access.key, c->expected.count, expected_id, take_verdict,
					     c });
	fm_json_set_double(o, "pack_seconds", now() - begun);
	begun = now();
	if (check_shards(c, err))
		return -1;
	fm_json_set_double(o, "shard_seconds", now() - begun);
	return 0;
}

int local_check_disk(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *o, struct fm_error *err)
{
	struct check c = { .conf = conf, .id = id, .packs = json_object_new_object(), .shards = json_object_new_object() };
	FM_AUTO_FREE char *folder = fm_format("%s/%" PRIu32, conf->store_dir, id->job);
	FM_AUTO_FREE char *local = local_job(conf, id->job);
	int rc = folder && local ? local_check(conf, err) : fm_fail(err, FM_FAILED, "out of memory");

	json_object_object_add(o, "packs", c.packs);
	json_object_object_add(o, "shards", c.shards);
	if (rc == 0)
		rc = records_read(conf->store_dir, id, &c.records, err);
	if (rc == 0)
		rc = store_access_local(&c.access, folder, id->job, local, conf->key_file, false, err);
	if (rc == 0)
		rc = run(&c, o, err);
	store_access_close(&c.access);
	placement_packs_dispose(&c.expected);
	records_dispose(&c.records);
	return rc;
}

/* ---- to put right --------------------------------------------------------------------------------------------- */

static int add_bad(struct obtain *o, struct json_object *packs, struct fm_error *err)
{
	size_t count = json_object_array_length(packs);
	FM_AUTO_FREE struct missing *asked = calloc(count + 1, sizeof(*asked));
	FM_AUTO_FREE bool *good = calloc(count + 1, sizeof(*good));

	if (!asked || !good)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const char *id = json_object_get_string(json_object_array_get_idx(packs, i));

		if (!id || strlen(id) != 64 || strspn(id, "0123456789abcdef") != 64)
			return fm_fail(err, FM_USAGE, "a list of packs holds something else");
		memcpy(asked[i].id, id, sizeof(asked[i].id));
	}
	if (obtain_verify(o, asked, count, good, err))
		return -1;
	o->asked[0] = '\0'; /* that they are damaged is known */
	for (size_t i = 0; i < count; i++)
		if (!good[i] && obtain_add(o, asked[i].id, err))
			return -1;
	return 0;
}

static void tell_mended(const struct obtain *o, struct json_object *packs, struct json_object *mended)
{
	for (size_t i = 0; i < json_object_array_length(packs); i++) {
		const char *id = json_object_get_string(json_object_array_get_idx(packs, i));
		struct json_object *entry = json_object_new_object();
		const struct missing *missing = NULL;

		for (size_t j = 0; j < o->missings; j++)
			if (strcmp(o->missing[j].id, id) == 0)
				missing = &o->missing[j];
		if (!missing || missing->got)
			fm_json_set_string(entry, "repaired", missing ? missing->from : "");
		else
			fm_json_set_string(entry, "repair_error", *o->asked ? o->asked : "no other place has it");
		json_object_object_add(mended, id, entry);
	}
}

int local_mend(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *packs, struct json_object *result,
	       struct fm_error *err)
{
	struct json_object *mended = json_object_new_object();
	struct obtained obtained = { 0 };
	struct obtain o = { .conf = conf, .job = id->job, .result = &obtained };
	int rc = local_check(conf, err);

	json_object_object_add(result, "packs", mended);
	o.lock_fd = -1;
	if (rc == 0)
		rc = obtain_open(&o, err);
	if (rc == 0)
		rc = add_bad(&o, packs, err);
	if (rc == 0 && o.missings)
		rc = obtain_missing(&o, true, err);
	if (rc == 0)
		tell_mended(&o, packs, mended);
	obtain_dispose(&o);
	return rc;
}
