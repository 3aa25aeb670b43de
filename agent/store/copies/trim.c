/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trim.c - see trim.h. */
#include "config.h"

#include "agent/store/copies/trim.h"

#include <inttypes.h>
#include <string.h>

#include "agent/store/copies/contents.h"
#include "agent/store/copies/listing.h"
#include "agent/store/copies/record.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

struct trim {
	struct site *site;
	uint32_t job;
	const uint32_t *gone;
	size_t gone_count;
	bool dry_run;
	/* of one level */
	struct level *level;
	struct listing listing;
	struct contents needed;
	size_t left; /* snapshots, or what was begun of some */
	unsigned removed, objects;
	uint64_t freed;
};

static int remove_object(struct trim *t, const struct listing_object *o, struct fm_error *err)
{
	if (!t->dry_run && level_remove(t->level, o->name, err) < 0)
		return -1;
	t->objects++;
	t->freed += o->bytes;
	return 0;
}

static bool is_gone(const struct trim *t, uint32_t n)
{
	for (size_t i = 0; i < t->gone_count; i++)
		if (t->gone[i] == n)
			return true;
	return false;
}

/* ---- snapshots ----------------------------------------------------------------------------- */

static int remove_snapshot(struct trim *t, uint32_t n, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/%" PRIu32 "/", t->job, n);
	FM_AUTO_FREE char *manifest = prefix ? fm_format("%s" MANIFEST_NAME, prefix) : NULL;
	const struct listing_object *o;

	if (!manifest)
		return fm_fail(err, FM_FAILED, "out of memory");
	o = listing_find(&t->listing, manifest);
	if (o && remove_object(t, o, err) < 0)
		return -1;
	t->removed += o != NULL;
	for (size_t i = listing_first(&t->listing, prefix); i < t->listing.count; i++) {
		o = &t->listing.object[i];
		if (strncmp(o->name, prefix, strlen(prefix)))
			break;
		if (strcmp(o->name, manifest) && remove_object(t, o, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- packs ------------------------------------------------------------------------------------ */

static int need(struct trim *t, uint32_t n, const char *temp, struct fm_error *err)
{
	FM_AUTO_FREE char *object = site_object(t->job, n, CONTENTS_NAME, err), *text = NULL;
	const struct level_transfer transfer = site_down(t->site);
	size_t size;

	if (!object || level_get(t->level, object, temp, NULL, &transfer, NULL, err) < 0 ||
	    !(text = fm_file_read(temp, CONTENTS_SIZE_MAX, &size, err)) || contents_parse(&t->needed, text, size, err) < 0)
		return fm_context(err, "no pack of job %" PRIu32 " is removed: what %s needs is not known", t->job,
				  object ? object : "one");
	return 0;
}

/* What is needed by each snapshot that stays, and by each that is being copied. */
static int need_all(struct trim *t, struct fm_error *err)
{
	struct folder_numbers manifests = { 0 }, lists = { 0 };
	char dir[] = "/tmp/fermata-trim.XXXXXX";
	FM_AUTO_FREE char *temp = NULL;
	struct fm_error ignored;
	size_t at = 0;
	int rc = listing_numbers(&t->listing, t->job, MANIFEST_NAME, &manifests, err);

	if (rc == 0)
		rc = listing_numbers(&t->listing, t->job, CONTENTS_NAME, &lists, err);
	for (size_t i = 0; rc == 0 && i < manifests.count; i++) {
		while (at < lists.count && lists.values[at] < manifests.values[i])
			at++;
		if (!is_gone(t, manifests.values[i]) && (at == lists.count || lists.values[at] != manifests.values[i]))
			rc = fm_fail(err, FM_CORRUPT, "no pack of job %" PRIu32 " is removed: %" PRIu32 "/%" PRIu32 "/" CONTENTS_NAME
				     " is missing", t->job, t->job, manifests.values[i]);
	}
	if (rc == 0 && !mkdtemp(dir))
		rc = fm_fail(err, FM_FAILED, "cannot make a folder in /tmp");
	temp = fm_format("%s/" CONTENTS_NAME, dir);
	for (size_t i = 0; rc == 0 && i < lists.count; i++) {
		if (is_gone(t, lists.values[i]))
			continue;
		t->left++;
		rc = temp ? need(t, lists.values[i], temp, err) : fm_fail(err, FM_FAILED, "out of memory");
	}
	fm_remove_tree(dir, &ignored);
	folder_numbers_dispose(&manifests);
	folder_numbers_dispose(&lists);
	contents_sort(&t->needed);
	return rc;
}

/* "<job>/pages/<64 hex>.pack" */
static bool pack_of(const char *name, size_t prefix, char id_r[65])
{
	const char *id = name + prefix;

	if (strspn(id, "0123456789abcdef") != 64 || strcmp(id + 64, ".pack"))
		return false;
	memcpy(id_r, id, 64);
	id_r[64] = '\0';
	return true;
}

static int remove_packs(struct trim *t, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/pages/", t->job);
	char id[65];

	if (!prefix)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = listing_first(&t->listing, prefix); i < t->listing.count; i++) {
		const struct listing_object *o = &t->listing.object[i];

		if (strncmp(o->name, prefix, strlen(prefix)))
			break;
		if (pack_of(o->name, strlen(prefix), id) && !contents_find(&t->needed, id) && remove_object(t, o, err) < 0)
			return -1;
	}
	return 0;
}

/* With the last snapshot go the job's script and key. */
static int remove_job_files(struct trim *t, struct fm_error *err)
{
	static const char *const names[] = { "script", "key" };

	for (size_t i = 0; !t->left && i < sizeof(names) / sizeof(*names); i++) {
		FM_AUTO_FREE char *name = site_object(t->job, 0, names[i], err);
		const struct listing_object *o = name ? listing_find(&t->listing, name) : NULL;

		if (!name || (o && remove_object(t, o, err) < 0))
			return -1;
	}
	return 0;
}

/* ---- a level, all levels ------------------------------------------------------------------------- */

static int trim_level(struct trim *t, size_t i, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/", t->job);
	int rc = -1;

	t->level = site_open(t->site, i, err);
	if (t->level && prefix)
		rc = listing_read(&t->listing, t->level, prefix, err);
	for (size_t n = 0; rc == 0 && n < t->gone_count; n++)
		rc = remove_snapshot(t, t->gone[n], err);
	if (rc == 0)
		rc = need_all(t, err);
	if (rc == 0)
		rc = remove_packs(t, err);
	if (rc == 0)
		rc = remove_job_files(t, err);
	listing_dispose(&t->listing);
	contents_dispose(&t->needed);
	return rc;
}

static void tell(const struct trim *t, size_t i, const struct fm_error *error, struct json_object *report)
{
	FM_AUTO_FREE char *where = site_where(t->site, i);
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "name", site_name(t->site, i));
	fm_json_set_string(o, "where", where);
	fm_json_set_int(o, "removed", t->removed);
	fm_json_set_int(o, "objects", t->objects);
	fm_json_set_int(o, "freed", (int64_t)t->freed);
	if (error) {
		fm_json_set_string(o, "error", error->text);
		fm_json_set_int(o, "code", error->code);
	}
	json_object_array_add(report, o);
}

int trim_dry_run(struct site *site, uint32_t job, const uint32_t *gone, size_t count, struct json_object *report,
		 struct fm_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < site->count; i++) {
		struct trim t = { .site = site, .job = job, .gone = gone, .gone_count = count, .dry_run = true };
		struct fm_error why;
		int r = trim_level(&t, i, &why);

		tell(&t, i, r < 0 ? &why : NULL, report);
		if (r < 0 && rc == 0)
			*err = why;
		rc = r < 0 ? -1 : rc;
	}
	return rc;
}

static int trim_all(struct site *site, uint32_t job, const struct folder_numbers *gone, struct json_object *report,
		    struct fm_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < site->count; i++) {
		struct trim t = { .site = site, .job = job, .gone = gone->values, .gone_count = gone->count };
		struct fm_error why;
		int r = trim_level(&t, i, &why);

		tell(&t, i, r < 0 ? &why : NULL, report);
		if (r < 0 && rc == 0) {
			*err = why;
			fm_context(err, "level %s", site_name(site, i));
		}
		rc = r < 0 ? -1 : rc;
	}
	for (size_t i = 0; rc == 0 && i < gone->count; i++)
		rc = record_removed_done(site->store, &(struct fm_snapshot_id){ .job = job, .n = gone->values[i] }, err);
	return rc;
}

int trim_job(struct site *site, uint32_t job, struct json_object *report, struct fm_error *err)
{
	struct folder_numbers gone;
	int rc = record_removed(site->store, job, &gone, err);

	if (rc == 0 && gone.count)
		rc = trim_all(site, job, &gone, report, err);
	folder_numbers_dispose(&gone);
	return rc;
}
