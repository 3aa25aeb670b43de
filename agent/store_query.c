/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_query.c - see store_query.h. */
#include "config.h"

#include "agent/store_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/forward.h"
#include "agent/job.h"
#include "agent/local/state.h"
#include "agent/local_disk.h"
#include "agent/prune.h"
#include "agent/snapshot.h"
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

/* The manifest, once it is clear that the caller may have it. */
static struct json_object *own_manifest(const struct ask *ask, struct fm_snapshot_id *id, struct fm_error *err)
{
	struct json_object *manifest = store_manifest(ask->store, id, err);

	if (manifest && !may(ask, manifest)) {
		json_object_put(manifest);
		fm_fail(err, FM_DENIED, "snapshot %u.%u is another user's", id->job, id->n);
		return NULL;
	}
	return manifest;
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

static int do_list(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *all = store_list(ask->store, ask->id.job, err);
	struct json_object *mine = json_object_new_array();

	json_object_object_add(result, "snapshots", mine);
	if (!all)
		return -1;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *o = json_object_array_get_idx(all, i);
		struct fm_snapshot_id id;

		if (!may(ask, o))
			continue;
		if (fm_snapshot_id_parse(fm_json_string_or(o, "snapshot", ""), &id, err) == 0)
			add_pin(ask, &id, o);
		json_object_array_add(mine, json_object_get(o));
	}
	return 0;
}

static int do_show(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);
	FM_AUTO_JSON struct json_object *o = manifest ? store_describe(ask->store, &id, manifest) : NULL;
	struct json_object *levels;

	if (!o)
		return manifest ? fm_fail(err, FM_FAILED, "out of memory") : -1;
	add_pin(ask, &id, o);
	if ((levels = local_levels(&ask->req->agent->conf, &id, manifest, ask->ask_disks)))
		json_object_object_add(o, "levels", levels);
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

static int do_remove(const struct ask *ask, struct fm_error *err)
{
	return own_or_damaged(ask, err) ? -1 : store_remove(ask->store, &ask->id, err);
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

/* What is on the nodes' own disks only cannot be read from here. */
static int in_store(const struct ask *ask, const struct fm_snapshot_id *id, struct json_object *manifest, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *levels = local_levels(&ask->req->agent->conf, id, manifest, false);
	struct json_object *shared = levels ? json_object_array_get_idx(levels, json_object_array_length(levels) - 1) : NULL;
	const char *state = shared ? fm_json_string_or(shared, "state", "") : "whole";

	if (strcmp(state, "whole") == 0)
		return 0;
	return fm_fail(err, FM_BUSY, "snapshot %u.%u is on the nodes' own disks, and not whole in StoreDir (%s): what is there cannot be "
		       "verified yet", id->job, id->n, state);
}

static int do_verify(const struct ask *ask, struct json_object *result, struct fm_error *err)
{
	struct fm_snapshot_id id = ask->id;
	FM_AUTO_JSON struct json_object *manifest = own_manifest(ask, &id, err);
	FM_AUTO_JSON struct json_object *o = NULL;

	if (manifest && in_store(ask, &id, manifest, err))
		return -1;
	if (!manifest || store_verify(ask->store, ask->req->agent->conf.key_file, &id, &o, err))
		return -1;
	copy_all(o, result);
	return 0;
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
	case QUERY_LIST: return do_list(ask, result, err);
	case QUERY_SHOW: return do_show(ask, result, err);
	case QUERY_REMOVE: return do_remove(ask, err);
	case QUERY_VERIFY: return do_verify(ask, result, err);
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
		if (ask->query == QUERY_LIST)
			add_running(ask, result);
		if (ask->query == QUERY_REMOVE) {
			prune_pages(ask->req->agent, ask->id.job);
			local_disk_tidy(ask->req->agent, ask->id.job, true);
		}
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
