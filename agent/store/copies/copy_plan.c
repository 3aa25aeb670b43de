/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy_plan.c - what of a snapshot a level does not have.
 *
 * The level is listed first, which may take its time; then, with no sweep beside it, the packs that the maps need are
 * looked up and those that have to be sent linked into the stage, all at once: for which packs together have all pages
 * may change with the next sweep.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/copies/copy_private.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

int copy_gone(const struct copy *c, struct fm_error *err)
{
	struct fm_error ignored;

	if (folder_is_whole(c->site->store, &c->id, &ignored) == 0)
		return fm_fail(err, FM_NOT_FOUND, "snapshot %" PRIu32 ".%" PRIu32 " was removed meanwhile", c->id.job, c->id.n);
	if (err->code == FM_NOT_FOUND) /* a file of it is missing: that is damage */
		err->code = FM_CORRUPT;
	return -1;
}

void copy_dispose(struct copy *c)
{
	stage_remove(&c->stage);
	if (c->hold >= 0)
		close(fm_steal_fd(&c->hold));
	pages_store_close(c->pages);
	store_access_close(&c->access);
	json_object_put(c->manifest);
	listing_dispose(&c->listing);
	contents_dispose(&c->list);
	contents_dispose(&c->there);
	contents_dispose(&c->known);
	free(c->planned);
}

/* ---- what is there --------------------------------------------------------------------------- */

/* An object's text; NULL with err. Caller frees. */
static char *get_text(struct copy *c, const char *object, size_t max, size_t *size_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/got", c->stage.path);
	const struct level_transfer transfer = site_down(c->site);

	if (!path) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	return level_get(c->level, object, path, NULL, &transfer, NULL, err) < 0 ? NULL : fm_file_read(path, max, size_r, err);
}

/* What the list of snapshot n says; one that is damaged says nothing. */
static int read_list(struct copy *c, uint32_t n, struct contents *to, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, n, CONTENTS_NAME, err), *text = NULL;
	struct contents one = { 0 };
	struct fm_error why;
	size_t size;
	int rc = 0;

	if (!object)
		return -1;
	if (!listing_find(&c->listing, object))
		return 0;
	text = get_text(c, object, CONTENTS_SIZE_MAX, &size, &why);
	if (!text && why.code != FM_CORRUPT && why.code != FM_NOT_FOUND) {
		*err = why;
		return -1;
	}
	if (text && contents_parse(&one, text, size, &why) == 0)
		rc = contents_add_all(to, &one, err);
	contents_dispose(&one);
	contents_sort(to);
	return rc;
}

/* A manifest under this name that is not ours is another job's of the same number, or its key is. */
static int check_theirs(struct copy *c, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, c->id.n, MANIFEST_NAME, err), *theirs = NULL, *ours = NULL;
	FM_AUTO_FREE char *path = folder_path(c->site->store, &c->id, MANIFEST_NAME, err);
	FM_AUTO_JSON struct json_object *other = NULL;
	struct fm_error why;
	size_t size, our_size;

	if (!object || !path)
		return -1;
	if (!listing_find(&c->listing, object))
		return 0;
	theirs = get_text(c, object, MANIFEST_SIZE_MAX, &size, &why);
	ours = fm_file_read(path, MANIFEST_SIZE_MAX, &our_size, err);
	if (!ours)
		return -1;
	if (!theirs && why.code != FM_CORRUPT) {
		*err = why;
		return -1;
	}
	if (!theirs || (size == our_size && !memcmp(theirs, ours, size)))
		return 0;
	other = manifest_open(theirs, size, &c->id, &why);
	if (!other) /* damaged: ours takes its place */
		return 0;
	return fm_fail(err, FM_BUSY, "it has another %s, taken %s of a job of the same number: nothing is overwritten", object,
		       fm_json_string_or(other, "created", "?"));
}

/* The key that is there opens what is there: another one may take its place only if one of the snapshots there is ours. */
static int check_key(struct copy *c, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, 0, "key", err), *path = NULL, *ours = NULL, *theirs = NULL;
	struct folder_numbers numbers = { 0 };
	size_t size, our_size;
	bool same = false;
	int rc;

	path = fm_format("%s/key", c->access.folder);
	if (!object || !path || !listing_find(&c->listing, object))
		return object && path ? 0 : fm_fail(err, FM_FAILED, "out of memory");
	theirs = get_text(c, object, 65536, &size, err);
	if (!theirs)
		return err->code == FM_CORRUPT ? 0 : -1;
	ours = fm_file_read(path, 65536, &our_size, err);
	if (!ours && err->code != FM_NOT_FOUND)
		return -1;
	if (ours && size == our_size && !memcmp(ours, theirs, size))
		return 0;
	rc = listing_numbers(&c->listing, c->id.job, MANIFEST_NAME, &numbers, err);
	same = rc == 0 && numbers.count == 0;
	for (size_t i = 0; rc == 0 && !same && i < numbers.count; i++) {
		struct copy other = *c;

		other.id.n = numbers.values[i];
		same = folder_is_whole(c->site->store, &other.id, err) > 0 && check_theirs(&other, err) == 0;
	}
	folder_numbers_dispose(&numbers);
	if (rc < 0 || same)
		return rc;
	return fm_fail(err, FM_BUSY, "it has the key of another job of the same number: nothing is overwritten");
}

/* ---- what is needed ------------------------------------------------------------------------------ */

static int add_source(void *arg, const struct pages_source *source, struct fm_error *err)
{
	struct contents_pack pack = { .bytes = source->bytes, .present = source->present };

	memcpy(pack.id, source->id, sizeof(pack.id));
	return contents_add(arg, &pack, err);
}

static int add_member_file(struct copy *c, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(c->id.job, c->id.n, file->name, err);

	if (!object)
		return -1;
	c->progress.bytes += file->bytes;
	if (!copy_has_file(c, object, file))
		c->progress.total += file->bytes;
	return 0;
}

/* Packs that the nodes have on their own disks come to StoreDir by and by (agent/local). */
static int check_flushed(struct copy *c, const struct pages_map *map, struct fm_error *err)
{
	char id[65];

	for (size_t i = 0; pages_map_pack(map, i, id); i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s.pack", c->access.pages, id);

		if (!path || access(path, F_OK) < 0)
			return fm_fail(err, FM_BUSY, "pack %.12s… is not in StoreDir yet, only on a node's own disk", id);
	}
	return 0;
}

/* What of packs its map needs. */
static int add_sources(struct copy *c, const struct store_file *map, bool local, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(c->site->store, &c->id, map->name, err);
	struct pages_map *m = path ? pages_map_open(path, c->id.job, c->access.key, map->sha256, err) : NULL;
	int rc = m ? 0 : -1;

	if (rc == 0 && local)
		rc = check_flushed(c, m, err);
	if (rc == 0)
		rc = pages_map_sources(c->pages, m, add_source, &c->list, err);
	pages_map_close(m);
	return rc;
}

static int add_member(struct copy *c, struct json_object *member, struct fm_error *err)
{
	struct store_file file;
	bool pages;

	for (size_t i = 0; manifest_member_file(member, i, &file, &pages); i++)
		if (add_member_file(c, &file, err) < 0 || (pages && add_sources(c, &file, fm_json_bool_or(member, "local", false), err) < 0))
			return -1;
	return 0;
}

bool copy_has_file(const struct copy *c, const char *object, const struct store_file *file)
{
	const struct listing_object *there = listing_find(&c->listing, object);

	return there && there->bytes == file->bytes && !c->calls->again;
}

static bool is_again(const struct copy *c, const char *id)
{
	for (const char *const *p = c->calls->again; p && *p; p++)
		if (!strcmp(*p, id))
			return true;
	return false;
}

/* Into the stage. Where the file system has no links it is copied from where it lies, and no sweep may begin until then. */
static int link_pack(struct copy *c, struct planned *p, bool *linked_r, struct fm_error *err)
{
	FM_AUTO_FREE char *from = fm_format("%s/%s.pack", c->access.pages, p->id);
	FM_AUTO_FREE char *to = fm_format("%s/%s.pack", c->stage.path, p->id);

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (link(from, to) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return fm_fail(err, FM_FAILED, "cannot link %s to %s: %s", from, to, strerror(errno));
	*linked_r = false;
	p->in_place = true;
	return 0;
}

/* Is what is there as good as ours? A list must say so; those of other snapshots are read, newest first, as it takes. */
static int is_there(struct copy *c, struct contents_pack *pack, struct folder_numbers *lists, struct fm_error *err)
{
	FM_AUTO_FREE char *name = fm_format("pages/%s.pack", pack->id);
	FM_AUTO_FREE char *object = name ? site_object(c->id.job, 0, name, err) : NULL;
	const struct listing_object *there = object ? listing_find(&c->listing, object) : NULL;

	if (!object)
		return -1;
	if (!there || is_again(c, pack->id))
		return 0;
	for (;;) {
		const struct contents_pack *known = contents_find(&c->known, pack->id);

		if (known && known->bytes == there->bytes && known->present >= pack->present) {
			*pack = *known;
			return 1;
		}
		if (!lists->count)
			return 0;
		if (read_list(c, lists->values[--lists->count], &c->known, err) < 0)
			return -1;
	}
}

static int plan_packs(struct copy *c, bool *linked_r, struct fm_error *err)
{
	struct folder_numbers lists = { 0 };
	int rc = listing_numbers(&c->listing, c->id.job, CONTENTS_NAME, &lists, err);

	c->planned = calloc(c->list.count + 1, sizeof(*c->planned));
	if (!c->planned)
		rc = fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; rc == 0 && i < c->list.count; i++) {
		struct contents_pack *pack = &c->list.pack[i];
		struct planned *p = &c->planned[c->planned_count];
		int there = is_there(c, pack, &lists, err);

		c->progress.bytes += pack->bytes;
		rc = there < 0 ? -1 : 0;
		if (there != 0)
			continue;
		memcpy(p->id, pack->id, sizeof(p->id));
		p->again = is_again(c, pack->id);
		c->planned_count++;
		c->progress.total += pack->bytes;
		rc = link_pack(c, p, linked_r, err);
	}
	folder_numbers_dispose(&lists);
	return rc;
}

/* With no sweep beside it. */
static int plan_held(struct copy *c, bool *linked_r, struct fm_error *err)
{
	struct json_object *members = manifest_get(c->manifest, "members");
	int whole = folder_is_whole(c->site->store, &c->id, err);

	if (whole <= 0)
		return whole < 0 ? -1 : copy_gone(c, err);
	for (size_t i = 0; i < json_object_array_length(members); i++)
		if (add_member(c, json_object_array_get_idx(members, i), err) < 0)
			return -1;
	contents_sort(&c->list);
	return plan_packs(c, linked_r, err);
}

static int open_all(struct copy *c, struct fm_error *err)
{
	struct fm_snapshot_id id = c->id;

	c->manifest = store_manifest(c->site->store, &id, err);
	if (!c->manifest || stage_make(&c->stage, c->site->store, c->id.job, err) < 0 ||
	    store_access_job(&c->access, c->site->store, c->id.job, c->site->key_file, false, err) < 0)
		return -1;
	c->pages = pages_store_open(c->access.pages, c->id.job, c->access.key, err);
	return c->pages ? 0 : -1;
}

int copy_plan(struct copy *c, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/", c->id.job);
	bool linked = true;

	if (!prefix)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (open_all(c, err) < 0 || listing_read(&c->listing, c->level, prefix, err) < 0 || check_theirs(c, err) < 0 ||
	    check_key(c, err) < 0 || read_list(c, c->id.n, &c->there, err) < 0 ||
	    contents_copy(&c->known, &c->there, err) < 0)
		return -1;
	if (pages_store_hold(c->pages, &c->hold, err) < 0 || plan_held(c, &linked, err) < 0)
		return -1;
	if (linked && c->hold >= 0)
		close(fm_steal_fd(&c->hold));
	return 0;
}
