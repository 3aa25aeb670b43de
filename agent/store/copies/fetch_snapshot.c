/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetch_snapshot.c - see fetch.h: a snapshot that StoreDir has lost, and what a member needs. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/copies/contents.h"
#include "agent/store/copies/fetch_private.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

/* ---- manifests ------------------------------------------------------------------------------ */

struct manifest_check {
	const struct fm_snapshot_id *id;
	struct json_object *manifest;
	char *text;
	size_t size;
};

static int check_manifest(void *arg, const char *path, struct fm_error *err)
{
	struct manifest_check *m = arg;

	m->text = fm_file_read(path, MANIFEST_SIZE_MAX, &m->size, err);
	m->manifest = m->text ? manifest_open(m->text, m->size, m->id, err) : NULL;
	if (m->manifest)
		return 0;
	free(fm_steal_ptr(&m->text));
	return -1;
}

/* Into a folder of its own, since there may be no folder of the job. m->text is the caller's to free, and the object to put. */
static int get_manifest(struct site *site, struct manifest_check *m, struct fetched *f, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(m->id->job, m->id->n, MANIFEST_NAME, err);
	const struct want w = { .object = object, .check = check_manifest, .arg = m };
	char dir[] = "/tmp/fermata-manifest.XXXXXX";
	FM_AUTO_FREE char *path = NULL;
	struct fm_error ignored;
	int rc;

	if (!object)
		return -1;
	if (!mkdtemp(dir))
		return fm_fail(err, FM_FAILED, "cannot make a folder in /tmp: %s", strerror(errno));
	path = fm_format("%s/" MANIFEST_NAME, dir);
	rc = path ? fetch_to(site, &w, path, f, err) : fm_fail(err, FM_FAILED, "out of memory");
	fm_remove_tree(dir, &ignored);
	return rc;
}

static int refuse_removed(struct site *site, const struct fm_snapshot_id *id, struct fm_error *err)
{
	int removed = record_is_removed(site->store, id, err);

	if (removed > 0)
		return fm_fail(err, FM_NOT_FOUND, "snapshot %" PRIu32 ".%" PRIu32 " was removed", id->job, id->n);
	return removed;
}

struct json_object *fetch_manifest(struct site *site, const struct fm_snapshot_id *id, size_t *level_r, struct fm_error *err)
{
	struct manifest_check m = { .id = id };
	struct fetched f = { 0 };

	if (refuse_removed(site, id, err) < 0 || get_manifest(site, &m, &f, err) < 0)
		return NULL;
	free(m.text);
	if (level_r)
		*level_r = f.far - 1;
	return m.manifest;
}

/* ---- what is wrong with what is there -------------------------------------------------------- */

/* 0: it is as its manifest says; 1: missing or damaged. */
static int is_bad(const char *path, const struct store_file *file)
{
	struct fm_error ignored;
	struct level_object is;

	return level_object_of_file(path, &is, &ignored) < 0 || is.bytes != file->bytes || strcmp(is.sha256, file->sha256);
}

static int fetch_if_bad(struct site *site, const struct fm_snapshot_id *id, const struct store_file *file, struct fetched *f,
			struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(site->store, id, file->name, err);
	FM_AUTO_FREE char *object = path ? site_object(id->job, id->n, file->name, err) : NULL;
	struct level_object expected = { .bytes = file->bytes };

	if (!object)
		return -1;
	memcpy(expected.sha256, file->sha256, sizeof(expected.sha256));
	return is_bad(path, file) ? fetch_file(site, id->job, object, &expected, f, err) : 0;
}

/* The job's script, its key: where it is missing, and a level has one. */
static int fetch_job_file(struct site *site, uint32_t job, const char *name, struct fetched *f, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(job, 0, name, err);
	FM_AUTO_FREE char *path = object ? fm_format("%s/%s", site->store, object) : NULL;
	const struct want w = { .object = object, .new_only = true };
	struct stat st;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (lstat(path, &st) == 0 || fetch_once(site, job, &w, f, err) == 0)
		return 0;
	return err->code == FM_NOT_FOUND ? 0 : -1;
}

static int fetch_members(struct site *site, const struct fm_snapshot_id *id, struct json_object *manifest, struct fetched *f,
			 struct fm_error *err)
{
	struct json_object *members = manifest_get(manifest, "members");
	struct store_file file;
	bool pages;

	for (size_t i = 0; i < json_object_array_length(members); i++)
		for (size_t k = 0; manifest_member_file(json_object_array_get_idx(members, i), k, &file, &pages); k++)
			if (fetch_if_bad(site, id, &file, f, err) < 0)
				return -1;
	return 0;
}

/* A manifest that is there but damaged is replaced; one that verifies is the one. */
static int install(struct site *site, const struct fm_snapshot_id *id, const char *text, size_t size, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(site->store, id, MANIFEST_NAME, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(site->store, id);

	if (!path || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_fsync_dir(dir, err) < 0 ? -1 : fm_file_write(path, 0600, text, size, err);
}

/* Its files first, so that a sweep that finds a snapshot finds its maps. Its pages come with who needs them. */
static struct json_object *bring(struct site *site, const struct fm_snapshot_id *id, struct fetched *f, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(site->store, id);
	struct fm_snapshot_id local = *id;
	struct manifest_check m = { .id = id };
	struct fm_error ignored;

	if (!dir) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (refuse_removed(site, id, err) < 0)
		return NULL;
	m.manifest = store_manifest(site->store, &local, &ignored);
	if (!m.manifest && get_manifest(site, &m, f, err) < 0)
		return NULL;
	if (fm_mkdir_all(dir, 0700, err) < 0 || fetch_job_file(site, id->job, "script", f, err) < 0 ||
	    fetch_job_file(site, id->job, "key", f, err) < 0 || fetch_members(site, id, m.manifest, f, err) < 0 ||
	    (m.text && install(site, id, m.text, m.size, err) < 0)) {
		json_object_put(m.manifest);
		m.manifest = NULL;
	}
	free(m.text);
	return m.manifest;
}

/* ---- one by its number --------------------------------------------------------------- */

struct json_object *fetch_find_one(struct site *site, const struct fm_snapshot_id *id, struct fetched *f,
				   struct fm_error *err)
{
	struct fm_snapshot_id local = *id;
	struct json_object *manifest = store_manifest(site->store, &local, err);
	struct fm_error why = *err, levels;

	if (manifest && store_check(site->store, id, manifest, &why) == 0)
		return manifest;
	json_object_put(manifest);
	manifest = site->count ? bring(site, id, f, &levels) : NULL;
	if (manifest)
		return manifest;
	if (!site->count || (levels.code == FM_NOT_FOUND && why.code == FM_NOT_FOUND))
		*err = why;
	else
		fm_fail(err, why.code == FM_NOT_FOUND ? levels.code : why.code, "%.300s; %.440s", why.text, levels.text);
	return NULL;
}

int fetch_key(struct site *site, uint32_t job, struct fetched *f, struct fm_error *err)
{
	return site->count ? fetch_job_file(site, job, "key", f, err) : 0;
}

int fetch_held(struct site *site, const struct fm_snapshot_id *id, const struct store_file *held, struct fetched *f,
	       struct fm_error *err)
{
	return fetch_key(site, id->job, f, err) < 0 ? -1 : fetch_if_bad(site, id, held, f, err);
}

/* ---- a member -------------------------------------------------------------------------------------- */

struct member {
	struct site *site;
	const struct fm_snapshot_id *id;
	struct store_access access;
	struct pages_store *pages;
	struct fetched *fetched;
};

static int fetch_bad_pack(struct member *m, const char *id, struct fm_error *err)
{
	struct pages_verdict verdict;

	if (pages_pack_verify(m->pages, id, &verdict, err) == 0)
		return 0;
	if (err->code != FM_CORRUPT)
		return -1;
	return fetch_pack(m->site, &m->access, id, m->fetched, err);
}

static int check_contents(void *arg, const char *path, struct fm_error *err)
{
	FM_AUTO_FREE char *text = NULL;
	size_t size;

	text = fm_file_read(path, CONTENTS_SIZE_MAX, &size, err);
	return text ? contents_parse(arg, text, size, err) : -1;
}

/* Those that a copy of the snapshot has besides: they have pages which the map's own packs have lost. */
static int fetch_others(struct member *m, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(m->id->job, m->id->n, CONTENTS_NAME, err), *path = NULL;
	struct contents list = { 0 };
	const struct want w = { .object = object, .check = check_contents, .arg = &list };
	struct fetched list_only = { 0 };
	struct stage stage;
	int rc;

	if (!object || stage_make(&stage, m->site->store, m->id->job, err) < 0)
		return -1;
	path = fm_format("%s/" CONTENTS_NAME, stage.path);
	rc = path ? fetch_to(m->site, &w, path, &list_only, err) : fm_fail(err, FM_FAILED, "out of memory");
	stage_remove(&stage);
	contents_sort(&list);
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		FM_AUTO_FREE char *pack = fm_format("%s/%s.pack", m->access.pages, list.pack[i].id);
		struct stat st;

		if (pack && lstat(pack, &st) < 0)
			rc = fetch_pack(m->site, &m->access, list.pack[i].id, m->fetched, err);
	}
	contents_dispose(&list);
	return rc;
}

static int nothing(void *arg, const struct pages_source *source, struct fm_error *err)
{
	(void)arg, (void)source, (void)err;
	return 0;
}

static int fetch_packs_of(struct member *m, const struct pages_map *map, struct fm_error *err)
{
	struct fm_error why;
	char id[65];

	for (size_t i = 0; pages_map_pack(map, i, id); i++)
		if (fetch_bad_pack(m, id, err) < 0)
			return -1;
	if (pages_map_sources(m->pages, map, nothing, NULL, &why) == 0)
		return 0;
	if (why.code != FM_CORRUPT || fetch_others(m, err) < 0) {
		if (why.code != FM_CORRUPT)
			*err = why;
		return -1;
	}
	return pages_map_sources(m->pages, map, nothing, NULL, err);
}

/* What a map of the member's, which is there, needs. */
static int fetch_packs(struct member *m, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(m->site->store, m->id, file->name, err);
	struct pages_map *map = path ? pages_map_open(path, m->id->job, m->access.key, file->sha256, err) : NULL;
	int rc = map ? fetch_packs_of(m, map, err) : -1;

	pages_map_close(map);
	return rc;
}

static int open_member(struct member *m, struct fm_error *err)
{
	if (store_access_job(&m->access, m->site->store, m->id->job, m->site->key_file, false, err) < 0)
		return -1;
	m->pages = pages_store_open(m->access.pages, m->id->job, m->access.key, err);
	return m->pages ? 0 : -1;
}

/* All its files, then what its maps need. */
static int fetch_all(struct member *m, struct json_object *member, struct fm_error *err)
{
	struct store_file file;
	bool pages;

	for (size_t i = 0; manifest_member_file(member, i, &file, &pages); i++)
		if (fetch_if_bad(m->site, m->id, &file, m->fetched, err) < 0)
			return -1;
	if (open_member(m, err) < 0)
		return -1;
	for (size_t i = 0; manifest_member_file(member, i, &file, &pages); i++)
		if (pages && fetch_packs(m, &file, err) < 0)
			return -1;
	return 0;
}

int fetch_member(struct site *site, const struct fm_snapshot_id *id, unsigned rank, struct fetched *f, struct fm_error *err)
{
	struct member m = { .site = site, .id = id, .fetched = f };
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct fm_snapshot_id of = *id;
	struct store_file map, held;
	int rc;

	manifest = fetch_find_one(site, &of, f, err);
	if (!manifest || store_manifest_member(manifest, rank, &map, &held, err) < 0)
		return -1;
	rc = fetch_key(site, id->job, f, err);
	if (rc == 0)
		rc = fetch_all(&m, json_object_array_get_idx(manifest_get(manifest, "members"), rank), err);
	pages_store_close(m.pages);
	store_access_close(&m.access);
	return rc;
}
