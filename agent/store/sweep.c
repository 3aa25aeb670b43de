/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep.c - see sweep.h. */
#include "config.h"

#include "agent/store/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/access.h"
#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "agent/store/pages/pages.h"
#include "agent/store/store.h"
#include "common/cleanup.h"
#include "common/io.h"

#define MAP_SUFFIX ".map"
#define SWEEP_WAIT_MS 10000 /* for another to give way */

struct sweep {
	const char *store;
	uint32_t job;
	const struct sweep_options *o;
	struct pages_store *pages;
	struct pages_needed *needed;
	struct sweep_result *result;
	struct store_access access;
};

/* ---- mark ---------------------------------------------------------------------------- */

/* A map that is gone by now went with its snapshot. */
static int mark_map(struct sweep *s, const char *path, struct fm_error *err)
{
	struct pages_map *m = pages_map_open(path, s->job, s->access.key, NULL, err);
	int rc;

	if (!m)
		return err->code == FM_NOT_FOUND ? 0 : fm_context(err, "what %s needs is not known", path);
	rc = pages_needed_map(s->needed, m, err);
	pages_map_close(m);
	s->result->maps++;
	return rc;
}

static bool is_map(const char *name)
{
	size_t length = strlen(name), suffix = strlen(MAP_SUFFIX);

	return *name != '.' && length > suffix && strcmp(name + length - suffix, MAP_SUFFIX) == 0;
}

static int mark_folder(struct sweep *s, const char *path, struct fm_error *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		FM_AUTO_FREE char *map = NULL;

		if (!is_map(entry->d_name))
			continue;
		if (s->o->background && pages_sweep_wanted(s->pages))
			return closedir(dir), fm_fail(err, FM_BUSY, "a writer or a reader waits");
		map = fm_format("%s/%s", path, entry->d_name);
		rc = map ? mark_map(s, map, err) : fm_fail(err, FM_FAILED, "out of memory");
		errno = 0;
	}
	if (rc == 0 && errno != 0)
		rc = fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	closedir(dir);
	return rc;
}

static bool is_gone(const struct sweep *s, uint32_t n)
{
	for (size_t i = 0; s->o->dry_run && i < s->o->gone_count; i++)
		if (s->o->gone[i] == n)
			return true;
	return false;
}

static int mark(struct sweep *s, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(s->store, s->job, err);
	struct folder_numbers numbers;
	int rc;

	if (!job_dir)
		return -1;
	rc = folder_numbers(job_dir, &numbers, err);
	for (size_t i = 0; rc == 0 && i < numbers.count; i++) {
		struct fm_snapshot_id id = { .job = s->job, .n = numbers.values[i] };
		FM_AUTO_FREE char *path = store_snapshot_dir(s->store, &id);
		int removed = folder_is_removed(s->store, &id, err);

		if (removed < 0 || !path)
			rc = removed < 0 ? -1 : fm_fail(err, FM_FAILED, "out of memory");
		else if (!removed && !is_gone(s, id.n))
			rc = mark_folder(s, path, err);
	}
	folder_numbers_dispose(&numbers);
	if (rc < 0)
		return fm_context(err, "no page of job %" PRIu32 " is removed", s->job);
	pages_needed_settle(s->needed);
	return 0;
}

/* ---- sweep ----------------------------------------------------------------------------- */

static void note_damage(struct sweep *s, const char *text)
{
	if (s->result->damaged++ == 0)
		snprintf(s->result->damaged_text, sizeof(s->result->damaged_text), "%s", text);
}

static uint64_t file_bytes(const struct sweep *s, const char *id)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.pack", s->access.pages, id);
	struct stat st;

	return path && lstat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int remove_pack(struct sweep *s, const char *id, uint64_t bytes, struct fm_error *err)
{
	if (!s->o->dry_run && pages_sweep_wanted(s->pages)) {
		s->result->given_way = true;
		return 0;
	}
	if (!s->o->dry_run && pages_pack_remove(s->pages, id, err) < 0)
		return -1;
	s->result->removed++;
	s->result->freed += bytes;
	return 0;
}

/* First what takes no room to do. */
static int remove_packs(struct sweep *s, struct fm_error *err)
{
	struct pages_needed_pack p;

	for (size_t i = 0; pages_needed_pack(s->needed, i, &p); i++) {
		uint64_t bytes = p.damaged ? file_bytes(s, p.id) : p.bytes;

		s->result->packs++;
		s->result->bytes += bytes;
		if (p.damaged && p.named) {
			FM_AUTO_FREE char *text = fm_format("%s/%s.pack does not verify", s->access.pages, p.id);

			note_damage(s, text ? text : p.id);
		}
		if (p.named || p.needed > 0) /* a map may name it only for a page that lies elsewhere by now */
			continue;
		if (remove_pack(s, p.id, bytes, err) < 0)
			return -1;
		if (s->result->given_way)
			return 0;
	}
	return 0;
}

static int rewrite_pack(struct sweep *s, const struct pages_needed_pack *p, struct fm_error *err)
{
	const struct pages_rewrite_options o = { .codec = PAGES_ZSTD, .keep = s->o->whole_packs ? NULL : p->keep };
	uint64_t before, after;

	if (s->o->dry_run) {
		s->result->rewritten++;
		s->result->freed += p->frame_bytes / p->present * (p->present - p->needed);
		return 0;
	}
	if (pages_pack_rewrite(s->pages, p->id, &o, &before, &after, err) == 0) {
		s->result->rewritten++;
		s->result->freed += before > after ? before - after : 0;
		return 0;
	}
	if (err->code == FM_CORRUPT) { /* stays as it is */
		note_damage(s, err->text);
		return 0;
	}
	if (err->code != FM_BUSY)
		return -1;
	s->result->given_way = true;
	return 0;
}

/* Of each page the copy that stays, in both senses: kept, and read before others go for it. */
static int choose_once(struct sweep *s, struct fm_error *err)
{
	if (!s->o->compact || s->result->given_way || pages_needed_once(s->needed, err) == 0)
		return 0;
	if (err->code != FM_BUSY)
		return -1;
	s->result->given_way = true;
	return 0;
}

static int rewrite_packs(struct sweep *s, struct fm_error *err)
{
	unsigned share = s->o->share ? s->o->share : s->o->compact ? 100 : SWEEP_SHARE;
	struct pages_needed_pack p;
	int rc = 0;

	for (size_t i = 0; rc == 0 && !s->result->given_way && pages_needed_pack(s->needed, i, &p); i++) {
		bool wasteful = (uint64_t)p.needed * 100 < (uint64_t)p.present * share;

		if (s->o->whole_packs)
			wasteful = false;
		if (s->o->compact && p.hot)
			wasteful = true;
		if (!p.damaged && (p.named || p.needed > 0) && p.present > 0 && wasteful)
			rc = rewrite_pack(s, &p, err);
	}
	return rc;
}

static int run(struct sweep *s, struct fm_error *err)
{
	unsigned parts;

	if (pages_sweep_begin(s->pages, err) < 0)
		return -1;
	s->needed = pages_needed_create(s->pages, err);
	if (!s->needed || mark(s, err) < 0 || choose_once(s, err) < 0)
		return -1;
	if (!s->result->given_way && remove_packs(s, err) < 0)
		return -1;
	if (!s->o->dry_run && pages_store_sweep(s->pages, &parts, err) < 0)
		return -1;
	return rewrite_packs(s, err);
}

int store_sweep(const char *store, uint32_t job, const struct sweep_options *o, struct sweep_result *result_r,
		struct fm_error *err)
{
	struct sweep s = { .store = store, .job = job, .o = o, .result = result_r };
	int rc = store_access_job(&s.access, store, job, o->key_file, false, err);

	memset(result_r, 0, sizeof(*result_r));
	if (rc == 0 && access(s.access.pages, F_OK) < 0) { /* opening the pages would make the folder */
		rc = errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot see %s: %s", s.access.pages, strerror(errno));
		store_access_close(&s.access);
		return rc;
	}
	if (rc == 0)
		s.pages = pages_store_open(s.access.pages, job, s.access.key, err);
	if (s.pages)
		pages_sweep_wait(s.pages, o->background ? 0 : SWEEP_WAIT_MS);
	rc = s.pages ? run(&s, err) : -1;
	pages_needed_destroy(s.needed);
	pages_store_close(s.pages);
	store_access_close(&s.access);
	return rc;
}

struct json_object *sweep_to_json(const struct sweep_result *r)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_int(o, "packs", (int64_t)r->packs);
	fm_json_set_int(o, "bytes", (int64_t)r->bytes);
	fm_json_set_int(o, "removed", (int64_t)r->removed);
	fm_json_set_int(o, "rewritten", (int64_t)r->rewritten);
	fm_json_set_int(o, "freed", (int64_t)r->freed);
	fm_json_set_int(o, "damaged", (int64_t)r->damaged);
	if (r->damaged)
		fm_json_set_string(o, "damaged_text", r->damaged_text);
	if (r->given_way)
		fm_json_set_bool(o, "given_way", true);
	return o;
}

/* ---- who reads meanwhile ----------------------------------------------------------------- */

/* The last two folders of "…/7/1/member-0.map". */
static bool id_of(const char *map_path, struct fm_snapshot_id *id_r)
{
	const char *end = strrchr(map_path, '/');
	FM_AUTO_FREE char *copy = end ? strndup(map_path, (size_t)(end - map_path)) : NULL;
	struct fm_error ignored;
	char text[32];
	char *n, *job;

	n = copy ? strrchr(copy, '/') : NULL;
	if (!n)
		return false;
	*n++ = '\0';
	job = strrchr(copy, '/');
	job = job ? job + 1 : copy;
	if (snprintf(text, sizeof(text), "%s.%s", job, n) >= (int)sizeof(text))
		return false;
	return fm_snapshot_id_parse(text, id_r, &ignored) == 0;
}

int store_removed_meanwhile(const char *map_path, struct fm_error *err)
{
	const char *end = strrchr(map_path, '/');
	FM_AUTO_FREE char *manifest = NULL;
	struct fm_snapshot_id id;
	struct stat st;

	if ((err->code != FM_CORRUPT && err->code != FM_NOT_FOUND) || !id_of(map_path, &id))
		return -1;
	manifest = fm_format("%.*s/" MANIFEST_NAME, (int)(end - map_path), map_path);
	if (!manifest || lstat(manifest, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return -1;
	return fm_fail(err, FM_NOT_FOUND, "snapshot %" PRIu32 ".%" PRIu32 " was removed meanwhile", id.job, id.n);
}
