/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retain.c - see retain.h: look at each snapshot of a job, decide, remove, sweep, and say what was done.
 *
 * Each removal is a store_remove(), which minds a pin that came meanwhile; the sweep comes after all of them, so that a
 * pack is rewritten once.
 */
#include "config.h"

#include "agent/store/retain.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "agent/store/pages/pages.h"
#include "agent/store/pin.h"
#include "agent/store/store.h"
#include "agent/store/sweep.h"
#include "common/cleanup.h"
#include "common/io.h"

#define ALONE_WAIT_MS 10000 /* for a sweep in the background to give way */

struct retention {
	const char *store;
	uint32_t job;
	const struct retain_options *o;
	struct retain_entry *entry;
	size_t count;
	struct retain_rules rules;  /* that hold */
	struct json_object *report, *snapshots;
	uint64_t freed;
	unsigned removed;
};

/* ---- look -------------------------------------------------------------------------------- */

struct retain_rules retain_rules_of(struct json_object *manifest)
{
	struct json_object *job = manifest_get(manifest, "job");
	int64_t keep = fm_json_int_or(job, "keep", 0);

	return (struct retain_rules){ .keep = keep > 0 && keep <= UINT32_MAX ? (unsigned)keep : 0,
				      .max_age_s = fm_json_int_or(job, "max_age_s", 0) };
}

static int64_t created_of(struct json_object *manifest)
{
	struct tm tm = { 0 };

	return strptime(fm_json_string_or(manifest, "created", ""), "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) :
												INT64_MAX;
}

static uint64_t folder_bytes(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	if (dir)
		closedir(dir);
	return bytes;
}

static void explain(struct retain_entry *e, const char *text)
{
	snprintf(e->why, sizeof(e->why), "%s", text);
}

static enum retain_state state_of(struct retention *r, const struct fm_snapshot_id *id, struct json_object *manifest,
				  struct fm_error *err)
{
	if (manifest && store_check(r->store, id, manifest, err) == 0)
		return RETAIN_WHOLE;
	return err->code == FM_CORRUPT ? RETAIN_DAMAGED : RETAIN_UNKNOWN;
}

/* 1: e is one that the caller may see; 0 it is not, or it is no snapshot. */
static int look_one(struct retention *r, uint32_t n, struct retain_entry *e, struct fm_error *err)
{
	struct fm_snapshot_id id = { .job = r->job, .n = n };
	FM_AUTO_JSON struct json_object *manifest = store_manifest(r->store, &id, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(r->store, &id);
	int pinned;

	if ((!manifest && err->code == FM_NOT_FOUND) || (r->o->allowed && !r->o->allowed(r->o->arg, manifest)))
		return 0;
	if (!dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	memset(e, 0, sizeof(*e));
	e->n = n;
	e->state = state_of(r, &id, manifest, err);
	if (e->state != RETAIN_WHOLE)
		explain(e, err->text);
	e->created = manifest ? created_of(manifest) : INT64_MAX;
	e->bytes = folder_bytes(dir);
	pinned = pin_is(r->store, &id, err);
	if (pinned < 0) {
		e->state = RETAIN_UNKNOWN;
		explain(e, err->text);
	}
	e->pinned = pinned > 0;
	e->in_use = r->o->in_use && r->o->in_use(r->o->arg, &id);
	if (e->state == RETAIN_WHOLE) /* the newest one's is what its job wants now */
		r->rules = retain_rules_of(manifest);
	return 1;
}

static int look(struct retention *r, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(r->store, r->job, err);
	struct folder_numbers numbers;
	int rc;

	if (!job_dir)
		return -1;
	rc = folder_numbers(job_dir, &numbers, err);
	if (rc == 0 && !(r->entry = calloc(numbers.count + 1, sizeof(*r->entry))))
		rc = fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; rc >= 0 && i < numbers.count; i++) {
		rc = look_one(r, numbers.values[i], &r->entry[r->count], err);
		r->count += rc > 0;
	}
	folder_numbers_dispose(&numbers);
	return rc < 0 ? -1 : 0;
}

/* ---- act, and say so ------------------------------------------------------------------------ */

static void add_times(struct json_object *o, const struct retain_entry *e)
{
	time_t created = (time_t)e->created;
	char text[32];
	struct tm tm;

	if (e->created == INT64_MAX)
		return;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&created, &tm));
	fm_json_set_string(o, "created", text);
}

static struct json_object *entry_json(const struct retention *r, const struct retain_entry *e)
{
	static const char *const states[] = { "whole", "damaged", "unknown" };
	struct fm_snapshot_id id = { .job = r->job, .n = e->n };
	struct json_object *o = json_object_new_object(), *pin = pin_read(r->store, &id);
	char name[24];

	fm_snapshot_id_format(&id, name);
	fm_json_set_string(o, "snapshot", name);
	fm_json_set_string(o, "state", states[e->state]);
	add_times(o, e);
	fm_json_set_bool(o, "removed", e->remove);
	fm_json_set_string(o, "reason", e->why);
	fm_json_set_int(o, "bytes", (int64_t)e->bytes);
	if (pin)
		json_object_object_add(o, "pinned", pin);
	return o;
}

static int remove_one(struct retention *r, const struct fm_snapshot_id *id, struct fm_error *err)
{
	if (r->o->removing && r->o->removing(r->o->arg, id, err) < 0)
		return -1;
	return store_remove(r->store, id, err);
}

static void act(struct retention *r, struct retain_entry *e)
{
	struct fm_snapshot_id id = { .job = r->job, .n = e->n };
	struct json_object *o = entry_json(r, e);
	struct fm_error err;

	json_object_array_add(r->snapshots, o);
	if (!e->remove)
		return;
	if (!r->o->dry_run && remove_one(r, &id, &err) < 0 && err.code != FM_NOT_FOUND) {
		e->remove = false;
		fm_json_set_bool(o, "removed", false);
		fm_json_set_string(o, "error", err.text);
		return;
	}
	r->removed++;
	r->freed += e->bytes;
}

static void sweep(struct retention *r)
{
	FM_AUTO_FREE uint32_t *gone = calloc(r->count + 1, sizeof(*gone));
	struct sweep_options o = { .key_file = r->o->key_file, .compact = r->o->compact, .whole_packs = r->o->whole_packs,
				   .dry_run = r->o->dry_run, .gone = gone };
	struct sweep_result result;
	struct fm_error err;

	for (size_t i = 0; gone && i < r->count; i++)
		if (r->entry[i].remove)
			gone[o.gone_count++] = r->entry[i].n;
	if (!gone)
		fm_json_set_string(r->report, "sweep_error", "out of memory");
	if (!gone)
		return;
	if (store_sweep(r->store, r->job, &o, &result, &err) < 0) {
		fm_json_set_string(r->report, "sweep_error", err.text);
		fm_json_set_int(r->report, "sweep_code", err.code);
	}
	json_object_object_add(r->report, "sweep", sweep_to_json(&result));
	r->freed += result.freed;
}

static int tell_removed(struct retention *r, struct fm_error *err)
{
	FM_AUTO_FREE uint32_t *gone = calloc(r->count + 1, sizeof(*gone));
	size_t count = 0;

	if (!r->o->removed)
		return 0;
	if (!gone)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < r->count; i++)
		if (r->entry[i].remove)
			gone[count++] = r->entry[i].n;
	return r->o->removed(r->o->arg, r->job, gone, count, r->report, err);
}

/* ---- a job that has ended -------------------------------------------------------------------- */

/* Why the folder must stay; NULL: it need not. */
static const char *occupied(struct retention *r, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(r->store, r->job, err);
	struct folder_numbers numbers;
	const char *why = NULL;

	if (!job_dir || folder_numbers(job_dir, &numbers, err) < 0)
		return "it cannot be read";
	for (size_t i = 0; !why && i < numbers.count; i++) {
		struct fm_snapshot_id id = { .job = r->job, .n = numbers.values[i] };
		bool goes = false;

		for (size_t e = 0; r->o->dry_run && e < r->count; e++)
			goes = goes || (r->entry[e].n == id.n && r->entry[e].remove);
		if (!goes && folder_is_whole(r->store, &id, err) != 0)
			why = "there are snapshots in it";
	}
	folder_numbers_dispose(&numbers);
	return why;
}

/* Alone with its pages: nobody is writing or reading any. */
static int remove_alone(struct retention *r, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = fm_format("%s/%" PRIu32 "/pages", r->store, r->job);
	struct pages_store *pages = dir ? pages_store_open(dir, r->job, NULL, err) : NULL;
	int rc = -1;

	if (pages) {
		pages_sweep_wait(pages, ALONE_WAIT_MS);
		rc = pages_sweep_begin(pages, err);
	}

	if (rc == 0)
		rc = folder_remove_job(r->store, r->job, err);
	pages_store_close(pages);
	return rc;
}

/* left: why what was removed is not removed everywhere; NULL: it is. */
static void remove_folder(struct retention *r, const char *left)
{
	FM_AUTO_FREE char *job_dir = NULL;
	FM_AUTO_FREE char *pages = NULL;
	struct fm_error err;
	const char *why = occupied(r, &err);
	struct stat st;
	uint64_t bytes;

	job_dir = folder_job(r->store, r->job, &err);
	pages = fm_format("%s/%" PRIu32 "/pages", r->store, r->job);
	if (!job_dir || !pages || lstat(job_dir, &st) < 0)
		return;
	bytes = folder_bytes(job_dir) + folder_bytes(pages);
	if (!why)
		why = left;
	if (!why && !r->o->dry_run && remove_alone(r, &err) < 0)
		why = err.text;
	fm_json_set_bool(r->report, "folder_removed", !why);
	if (why)
		fm_json_set_string(r->report, "folder_reason", why);
	else if (!r->o->dry_run)
		r->freed += bytes;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static void do_it(struct retention *r)
{
	const struct retain_options *o = r->o;
	struct retain_wishes wishes = {
		.rules = o->given ? o->rules : retain_stricter(r->rules, o->site),
		.ended = o->ended, .damaged = o->damaged, .now = o->now ? o->now : (int64_t)time(NULL),
	};

	struct fm_error err;
	bool left;

	fm_json_set_int(r->report, "job", r->job);
	fm_json_set_int(r->report, "keep", wishes.rules.keep);
	fm_json_set_int(r->report, "max_age_s", wishes.rules.max_age_s);
	json_object_object_add(r->report, "snapshots", r->snapshots);
	retain_decide(r->entry, r->count, &wishes);
	for (size_t i = 0; i < r->count; i++)
		act(r, &r->entry[i]);
	if (!o->allowed || r->count > 0) { /* else nothing there is the caller's */
		if (r->removed > 0 || !o->sweep_only_if_removed)
			sweep(r);
		left = tell_removed(r, &err) < 0;
		if (o->ended)
			remove_folder(r, left ? err.text : NULL);
	}
	fm_json_set_int(r->report, "removed", r->removed);
	fm_json_set_int(r->report, "freed", (int64_t)r->freed);
}

int store_retain(const char *store, uint32_t job, const struct retain_options *o, struct json_object **report_r,
		 struct fm_error *err)
{
	struct retention r = { .store = store, .job = job, .o = o };
	int rc = 0;

	*report_r = NULL;
	if (!o->dry_run)
		rc = folder_settle(store, job, err);
	if (rc == 0)
		rc = look(&r, err);
	if (rc == 0) {
		r.report = json_object_new_object();
		r.snapshots = json_object_new_array();
		do_it(&r);
		*report_r = r.report;
	}
	free(r.entry);
	return rc < 0 ? fm_context(err, "job %" PRIu32, job) : 0;
}

int store_jobs(const char *store, uint32_t **values_r, size_t *count_r, struct fm_error *err)
{
	struct folder_numbers numbers;
	int rc = folder_numbers(store, &numbers, err);

	*values_r = numbers.values;
	*count_r = numbers.count;
	return rc;
}
