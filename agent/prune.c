/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prune.c - see prune.h. */
#include "config.h"

#include "agent/prune.h"

#include <stdlib.h>
#include <string.h>

#include "agent/copier.h"
#include "agent/job.h"
#include "agent/store/copies/record.h"
#include "agent/store/copies/trim.h"
#include "agent/local_disk.h"
#include "agent/store/retain.h"
#include "agent/store/sweep.h"
#include "agent/task.h"
#include "common/cleanup.h"

#define KEEP_MAX 1000000
#define AGE_MAX_S (100 * 366 * 86400LL)

struct wanted {
	struct request *req; /* NULL: our own doing */
	struct agent *agent;
	struct retain_options o;
	uint32_t job; /* 0: all */
	uid_t uid;
	bool admin;
};

/* ---- in the task ---------------------------------------------------------------------- */

static bool allowed(void *arg, struct json_object *manifest)
{
	const struct wanted *w = arg;

	return manifest && fm_json_int_or(json_object_object_get(manifest, "job"), "uid", -1) == (int64_t)w->uid;
}

/* From here on it was removed on purpose, on each level, too. */
static int removing(void *arg, const struct fm_snapshot_id *id, struct fm_error *err)
{
	const struct wanted *w = arg;

	return record_removing(w->agent->conf.store_dir, id, err);
}

/* Nothing that was removed is on a level any more: 0. */
static int trim(struct site *site, uint32_t job, struct json_object *report, struct fm_error *err)
{
	FM_AUTO_CLOSE int lock = -1;
	struct folder_numbers left;
	int rc = record_removed(site->store, job, &left, err);
	bool none = rc == 0 && left.count == 0;

	folder_numbers_dispose(&left);
	if (rc < 0 || none)
		return rc;
	lock = record_lock(site->store, job, err);
	return lock < 0 ? -1 : trim_job(site, job, report, err);
}

static int removed(void *arg, uint32_t job, const uint32_t *gone, size_t count, struct json_object *report,
		   struct fm_error *err)
{
	const struct wanted *w = arg;
	struct json_object *levels = json_object_new_array();
	struct site site;
	int rc = site_init_conf(&site, &w->agent->conf, w->o.dry_run ? SITE_IMPATIENT : SITE_PATIENT, err);

	json_object_object_add(report, "levels", levels);
	if (rc == 0 && w->o.dry_run)
		rc = count ? trim_dry_run(&site, job, gone, count, levels, err) : 0;
	else if (rc == 0)
		rc = trim(&site, job, levels, err);
	site_dispose(&site);
	if (rc < 0) {
		fm_json_set_string(report, "levels_error", err->text);
		fm_json_set_int(report, "levels_code", err->code);
	}
	return rc;
}

/* Being restored by this node's agent; the task has its memory of the moment the request came. */
static bool in_use(void *arg, const struct fm_snapshot_id *id)
{
	const struct wanted *w = arg;

	for (const struct job *job = w->agent->jobs; job; job = job->next)
		if (job->state < JOB_RUNNING && job->restored_from.job == id->job && job->restored_from.n == id->n)
			return true;
	return false;
}

static struct json_object *failed_job(uint32_t job, const struct fm_error *err)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_int(o, "job", job);
	fm_json_set_string(o, "error", err->text);
	fm_json_set_int(o, "code", err->code);
	return o;
}

/* Jobs of which the caller has nothing are not his to hear of. */
static void prune_all(const struct wanted *w, struct json_object *jobs, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct json_object *report;
		struct fm_error err;

		if (store_retain(w->agent->conf.store_dir, numbers[i], &w->o, &report, &err) < 0) {
			if (w->admin)
				json_object_array_add(jobs, failed_job(numbers[i], &err));
		} else if (w->admin || json_object_array_length(json_object_object_get(report, "snapshots"))) {
			json_object_array_add(jobs, report);
		} else {
			json_object_put(report);
		}
	}
}

static void add_sums(struct json_object *result, struct json_object *jobs)
{
	int64_t removed = 0, freed = 0;

	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		removed += fm_json_int_or(job, "removed", 0);
		freed += fm_json_int_or(job, "freed", 0);
	}
	fm_json_set_int(result, "removed", removed);
	fm_json_set_int(result, "freed", freed);
}

static int prune(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct wanted *w = arg;
	struct json_object *jobs = json_object_new_array(), *report;
	FM_AUTO_FREE uint32_t *numbers = NULL;
	size_t count;

	(void)blob;
	fm_json_set_bool(result, "dry_run", w->o.dry_run);
	json_object_object_add(result, "jobs", jobs);
	w->o.arg = w;
	w->o.in_use = in_use;
	if (w->agent->conf.levels) {
		w->o.removing = removing;
		w->o.removed = removed;
	}
	w->o.key_file = w->agent->conf.key_file;
	w->o.whole_packs = *w->agent->conf.local_dir;
	w->o.allowed = w->admin ? NULL : allowed;
	if (w->job) {
		if (store_retain(w->agent->conf.store_dir, w->job, &w->o, &report, err) < 0)
			return -1;
		json_object_array_add(jobs, report);
	} else {
		if (store_jobs(w->agent->conf.store_dir, &numbers, &count, err) < 0)
			return -1;
		prune_all(w, jobs, numbers, count);
	}
	add_sums(result, jobs);
	return 0;
}

/* ---- a request ---------------------------------------------------------------------------- */

static int take_rules(struct retain_options *o, struct json_object *body, struct fm_error *err)
{
	int64_t keep = 0;

	if (json_object_object_get(body, "keep") && fm_json_int(body, "keep", 1, KEEP_MAX, &keep, err))
		return -1;
	if (json_object_object_get(body, "max_age_s") &&
	    fm_json_int(body, "max_age_s", 1, AGE_MAX_S, &o->rules.max_age_s, err))
		return -1;
	o->rules.keep = (unsigned)keep;
	o->given = o->rules.keep || o->rules.max_age_s;
	return 0;
}

static struct retain_rules site_rules(const struct agent *agent)
{
	return (struct retain_rules){ .keep = agent->conf.keep, .max_age_s = (agent->conf.max_age_ms + 999) / 1000 };
}

static int take(struct wanted *w, struct json_object *body, struct fm_error *err)
{
	int64_t job = 0;

	w->o.site = site_rules(w->agent);
	if (!body)
		return 0;
	if (take_rules(&w->o, body, err) ||
	    (json_object_object_get(body, "job") && fm_json_int(body, "job", 1, UINT32_MAX, &job, err)))
		return -1;
	w->job = (uint32_t)job;
	w->o.dry_run = fm_json_bool_or(body, "dry_run", false);
	w->o.damaged = fm_json_bool_or(body, "damaged", false);
	w->o.compact = fm_json_bool_or(body, "compact", false);
	w->o.ended = fm_json_bool_or(body, "ended", false);
	if (!w->o.ended)
		return 0;
	if (!w->job)
		return fm_fail(err, FM_USAGE, "which job has ended? Name it");
	if (job_find(w->agent, w->job))
		return fm_fail(err, FM_BUSY, "job %u has a VM on %s: it has not ended", w->job, w->agent->conf.node_name);
	return 0;
}

/* What could not be removed from a level is tried again, by and by. */
static void trim_later(struct agent *agent, struct json_object *result)
{
	struct json_object *jobs = json_object_object_get(result, "jobs");

	for (size_t i = 0; jobs && i < json_object_array_length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		if (json_object_object_get(job, "levels_error"))
			copier_add(agent, (uint32_t)fm_json_int_or(job, "job", 0));
	}
}

/* What only a removed snapshot had is on the nodes' own disks, too. */
static void tidy_all(struct agent *agent, struct json_object *result)
{
	struct json_object *jobs = json_object_object_get(result, "jobs");

	for (size_t i = 0; jobs && !fm_json_bool_or(result, "dry_run", false) && i < json_object_array_length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		if (fm_json_int_or(job, "removed", 0) || fm_json_bool_or(job, "folder_removed", false))
			local_disk_tidy(agent, (uint32_t)fm_json_int_or(job, "job", 0), true);
	}
}

static void on_answer(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct request *req = arg;

	(void)blob;
	if (error) {
		request_fail(req, error);
		return;
	}
	if (!fm_json_bool_or(result, "dry_run", false))
		trim_later(req->agent, result);
	tidy_all(req->agent, result);
	request_reply(req, 200, json_object_get(result));
}

void route_prune(struct request *req, const struct fm_snapshot_id *unused)
{
	struct wanted w = { .req = req, .agent = req->agent, .uid = req->uid, .admin = agent_is_admin(req->agent, req->uid) };
	struct fm_error err;

	(void)unused;
	if (take(&w, req->body, &err) || !task_start(req->agent, prune, &w, on_answer, req, &err))
		request_fail(req, &err);
}

/* ---- by ourselves --------------------------------------------------------------------------- */

static void on_pruned(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct json_object *job;
	const char *why;

	(void)blob;
	if (error) {
		fm_warning("removing old snapshots: %s", error->text);
		return;
	}
	trim_later(arg, result);
	job = json_object_array_get_idx(json_object_object_get(result, "jobs"), 0);
	tidy_all(arg, result);
	why = fm_json_string_or(job, "sweep_error", "");
	fm_info("job=%lld removed %lld old snapshots, %lld bytes freed", (long long)fm_json_int_or(job, "job", 0),
		(long long)fm_json_int_or(result, "removed", 0), (long long)fm_json_int_or(result, "freed", 0));
	if (*why && fm_json_int_or(job, "sweep_code", 0) == FM_BUSY)
		fm_info("job=%lld its pages are for the next time: %s", (long long)fm_json_int_or(job, "job", 0), why);
	else if (*why)
		fm_warning("job=%lld its pages cannot be swept: %s", (long long)fm_json_int_or(job, "job", 0), why);
}

void prune_after_snapshot(struct job *job)
{
	const struct retain_rules wish = { .keep = job->spec.keep, .max_age_s = job->spec.max_age_s };
	struct wanted w = { .agent = job->agent, .job = job->spec.job, .admin = true };
	struct fm_error err;

	w.o.given = true;
	w.o.rules = retain_stricter(wish, site_rules(job->agent));
	w.o.sweep_only_if_removed = true;
	if (!w.o.rules.keep && !w.o.rules.max_age_s)
		return;
	if (!task_start(job->agent, prune, &w, on_pruned, job->agent, &err))
		fm_warning("%s removing old snapshots: %s", job_tag(job), err.text);
}

/* ---- after a removal ------------------------------------------------------------------------- */

/* One at a time for a job; what is removed meanwhile is for one more. */
struct sweeping {
	struct sweeping *next;
	struct agent *agent;
	uint32_t job;
	bool again;
};

static int sweep_pages(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct sweeping *s = arg;
	const struct fm_conf *conf = &s->agent->conf;
	struct sweep_result swept;

	(void)blob;
	if (store_sweep(conf->store_dir, s->job, &(struct sweep_options){ .key_file = conf->key_file, .whole_packs = *conf->local_dir }, &swept, err))
		return -1;
	fm_json_set_int(result, "freed", (int64_t)swept.freed);
	return 0;
}

static void end_sweeping(struct sweeping *s)
{
	struct sweeping **at = &s->agent->sweepings;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

static void on_swept(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct sweeping *s = arg;
	struct agent *agent = s->agent;
	uint32_t job = s->job;
	bool again = s->again;

	(void)blob;
	if (!error)
		fm_info("job=%u %lld bytes of pages freed", job, (long long)fm_json_int_or(result, "freed", 0));
	else if (error->code == FM_BUSY)
		fm_info("job=%u its pages are for the next time: %s", job, error->text);
	else
		fm_warning("job=%u its pages cannot be swept: %s", job, error->text);
	end_sweeping(s);
	if (again)
		prune_pages(agent, job);
}

void prune_pages(struct agent *agent, uint32_t job)
{
	struct sweeping *s = agent->sweepings;
	struct fm_error err;

	while (s && s->job != job)
		s = s->next;
	if (s) {
		s->again = true;
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	*s = (struct sweeping){ agent->sweepings, agent, job, false };
	agent->sweepings = s;
	if (task_start(agent, sweep_pages, s, on_swept, s, &err))
		return;
	fm_warning("job=%u its pages cannot be swept: %s", job, err.text);
	end_sweeping(s);
}

void prunes_free(struct agent *agent)
{
	while (agent->sweepings)
		end_sweeping(agent->sweepings);
}
