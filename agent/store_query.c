/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_query.c - see store_query.h. */
#include "config.h"

#include "agent/store_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/copier.h"
#include "agent/forward.h"
#include "agent/job.h"
#include "agent/local/state.h"
#include "agent/local/survey.h"
#include "agent/local_disk.h"
#include "agent/prune.h"
#include "agent/snapshot.h"
#include "agent/store/copies/inventory.h"
#include "agent/store/copies/fetch.h"
#include "agent/store/copies/record.h"
#include "agent/store/copies/verify.h"
#include "agent/store/pin.h"
#include "agent/store/secret.h"
#include "agent/store/store.h"
#include "agent/task.h"
#include "common/cleanup.h"

#define LEAD_MS 10000

struct ask {
	struct request *req;
	enum query query;
	struct fm_snapshot_id id;
	const char *store;
	uid_t uid;
	bool admin, ask_disks;
};

/* ---- in the task ------------------------------------------------------------------ */

static bool may(const struct ask *ask, struct json_object *of)
{
	struct json_object *job = json_object_object_get(of, "job");

	return ask->admin || fm_json_int_or(job, "uid", -1) == (int64_t)ask->uid;
}

/* Of a job that runs here: being made, or it failed. Nobody who waits for it is to wait for a level, too. */
static bool has_begun(const struct ask *ask, const struct fm_snapshot_id *id)
{
	FM_AUTO_FREE char *dir = store_snapshot_dir(ask->store, id);

	return job_find(ask->req->agent, id->job) && dir && access(dir, F_OK) == 0;
}

/* Where StoreDir does not have it: from the nearest level that does; *level_r (may be NULL): its name's number plus 1. */
static struct json_object *any_manifest(const struct ask *ask, struct fm_snapshot_id *id, size_t *level_r,
					struct fm_error *err)
{
	struct json_object *manifest = store_manifest(ask->store, id, err);
	struct fm_error why;
	struct site site;
	size_t level = 0;

	if (manifest || !id->n || err->code != FM_NOT_FOUND || !ask->req->agent->conf.levels || has_begun(ask, id))
		return manifest;
	if (site_init_conf(&site, &ask->req->agent->conf, SITE_IMPATIENT, &why) == 0)
		manifest = fetch_manifest(&site, id, &level, &why);
	site_dispose(&site);
	if (!manifest && why.code != FM_NOT_FOUND)
		*err = why;
	if (manifest && level_r)
		*level_r = level + 1;
	return manifest;
}

/* The manifest, once it is clear that the caller may have it. */
static struct json_object *own_manifest_at(const struct ask *ask, struct fm_snapshot_id *id, size_t *level_r,
					   struct fm_error *err)
{
	struct json_object *manifest = any_manifest(ask, id, level_r, err);

	if (manifest && !may(ask, manifest)) {
		json_object_put(manifest);
		fm_fail(err, FM_DENIED, "snapshot %u.%u is another user's", id->job, id->n);
		return NULL;
	}
	return manifest;
}

static struct json_object *own_manifest(const struct ask *ask, struct fm_snapshot_id *id, struct fm_error *err)
{
	return own_manifest_at(ask, id, NULL, err);
}

/* FM_AUTO_JSON's `from` into result: a task's answer is filled, not replaced. */
static void copy_all(struct json_object *from, struct json_object *result)
{
	json_object_object_foreach(from, key, value)
		json_object_object_add(result, key, json_object_get(value));
}

static void add_pin(const struct ask *ask, const struct fm_snapshot_id *id, struct json_object *o)
{
	struct json_object *pin = pin_read(ask->store, id);

	if (pin)
		json_object_object_add(o, "pinned", pin);
}

/* local: those before StoreDir, and it (local_levels()), or NULL; then those behind it. Takes local. */
static void add_levels(const struct ask *ask, const struct fm_snapshot_id *id, struct json_object *o,
		       struct json_object *local)
{
	FM_AUTO_JSON struct json_object *behind = record_describe(&ask->req->agent->conf, id);

	for (size_t i = 0; local && behind && i < json_object_array_length(behind); i++)
		json_object_array_add(local, json_object_get(json_object_array_get_idx(behind, i)));
	if (local || behind)
		json_object_object_add(o, "levels", local ? local : fm_steal_ptr(&behind));
}

/* Those that only levels have, and what could not be asked. */
static void add_elsewhere(const struct ask *ask, struct json_object *all, struct json_object *result)
{
	struct json_object *errors = json_object_new_array();
	struct fm_error err;
	struct site site;

	json_object_object_add(result, "level_errors", errors);
	if (site_init_conf(&site, &ask->req->agent->conf, SITE_IMPATIENT, &err) == 0)
		inventory_add(&site, ask->id.job, all, errors);
	site_dispose(&site);
}

static int do_list(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *all = store_list(ask->store, ask->id.job, err);
	struct json_object *mine = json_object_new_array();

	json_object_object_add(result, "snapshots", mine);
	if (!all)
		return -1;
	if (ask->query == QUERY_LIST_LEVELS)
		add_elsewhere(ask, all, result);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *o = json_object_array_get_idx(all, i);
		struct fm_snapshot_id id;

		if (!may(ask, o))
			continue;
		if (fm_snapshot_id_parse(fm_json_string_or(o, "snapshot", ""), &id, err) == 0) {
			add_pin(ask, &id, o);
			add_levels(ask, &id, o, NULL);
		}
		json_object_array_add(mine, json_object_get(o));
	}
	return 0;
}

static int do_show(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	size_t level = 0;
	FM_AUTO_JSON struct json_object *manifest = own_manifest_at(ask, &id, &level, err);
	FM_AUTO_JSON struct json_object *o = manifest ? store_describe(ask->store, &id, manifest) : NULL;

	if (!o)
		return manifest ? fm_fail(err, FM_FAILED, "out of memory") : -1;
	add_pin(ask, &id, o);
	if (level)
		inventory_mark(&ask->req->agent->conf, level - 1, o);
	else
		add_levels(ask, &id, o, local_levels(&ask->req->agent->conf, &id, manifest, ask->ask_disks));
	copy_all(o, result);
	return 0;
}

/* Whose a damaged one is nobody can say: an admin's to clear away. */
static int own_or_damaged(const struct ask *ask, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);

	return manifest || (ask->admin && (err->code == FM_CORRUPT || err->code == FM_INCOMPATIBLE)) ? 0 : -1;
}

/* With levels: that it was removed on purpose is noted first, and it goes from there by and by. */
static int do_remove(const struct ask *ask, struct fm_error *err)
{
	if (own_or_damaged(ask, err))
		return -1;
	if (ask->req->agent->conf.levels && record_removing(ask->store, &ask->id, err))
		return -1;
	if (store_remove(ask->store, &ask->id, err) == 0)
		return 0;
	/* Only on a level: own_or_damaged() has seen it there. */
	return err->code == FM_NOT_FOUND && ask->req->agent->conf.levels ? 0 : -1;
}

static int do_unpin(const struct ask *ask, struct fm_error *err)
{
	return own_or_damaged(ask, err) ? -1 : store_unpin(ask->store, &ask->id, err);
}

static int do_pin(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);
	const char *comment = ask->req->body ? fm_json_string_or(ask->req->body, "comment", "") : "";

	if (!manifest || store_pin(ask->store, &id, ask->uid, comment, err))
		return -1;
	fm_json_set_string(result, "snapshot", fm_json_string_or(manifest, "snapshot", ""));
	add_pin(ask, &id, result);
	return 0;
}

static bool beside_good(void *survey, const char *pack)
{
	return survey_good(survey, pack);
}

static bool beside_to_come(void *survey, const char *pack)
{
	return survey_to_come(survey, pack);
}

static int beside_bring(void *survey, const char *pack, const char *path, const char **from_r, struct fm_error *err)
{
	return survey_bring(survey, pack, path, from_r, err);
}

/* The nodes' own disks before the rest: they are nearer. StoreDir was put right before them, as one source of theirs. */
static void join(struct survey *survey, bool repair, struct json_object *from, struct json_object *result)
{
	struct json_object *levels = json_object_new_array(), *behind = json_object_object_get(from, "levels");
	bool good = true;

	if (survey && repair)
		survey_repair(survey);
	if (survey)
		good = survey_levels(survey, levels);
	for (size_t i = 0; i < json_object_array_length(behind); i++)
		json_object_array_add(levels, json_object_get(json_object_array_get_idx(behind, i)));
	copy_all(from, result);
	json_object_object_add(result, "levels", levels);
	fm_json_set_bool(result, "ok", fm_json_bool_or(from, "ok", false) && good);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int verify_all(const struct ask *ask, struct fm_snapshot_id *id, struct json_object *manifest, struct json_object *result,
		      struct fm_error *err)
{
	const struct fm_conf *conf = &ask->req->agent->conf;
	bool repair = ask->query == QUERY_REPAIR;
	FM_AUTO_JSON struct json_object *o = NULL;
	struct survey *survey = NULL;
	struct verify_beside beside = { beside_good, beside_to_come, beside_bring, NULL };
	struct site site = { 0 };
	int64_t begun = now_ms();
	int rc = survey_ask(conf, id, manifest, &survey, err);

	beside.arg = survey;
	if (rc == 0)
		rc = site_init(&site, conf->levels, conf->store_dir, conf->key_file, repair ? conf->bandwidth : 0, err);
	if (rc == 0)
		rc = verify_snapshot_beside(&site, id, repair, survey ? &beside : NULL, &o, err);
	site_dispose(&site);
	if (rc == 0) {
		join(survey, repair, o, result);
		fm_json_set_double(result, "seconds", (double)(now_ms() - begun) / 1e3);
	}
	survey_end(survey);
	return rc;
}

static int do_verify(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);

	/* Its manifest alone may be damaged: who may clear it away may have it repaired. */
	if (!manifest && own_or_damaged(ask, err))
		return -1;
	return verify_all(ask, &id, manifest, result, err);
}

static int do_script(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);
	FM_AUTO_FREE char *script = NULL;
	struct store_access access;

	if (!manifest)
		return -1;
	if (store_access_job(&access, ask->store, id.job, ask->req->agent->conf.key_file, false, err) == 0)
		script = store_script_read(&access, err);
	store_access_close(&access);
	if (!script)
		return -1;
	fm_json_set_string(result, "script", script);
	return 0;
}

static int run(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct ask *ask = arg;

	(void)blob;
	switch (ask->query) {
	case QUERY_LIST:
	case QUERY_LIST_LEVELS: return do_list(ask, result, err);
	case QUERY_SHOW: return do_show(ask, result, err);
	case QUERY_REMOVE: return do_remove(ask, err);
	case QUERY_VERIFY:
	case QUERY_REPAIR: return do_verify(ask, result, err);
	case QUERY_SCRIPT: return do_script(ask, result, err);
	case QUERY_PIN: return do_pin(ask, result, err);
	case QUERY_UNPIN: return do_unpin(ask, err);
	}
	return fm_fail(err, FM_USAGE, "no such query");
}

/* ---- in the agent ------------------------------------------------------------------- */

/* Snapshots that have no manifest yet, or never will, from this node's leads. */
static void add_running(const struct ask *ask, struct json_object *result)
{
	struct json_object *list = json_object_object_get(result, "snapshots");

	for (struct job *job = ask->req->agent->jobs; job; job = job->next) {
		struct json_object *o;

		if (!job->snapshot || (ask->id.job && job->spec.job != ask->id.job) ||
		    (!ask->admin && job->spec.uid != ask->uid))
			continue;
		o = snapshot_progress(job->snapshot);
		fm_json_set_string(o, "snapshot", fm_json_string_or(o, "id", ""));
		json_object_object_add(o, "job", job_to_json(job));
		json_object_array_add(list, o);
	}
}

/* Not on disk, but its job has a member here: its lead may know why. */
static bool ask_lead(const struct ask *ask, const struct fm_error *error)
{
	struct job *job = job_find(ask->req->agent, ask->id.job);
	char path[64], id[24];

	if (ask->query != QUERY_SHOW || !ask->id.n || error->code != FM_NOT_FOUND || !job || job_is_lead(job))
		return false;
	if (!job_allows(job, ask->req))
		return true;
	fm_snapshot_id_format(&ask->id, id);
	snprintf(path, sizeof(path), "/v1/snapshots/%s", id);
	forward(ask->req, job_lead(job), "GET", path, NULL, LEAD_MS, 200);
	return true;
}

static void on_done(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
		    void *arg)
{
	struct ask *ask = arg;

	(void)blob;
	if (!error) {
		if (ask->query == QUERY_LIST || ask->query == QUERY_LIST_LEVELS)
			add_running(ask, result);
		if (ask->query == QUERY_REMOVE) {
			prune_pages(ask->req->agent, ask->id.job);
			local_disk_tidy(ask->req->agent, ask->id.job, true);
		}
		if (ask->query == QUERY_REMOVE || ask->query == QUERY_REPAIR)
			copier_add(ask->req->agent, ask->id.job);
		request_reply(ask->req, 200, json_object_get(result));
	} else if (!ask_lead(ask, error)) {
		request_fail(ask->req, error);
	}
	free(ask);
}

void store_query(struct request *req, enum query query, const struct fm_snapshot_id *id)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	struct fm_error err;

	if (!ask) {
		request_error(req, FM_FAILED, "out of memory");
		return;
	}
	*ask = (struct ask){ req, query, *id, req->agent->conf.store_dir, req->uid,
			     agent_is_admin(req->agent, req->uid), request_query(req, "disks") != NULL };
	if (!task_start(req->agent, run, ask, on_done, ask, &err)) {
		request_fail(req, &err);
		free(ask);
	}
}
