/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copy.c - see copy.h. What has to be sent is found out in copy_plan.c; here it is sent. */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/copies/copy_private.h"
#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LEFT_AGE_S 86400 /* of what a put that was killed has left on a level */

static int on_bytes(void *arg, uint64_t bytes)
{
	struct copy *c = arg;
	struct copy_progress now = c->progress;

	now.done += bytes;
	if (c->calls->progress)
		c->calls->progress(c->calls->arg, &now);
	return c->site->stop && c->site->stop(c->site->arg);
}

int copy_put(struct copy *c, const char *object, const char *path, const struct level_object *what, struct fm_error *err)
{
	const struct level_transfer transfer = { c->site->throttle, on_bytes, c };

	return level_put(c->level, object, path, what, &transfer, NULL, err);
}

static int put_file(struct copy *c, const char *object, const char *path, struct fm_error *err)
{
	struct level_object what;

	return level_object_of_file(path, &what, err) < 0 ? -1 : copy_put(c, object, path, &what, err);
}

/* In a repair what is there goes first: S3 would take the hash it was put with for that of its bytes. */
static int put_anew(struct copy *c, const char *object, const char *path, struct fm_error *err)
{
	if (c->calls->again && level_remove(c->level, object, err) < 0)
		return -1;
	return put_file(c, object, path, err);
}

/* A small text that we made, by way of a file. */
static int put_text(struct copy *c, const char *object, const char *text, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/text", c->stage.path);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_file_write(path, 0600, text, strlen(text), err) < 0 ? -1 : put_anew(c, object, path, err);
}

static int put_contents(struct copy *c, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, c->id.n, CONTENTS_NAME, err);
	FM_AUTO_FREE char *text = object ? contents_text(&c->list, err) : NULL;

	if (!text || put_text(c, object, text, err) < 0)
		return -1;
	contents_dispose(&c->there);
	return contents_copy(&c->there, &c->list, err);
}

/* ---- packs ------------------------------------------------------------------------------ */

static int verify_pack(struct copy *c, const char *dir, const char *id, struct fm_error *err)
{
	struct pages_store *staged = pages_store_open(dir, c->id.job, c->access.key, err);
	struct pages_verdict verdict;
	int rc = staged ? pages_pack_verify(staged, id, &verdict, err) : -1;

	pages_store_close(staged);
	if (rc < 0 && err->code == FM_CORRUPT)
		return fm_context(err, "what StoreDir has of pack %.12s… is not copied", id);
	return rc;
}

static int put_pack(struct copy *c, const struct planned *p, struct fm_error *err)
{
	const char *dir = p->in_place ? c->access.pages : c->stage.path;
	FM_AUTO_FREE char *path = fm_format("%s/%s.pack", dir, p->id);
	FM_AUTO_FREE char *name = fm_format("pages/%s.pack", p->id);
	FM_AUTO_FREE char *object = name ? site_object(c->id.job, 0, name, err) : NULL;
	struct contents_pack *listed = contents_find(&c->list, p->id);
	struct level_object what;

	if (!path || !object || !listed)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (verify_pack(c, dir, p->id, err) < 0 || level_object_of_file(path, &what, err) < 0)
		return -1;
	if (p->again && level_remove(c->level, object, err) < 0)
		return -1;
	if (copy_put(c, object, path, &what, err) < 0)
		return -1;
	if (!p->in_place)
		unlink(path); /* the room that a sweep has freed since */
	listed->bytes = what.bytes;
	c->progress.done += what.bytes;
	return 0;
}

static int put_packs(struct copy *c, struct fm_error *err)
{
	for (size_t i = 0; i < c->planned_count; i++) {
		int whole = folder_is_whole(c->site->store, &c->id, err);

		if (whole <= 0)
			return whole < 0 ? -1 : copy_gone(c, err);
		if (put_pack(c, &c->planned[i], err) < 0)
			return -1;
	}
	return 0;
}

/* ---- the other files --------------------------------------------------------------------------- */

static int put_member_file(struct copy *c, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, c->id.n, file->name, err);
	FM_AUTO_FREE char *path = folder_path(c->site->store, &c->id, file->name, err);
	struct level_object what = { .bytes = file->bytes };

	if (!object || !path)
		return -1;
	memcpy(what.sha256, file->sha256, sizeof(what.sha256));
	if (copy_has_file(c, object, file))
		return 0;
	if (c->calls->again && level_remove(c->level, object, err) < 0)
		return -1;
	if (copy_put(c, object, path, &what, err) < 0)
		return -1;
	c->progress.done += file->bytes;
	return 0;
}

static int put_members(struct copy *c, struct fm_error *err)
{
	struct json_object *members = manifest_get(c->manifest, "members");
	struct store_file file;
	bool pages;

	for (size_t i = 0; i < json_object_array_length(members); i++)
		for (size_t k = 0; manifest_member_file(json_object_array_get_idx(members, i), k, &file, &pages); k++)
			if (put_member_file(c, &file, err) < 0)
				return -1;
	return 0;
}

/* The job's, which need not be there: its script, its key. */
static int put_job_file(struct copy *c, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, 0, name, err);
	FM_AUTO_FREE char *path = fm_format("%s/%s", c->access.folder, name);
	struct stat st;

	if (!object || !path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (lstat(path, &st) < 0 && errno == ENOENT)
		return 0;
	return put_anew(c, object, path, err);
}

static int put_manifest(struct copy *c, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, c->id.n, MANIFEST_NAME, err);
	FM_AUTO_FREE char *path = folder_path(c->site->store, &c->id, MANIFEST_NAME, err);

	return object && path ? put_anew(c, object, path, err) : -1;
}

static int put_all(struct copy *c, struct fm_error *err)
{
	if (!contents_same(&c->there, &c->list) && put_contents(c, err) < 0)
		return -1;
	if (put_packs(c, err) < 0 || put_members(c, err) < 0 || put_job_file(c, "script", err) < 0 ||
	    put_job_file(c, "key", err) < 0)
		return -1;
	if (!contents_same(&c->there, &c->list) && put_contents(c, err) < 0)
		return -1;
	return put_manifest(c, err);
}

int copy_snapshot(struct site *site, size_t level, const struct fm_snapshot_id *id, const struct copy_calls *calls,
		  struct copy_progress *progress_r, struct fm_error *err)
{
	struct copy c = { .site = site, .id = *id, .calls = calls, .stage.fd = -1, .hold = -1 };
	struct fm_error ignored;
	int rc;

	c.level = site_open(site, level, err);
	rc = c.level ? copy_plan(&c, err) : -1;
	if (rc == 0)
		rc = put_all(&c, err);
	if (rc < 0 && err->code == FM_NOT_FOUND)
		copy_gone(&c, err);
	if (c.level && !rc)
		level_sweep(c.level, LEFT_AGE_S, NULL, &ignored);
	*progress_r = c.progress;
	copy_dispose(&c);
	return rc < 0 ? fm_context(err, "level %s", site_name(site, level)) : 0;
}

/* ---- which is next -------------------------------------------------------------------------------- */

static bool is_whole(struct site *site, size_t level, struct json_object *record)
{
	FM_AUTO_FREE char *where = site_where(site, level);
	struct json_object *entry = record_entry(record, site_name(site, level), where);
	const char *state = fm_json_string_or(entry, "state", "");

	/* A damaged one is repaired on request: what is damaged there may be all there is of it. */
	return entry && (!strcmp(state, "whole") || !strcmp(state, "damaged"));
}

int copy_next(struct site *site, uint32_t job, copy_skip skip, void *arg, struct fm_snapshot_id *id_r, size_t *level_r,
	      struct fm_error *err)
{
	FM_AUTO_FREE char *folder = folder_job(site->store, job, err);
	struct folder_numbers numbers;
	int rc;

	if (!folder)
		return -1;
	rc = folder_numbers(folder, &numbers, err);
	for (size_t i = numbers.count; rc == 0 && i-- > 0;) {
		struct fm_snapshot_id id = { .job = job, .n = numbers.values[i] };
		FM_AUTO_JSON struct json_object *record = record_read(site->store, &id);
		int whole = folder_is_whole(site->store, &id, err);

		for (size_t l = 0; rc == 0 && whole > 0 && l < site->count; l++)
			if (!is_whole(site, l, record) && !skip(arg, &id, l)) {
				*id_r = id;
				*level_r = l;
				rc = 1;
			}
		rc = whole < 0 ? -1 : rc;
	}
	folder_numbers_dispose(&numbers);
	return rc;
}
