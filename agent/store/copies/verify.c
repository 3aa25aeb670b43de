/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify.c - see verify.h: StoreDir, and the whole verdict. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/copies/fetch.h"
#include "agent/store/copies/verify_private.h"
#include "agent/store/disk_map.h"
#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "agent/store/stream.h"
#include "common/cleanup.h"
#include "common/io.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- a verdict --------------------------------------------------------------------------- */

struct verdict verdict_begin(const char *name, const char *where)
{
	struct verdict v = { .o = json_object_new_object(), .damaged = json_object_new_array(), .begun_ms = now_ms() };

	fm_json_set_string(v.o, "name", name);
	fm_json_set_string(v.o, "where", where);
	return v;
}

void verdict_read(struct verdict *v, uint64_t bytes)
{
	v->files++;
	v->bytes += bytes;
}

struct json_object *verdict_damaged(struct verdict *v, const char *file, const struct fm_error *why)
{
	struct json_object *o = json_object_new_object();

	v->bad = true;
	fm_json_set_string(o, "file", file);
	fm_json_set_string(o, "error", why->text);
	json_object_array_add(v->damaged, o);
	return o;
}

void verdict_end(struct verdict *v, const char *state, const struct fm_error *why, struct json_object *list)
{
	if (!state)
		state = v->bad ? "damaged" : "whole";
	fm_json_set_string(v->o, "state", state);
	fm_json_set_bool(v->o, "ok", !strcmp(state, "whole"));
	fm_json_set_int(v->o, "files", v->files);
	fm_json_set_int(v->o, "bytes", (int64_t)v->bytes);
	fm_json_set_double(v->o, "seconds", (double)(now_ms() - v->begun_ms) / 1e3);
	if (why)
		fm_json_set_string(v->o, "error", why->text);
	json_object_object_add(v->o, "damaged", v->damaged);
	json_object_array_add(list, v->o);
}

/* ---- StoreDir -------------------------------------------------------------------------------- */

static int check_file(const char *path, const struct store_file *file, struct fm_error *err)
{
	struct level_object is;

	if (level_object_of_file(path, &is, err) < 0)
		return err->code == FM_NOT_FOUND ? fm_fail(err, FM_CORRUPT, "%s is missing", path) : -1;
	if (is.bytes != file->bytes)
		return fm_fail(err, FM_CORRUPT, "%s has %" PRIu64 " bytes, its manifest says %" PRIu64, path, is.bytes, file->bytes);
	if (strcmp(is.sha256, file->sha256))
		return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, its manifest says %.12s…", path, is.sha256,
			       file->sha256);
	return 0;
}

static void say_repaired(struct verify *v, struct json_object *entry, const struct fetched *f, const struct fm_error *why)
{
	fm_json_set_string(entry, why ? "repair_error" : "repaired", why ? why->text : fetched_from(v->site, f));
}

/* 0: good, perhaps again; -1. */
static int verify_file(struct verify *v, struct verdict *verdict, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(v->site->store, &v->id, file->name, err);
	FM_AUTO_FREE char *object = path ? site_object(v->id.job, v->id.n, file->name, err) : NULL;
	struct level_object expected = { .bytes = file->bytes };
	struct json_object *entry;
	struct fetched f = { 0 };
	struct fm_error why;
	int rc;

	if (!object)
		return -1;
	memcpy(expected.sha256, file->sha256, sizeof(expected.sha256));
	verdict_read(verdict, file->bytes);
	if (check_file(path, file, err) == 0)
		return 0;
	entry = verdict_damaged(verdict, object, err);
	if (!v->repair || err->code != FM_CORRUPT)
		return -1;
	rc = fetch_file(v->site, v->id.job, object, &expected, &f, &why);
	say_repaired(v, entry, &f, rc < 0 ? &why : NULL);
	return rc;
}

static int add_packs(struct verify *v, const struct store_file *map, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(v->site->store, &v->id, map->name, err);
	struct pages_map *m = path ? pages_map_open(path, v->id.job, v->access.key, map->sha256, err) : NULL;
	struct contents_pack pack = { 0 };
	int rc = 0;

	if (!m)
		return -1;
	for (size_t i = 0; rc == 0 && pages_map_pack(m, i, pack.id); i++)
		rc = contents_add(&v->packs, &pack, err);
	pages_map_close(m);
	return rc;
}

/* Not there, and nobody has said that it is. */
static bool is_to_come(const struct verify *v, const char *pack)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.pack", v->access.pages, pack);

	return v->beside && path && access(path, F_OK) < 0 && errno == ENOENT && v->beside->to_come(v->beside->arg, pack);
}

/* From a place before StoreDir, which was read a moment ago: and then read again here. */
static int bring_pack(struct verify *v, const char *pack, const char **from_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.pack", v->access.pages, pack);
	struct pages_verdict read;

	if (!path || !v->beside || !v->beside->bring)
		return fm_fail(err, FM_NOT_FOUND, "there is no place before StoreDir");
	return v->beside->bring(v->beside->arg, pack, path, from_r, err) || pages_pack_verify(v->pages, pack, &read, err) ? -1 : 0;
}

static int repair_pack(struct verify *v, const char *pack, struct json_object *entry)
{
	struct fetched f = { 0 };
	struct fm_error why;
	const char *from;
	int rc;

	if (bring_pack(v, pack, &from, &why) == 0) {
		fm_json_set_string(entry, "repaired", from);
		return 0;
	}
	rc = fetch_pack(v->site, &v->access, pack, &f, &why);
	say_repaired(v, entry, &f, rc < 0 ? &why : NULL);
	return rc;
}

/* Each pack once. contents_pack.present: 1: it is good, perhaps again. */
static void verify_pack(struct verify *v, struct verdict *verdict, struct contents_pack *pack)
{
	FM_AUTO_FREE char *object = fm_format("%" PRIu32 "/pages/%s.pack", v->id.job, pack->id);
	struct pages_verdict read = { 0 };
	struct json_object *entry;
	struct fm_error err;
	int rc;

	pack->present = 0;
	if (is_to_come(v, pack->id)) {
		v->to_come++;
		return;
	}
	rc = pages_pack_verify(v->pages, pack->id, &read, &err);
	verdict_read(verdict, read.bytes);
	pack->present = rc == 0;
	if (rc == 0)
		return;
	entry = verdict_damaged(verdict, object ? object : pack->id, &err);
	if (v->repair && err.code == FM_CORRUPT)
		rc = repair_pack(v, pack->id, entry);
	pack->present = rc == 0;
	v->store_bad = v->store_bad || rc < 0;
}

static int nothing(void *arg, const struct pages_source *source, struct fm_error *err)
{
	(void)arg, (void)source, (void)err;
	return 0;
}

/* The packs of a map are good, and between them they have all its pages. */
static int verify_sources(struct verify *v, const char *path, const struct store_file *map, struct fm_error *err)
{
	struct pages_map *m = pages_map_open(path, v->id.job, v->access.key, map->sha256, err);
	char id[65];
	int rc = m ? 0 : -1;

	for (size_t i = 0; rc == 0 && pages_map_pack(m, i, id); i++) {
		const struct contents_pack *pack = contents_find(&v->packs, id);

		if (!pack || !pack->present)
			rc = fm_fail(err, FM_CORRUPT, "%s/%s.pack is damaged", v->access.pages, id);
	}
	if (rc == 0)
		rc = pages_map_sources(v->pages, m, nothing, NULL, err);
	pages_map_close(m);
	return rc;
}

/* Is the whole of it a domain? What it opens is what a restore opens. */
static int verify_whole(struct verify *v, const struct store_file *map, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(v->site->store, &v->id, map->name, err);
	struct stream_reader *reader;

	if (!path || verify_sources(v, path, map, err) < 0)
		return -1;
	reader = stream_reader_open(&(struct stream_place){ path, v->access.pages, v->id.job, v->access.key, NULL }, map, err);
	stream_reader_close(reader);
	return reader ? 0 : -1;
}

static int verify_disks(struct verify *v, struct json_object *member, struct fm_error *err)
{
	struct store_disk disk;

	for (size_t i = 0; manifest_member_disk(member, i, &disk); i++) {
		FM_AUTO_FREE char *path = folder_path(v->site->store, &v->id, disk.map.name, err);
		const struct stream_place at = { path, v->access.pages, v->id.job, v->access.key, NULL };

		if (!path || verify_sources(v, path, &disk.map, err) < 0 || disk_map_check(&at, &disk.map, disk.size, err) < 0)
			return -1;
	}
	return 0;
}

static int verify_held(struct verify *v, const struct store_file *held, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(v->site->store, &v->id);
	FM_AUTO_FREE void *data = NULL;
	size_t size;

	if (!*held->name)
		return 0;
	return dir ? store_sealed_read(&v->access, dir, held, STORE_SMALL_MAX, &data, &size, err) :
		     fm_fail(err, FM_FAILED, "out of memory");
}

/* -1: a pack of the map is not good anywhere; 0: a place before StoreDir has some; 1: StoreDir has all. */
static int look_beside(struct verify *v, const struct store_file *map, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(v->site->store, &v->id, map->name, err);
	struct pages_map *m = path ? pages_map_open(path, v->id.job, v->access.key, map->sha256, err) : NULL;
	char id[65];
	int rc = m ? 1 : -1;

	for (size_t i = 0; rc >= 0 && pages_map_pack(m, i, id); i++) {
		const struct contents_pack *pack = contents_find(&v->packs, id);

		if (pack && pack->present)
			continue;
		rc = 0;
		if (!v->beside || !v->beside->good(v->beside->arg, id))
			rc = fm_fail(err, FM_CORRUPT, "%s/%s.pack is damaged%s", v->access.pages, id,
				     v->beside ? " or not there, and no node's disk that could be read has it whole" : "");
	}
	pages_map_close(m);
	return rc;
}

/* As look_beside(), of its memory and its disks. */
static int member_beside(struct verify *v, struct json_object *member, struct fm_error *err)
{
	struct store_file file;
	bool pages;
	int all = 1;

	for (size_t i = 0; manifest_member_file(member, i, &file, &pages); i++) {
		int rc = pages ? look_beside(v, &file, err) : 1;

		if (rc < 0)
			return -1;
		all = all && rc;
	}
	return all;
}

/* All that a restore from StoreDir relies on; where it has not all, that there is a place for each pack. */
static int verify_member(struct verify *v, struct json_object *member, struct fm_error *err)
{
	struct store_file map, held;
	int all = member_beside(v, member, err);

	manifest_member_files(member, &map, &held);
	if (all <= 0) {
		v->store_good = false;
		return all < 0 ? -1 : verify_held(v, &held, err);
	}
	if (verify_whole(v, &map, err) < 0 || verify_disks(v, member, err) < 0 || verify_held(v, &held, err) < 0) {
		v->store_bad = true;
		return -1;
	}
	return 0;
}

static struct json_object *member_verdict(struct verify *v, struct json_object *member, const struct fm_error *files)
{
	struct json_object *o = json_object_new_object();
	struct fm_error err = *files;
	int rc = files->code == FM_OK ? verify_member(v, member, &err) : -1;

	v->store_bad = v->store_bad || files->code != FM_OK;
	v->store_good = v->store_good && rc == 0;
	v->good = v->good && rc == 0;
	fm_json_set_int(o, "rank", fm_json_int_or(member, "rank", -1));
	fm_json_set_string(o, "node", fm_json_string_or(member, "node", ""));
	fm_json_set_bool(o, "ok", rc == 0);
	if (rc < 0)
		fm_json_set_string(o, "error", err.text);
	return o;
}

/* A member's files, and which packs they need. */
static int verify_files(struct verify *v, struct verdict *verdict, struct json_object *member, struct fm_error *err)
{
	struct store_file file;
	bool pages;

	for (size_t i = 0; manifest_member_file(member, i, &file, &pages); i++)
		if (verify_file(v, verdict, &file, err) < 0 || (pages && add_packs(v, &file, err) < 0))
			return -1;
	return 0;
}

/* Files of all members, then all their packs, then what is made of them. */
static void verify_store(struct verify *v, struct json_object *verdicts)
{
	struct json_object *members = manifest_get(v->manifest, "members");
	size_t count = json_object_array_length(members);
	FM_AUTO_FREE struct fm_error *files = calloc(count + 1, sizeof(*files));
	FM_AUTO_FREE char *where = fm_format("StoreDir %s", v->site->store);
	struct verdict verdict = verdict_begin(LEVEL_SPEC_STORE, where);

	for (size_t i = 0; files && i < count; i++)
		if (verify_files(v, &verdict, json_object_array_get_idx(members, i), &files[i]) == 0)
			files[i].code = FM_OK;
	contents_sort(&v->packs);
	for (size_t i = 0; i < v->packs.count; i++)
		verify_pack(v, &verdict, &v->packs.pack[i]);
	v->store_good = v->good = files != NULL;
	for (size_t i = 0; files && i < count; i++)
		json_object_array_add(verdicts, member_verdict(v, json_object_array_get_idx(members, i), &files[i]));
	verdict.bad = v->store_bad || !files; /* what was made good is */
	v->good = v->good && !verdict.bad;
	if (v->to_come)
		fm_json_set_int(verdict.o, "to_come", (int64_t)v->to_come);
	verdict_end(&verdict, v->to_come && !verdict.bad ? "absent" : NULL, NULL, v->levels);
}

/* ---- all of it ----------------------------------------------------------------------------------- */

/* Not in StoreDir: is there a level that has it? */
static int only_elsewhere(struct verify *v, struct fm_error *err)
{
	struct json_object *manifest;
	struct fm_error ignored;
	size_t level;

	if (!v->id.n || !v->site->count || !(manifest = fetch_manifest(v->site, &v->id, &level, &ignored)))
		return -1;
	json_object_put(manifest);
	if (err->code == FM_NOT_FOUND)
		fm_fail(err, FM_CORRUPT, "StoreDir does not have %" PRIu32 ".%" PRIu32, v->id.job, v->id.n);
	return fm_context(err, "level %s has it, and `fermata verify --repair` brings it back", site_name(v->site, level));
}

/* Where StoreDir does not have it, a level may: then it is brought back, if that is wanted. */
static int find(struct verify *v, struct fm_error *err)
{
	struct fetched f = { 0 };

	if (v->repair)
		v->manifest = fetch_find(v->site, &v->id, &f, err);
	else
		v->manifest = store_manifest(v->site->store, &v->id, err);
	if (!v->manifest)
		return v->repair ? -1 : only_elsewhere(v, err);
	if (v->repair && fetch_key(v->site, v->id.job, &f, err) < 0)
		return -1;
	if (store_access_job(&v->access, v->site->store, v->id.job, v->site->key_file, false, err) < 0)
		return -1;
	v->pages = pages_store_open(v->access.pages, v->id.job, v->access.key, err);
	return v->pages ? 0 : -1;
}

static struct json_object *run(struct verify *v)
{
	struct json_object *result = json_object_new_object(), *verdicts = json_object_new_array();
	int64_t begun = now_ms();
	char name[24];

	v->levels = json_object_new_array();
	verify_store(v, verdicts);
	for (size_t i = 0; i < v->site->count; i++)
		verify_level(v, i);
	fm_snapshot_id_format(&v->id, name);
	fm_json_set_string(result, "snapshot", name);
	fm_json_set_bool(result, "ok", v->good);
	json_object_object_add(result, "members", verdicts);
	json_object_object_add(result, "levels", v->levels);
	fm_json_set_double(result, "seconds", (double)(now_ms() - begun) / 1e3);
	return result;
}

int verify_snapshot_beside(struct site *site, struct fm_snapshot_id *id, bool repair, const struct verify_beside *beside,
			   struct json_object **result_r, struct fm_error *err)
{
	struct verify v = { .site = site, .id = *id, .repair = repair, .beside = beside };
	int rc = find(&v, err);

	if (rc == 0)
		*result_r = run(&v);
	*id = v.id;
	pages_store_close(v.pages);
	store_access_close(&v.access);
	contents_dispose(&v.packs);
	json_object_put(v.manifest);
	return rc;
}

int verify_snapshot(struct site *site, struct fm_snapshot_id *id, bool repair, struct json_object **result_r,
		    struct fm_error *err)
{
	return verify_snapshot_beside(site, id, repair, NULL, result_r, err);
}
