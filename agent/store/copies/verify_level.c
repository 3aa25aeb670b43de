/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify_level.c - see verify.h: a level.
 *
 * Each object is got, a pack as itself, anything else by what the manifest says; none stays here. What is wrong is put
 * there again by copy_snapshot() with a list of what to replace.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/copies/copy.h"
#include "agent/store/copies/listing.h"
#include "agent/store/copies/record.h"
#include "agent/store/copies/verify_private.h"
#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

struct look {
	struct verify *v;
	struct level *level;
	struct listing listing;
	struct contents list;
	struct stage stage;
	struct verdict verdict;
	const char **again; /* packs that are damaged there; points into list */
	size_t again_count;
};

/* NULL: it is as it must be; else what is wrong is noted. The file it was got to stays until the next. */
static struct json_object *get(struct look *l, const char *object, const char *path, const struct level_object *expected)
{
	const struct level_transfer transfer = site_down(l->v->site);
	struct level_object got = { 0 };
	struct fm_error err;

	if (level_get(l->level, object, path, expected, &transfer, &got, &err) == 0) {
		verdict_read(&l->verdict, got.bytes);
		return NULL;
	}
	return verdict_damaged(&l->verdict, object, &err);
}

static void look_at_manifest(struct look *l)
{
	struct fm_error err;
	FM_AUTO_FREE char *object = site_object(l->v->id.job, l->v->id.n, MANIFEST_NAME, &err);
	FM_AUTO_FREE char *path = fm_format("%s/" MANIFEST_NAME, l->stage.path), *text = NULL;
	FM_AUTO_JSON struct json_object *manifest = NULL;
	size_t size;

	if (!object || !path || get(l, object, path, NULL))
		return;
	text = fm_file_read(path, MANIFEST_SIZE_MAX, &size, &err);
	manifest = text ? manifest_open(text, size, &l->v->id, &err) : NULL;
	if (!manifest)
		verdict_damaged(&l->verdict, object, &err);
	unlink(path);
}

static void look_at_list(struct look *l)
{
	struct fm_error err;
	FM_AUTO_FREE char *object = site_object(l->v->id.job, l->v->id.n, CONTENTS_NAME, &err);
	FM_AUTO_FREE char *path = fm_format("%s/" CONTENTS_NAME, l->stage.path), *text = NULL;
	size_t size;

	if (!object || !path || get(l, object, path, NULL))
		return;
	text = fm_file_read(path, CONTENTS_SIZE_MAX, &size, &err);
	if (!text || contents_parse(&l->list, text, size, &err) < 0)
		verdict_damaged(&l->verdict, object, &err);
	contents_sort(&l->list);
	unlink(path);
}

static void look_at_file(struct look *l, const struct store_file *file)
{
	struct level_object expected = { .bytes = file->bytes };
	struct fm_error err;
	FM_AUTO_FREE char *object = site_object(l->v->id.job, l->v->id.n, file->name, &err);
	FM_AUTO_FREE char *path = fm_format("%s/got", l->stage.path);

	if (!object || !path)
		return;
	memcpy(expected.sha256, file->sha256, sizeof(expected.sha256));
	get(l, object, path, &expected);
	unlink(path);
}

static void look_at_pack(struct look *l, const char *id)
{
	struct fm_error err;
	FM_AUTO_FREE char *object = fm_format("%" PRIu32 "/pages/%s.pack", l->v->id.job, id);
	FM_AUTO_FREE char *path = fm_format("%s/%s.pack", l->stage.path, id);
	struct pages_verdict read;
	struct pages_store *s = NULL;
	bool bad;

	if (!object || !path)
		return;
	bad = get(l, object, path, NULL) != NULL;
	if (!bad) {
		s = pages_store_open(l->stage.path, l->v->id.job, l->v->access.key, &err);
		bad = !s || pages_pack_verify(s, id, &read, &err) < 0;
		if (bad)
			verdict_damaged(&l->verdict, object, &err);
	}
	pages_store_close(s);
	unlink(path);
	if (bad)
		l->again[l->again_count++] = id;
}

/* The packs of the list, and those that the maps name, should the list be damaged. */
static int look_at_packs(struct look *l, struct fm_error *err)
{
	if (contents_add_all(&l->list, &l->v->packs, err) < 0)
		return -1;
	contents_sort(&l->list);
	l->again = calloc(l->list.count + 1, sizeof(*l->again));
	if (!l->again)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < l->list.count; i++)
		look_at_pack(l, l->list.pack[i].id);
	return 0;
}

static int look_at_all(struct look *l, struct fm_error *err)
{
	struct json_object *members = manifest_get(l->v->manifest, "members");
	struct store_file file;
	bool pages;

	look_at_manifest(l);
	look_at_list(l);
	for (size_t i = 0; i < json_object_array_length(members); i++)
		for (size_t k = 0; manifest_member_file(json_object_array_get_idx(members, i), k, &file, &pages); k++)
			look_at_file(l, &file);
	return look_at_packs(l, err);
}

/* ---- what follows ------------------------------------------------------------------------------ */

/* Not to be taken for whole any more, until it is put right. */
static void note(struct look *l, size_t i, const char *state, const struct copy_progress *p, const struct fm_error *why)
{
	struct json_object *entry = record_new(l->v->site, i, state);
	struct fm_error ignored;

	if (p)
		fm_json_set_int(entry, "bytes", (int64_t)p->bytes);
	if (why)
		fm_json_set_string(entry, "error", why->text);
	record_write(l->v->site->store, &l->v->id, entry, &ignored);
}

static void say_repaired(struct look *l, const struct fm_error *why)
{
	for (size_t i = 0; i < json_object_array_length(l->verdict.damaged); i++)
		fm_json_set_string(json_object_array_get_idx(l->verdict.damaged, i), why ? "repair_error" : "repaired",
				   why ? why->text : LEVEL_SPEC_STORE);
}

/*
 * A pack that was put again may have fewer pages than the one that was there, as ours has lost since what other packs
 * have: so other snapshots may need more packs now. Who copies finds out.
 */
static void renew_others(struct look *l, size_t i)
{
	struct fm_error ignored;
	FM_AUTO_FREE char *folder = folder_job(l->v->site->store, l->v->id.job, &ignored);
	FM_AUTO_FREE char *where = site_where(l->v->site, i);
	struct folder_numbers numbers = { 0 };

	if (folder && folder_numbers(folder, &numbers, &ignored) == 0)
		for (size_t n = 0; n < numbers.count; n++) {
			struct fm_snapshot_id id = { .job = l->v->id.job, .n = numbers.values[n] };
			FM_AUTO_JSON struct json_object *record = record_read(l->v->site->store, &id);

			struct json_object *entry = record_entry(record, site_name(l->v->site, i), where);

			if (id.n != l->v->id.n && !strcmp(fm_json_string_or(entry, "state", ""), "whole"))
				record_write(l->v->site->store, &id, record_new(l->v->site, i, "waiting"), &ignored);
		}
	folder_numbers_dispose(&numbers);
}

/* All its files anew that are not packs, which is little; of the packs those that are damaged. 0: it is whole. */
static int repair(struct look *l, size_t i)
{
	const struct copy_calls calls = { .again = l->again };
	FM_AUTO_CLOSE int lock = -1;
	struct copy_progress p = { 0 };
	struct fm_error why;
	int rc = -1;

	if (!l->v->store_good)
		fm_fail(&why, FM_CORRUPT, "StoreDir does not have it whole");
	else
		rc = lock = record_lock(l->v->site->store, l->v->id.job, &why);
	if (rc >= 0) /* until then it is "damaged", which nobody who copies takes for his to complete */
		rc = copy_snapshot(l->v->site, i, &l->v->id, &calls, &p, &why);
	if (rc == 0) {
		note(l, i, "whole", &p, NULL);
		l->verdict.bad = false;
		if (l->again_count)
			renew_others(l, i);
	}
	say_repaired(l, rc < 0 ? &why : NULL);
	return rc < 0 ? -1 : 0;
}

/* It is said to be there: 1; that it is not is no damage: 0. */
static bool is_said(struct look *l, size_t i)
{
	FM_AUTO_JSON struct json_object *record = record_read(l->v->site->store, &l->v->id);
	FM_AUTO_FREE char *where = site_where(l->v->site, i);
	const char *state = fm_json_string_or(record_entry(record, site_name(l->v->site, i), where), "state", "");

	return !strcmp(state, "whole") || !strcmp(state, "damaged");
}

/* Nothing of it is there that anybody said to be. */
static bool is_absent(struct look *l, size_t i)
{
	struct fm_error ignored;
	FM_AUTO_FREE char *object = site_object(l->v->id.job, l->v->id.n, MANIFEST_NAME, &ignored);

	return object && !listing_find(&l->listing, object) && !is_said(l, i);
}

static int look_at_level(struct look *l, size_t i, const char **state_r, struct fm_error *err)
{
	FM_AUTO_FREE char *prefix = fm_format("%" PRIu32 "/%" PRIu32 "/", l->v->id.job, l->v->id.n);

	*state_r = "unreachable";
	l->level = site_open(l->v->site, i, err);
	if (!l->level || !prefix || listing_read(&l->listing, l->level, prefix, err) < 0)
		return -1;
	*state_r = NULL;
	if (is_absent(l, i))
		*state_r = "absent";
	else if (stage_make(&l->stage, l->v->site->store, l->v->id.job, err) < 0 || look_at_all(l, err) < 0)
		return -1;
	return 0;
}

void verify_level(struct verify *v, size_t i)
{
	FM_AUTO_FREE char *where = site_where(v->site, i);
	struct look l = { .v = v, .stage.fd = -1, .verdict = verdict_begin(site_name(v->site, i), where) };
	struct fm_error why = { 0 };
	const char *state;

	if (look_at_level(&l, i, &state, &why) < 0)
		v->good = false;
	else if (l.verdict.bad) {
		fm_fail(&why, FM_CORRUPT, "%zu damaged, found by a verify", json_object_array_length(l.verdict.damaged));
		note(&l, i, "damaged", NULL, &why);
		why.code = FM_OK;
	}
	if (v->repair && (l.verdict.bad || (state && !strcmp(state, "absent")))) {
		if (!l.again)
			l.again = calloc(1, sizeof(*l.again));
		if (repair(&l, i) == 0)
			state = NULL;
	}
	v->good = v->good && !l.verdict.bad;
	verdict_end(&l.verdict, state, why.code ? &why : NULL, v->levels);
	stage_remove(&l.stage);
	listing_dispose(&l.listing);
	contents_dispose(&l.list);
	free(l.again);
}
