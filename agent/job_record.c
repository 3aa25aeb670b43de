/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_record.c - job.h's record on disk: RunDir/jobs/<id>.json, one object, written atomically. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/job.h"
#include "common/cleanup.h"
#include "common/io.h"

#define RECORD_MAX (4u << 20)

static char *record_path(const struct job *job)
{
	return fm_format("%s/jobs/%u.json", job->agent->conf.run_dir, job->spec.job);
}

static struct json_object *record_of(const struct job *job)
{
	struct json_object *o = json_object_new_object();
	char id[24];

	json_object_object_add(o, "spec", spec_to_json(&job->spec));
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_string(o, "state", job_state_name(job->state));
	fm_json_set_int(o, "error_code", job->error.code);
	fm_json_set_string(o, "error", job->error.text);
	fm_json_set_int(o, "created", job->created);
	fm_json_set_string(o, "vif", job->vif);
	fm_json_set_string(o, "type", job->type);
	fm_json_set_string(o, "home", job->home);
	fm_json_set_int(o, "disk_mib", job->disk_mib);
	fm_json_set_bool(o, "planned", job->planned);
	if (job->identity)
		json_object_object_add(o, "identity", json_object_get(job->identity));
	if (job->restored_from.job) {
		fm_snapshot_id_format(&job->restored_from, id);
		fm_json_set_string(o, "restored_from", id);
		fm_json_set_string(o, "restored_level", job->restored_level);
		fm_json_set_int(o, "fetched_files", job->fetched_files);
		fm_json_set_int(o, "fetched_bytes", (int64_t)job->fetched_bytes);
	}
	fm_json_set_int(o, "incarnation", job->incarnation);
	fm_json_set_bool(o, "checkpoint_disabled", job->checkpoint_disabled);
	fm_json_set_bool(o, "no_runner", job->no_runner);
	fm_json_set_int(o, "save_pid", job->save_pid);
	fm_json_set_int(o, "cutting", job->cutting.n);
	return o;
}

int job_save(struct job *job, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = record_of(job);
	FM_AUTO_FREE char *path = record_path(job);
	const char *text = fm_json_text(o);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_file_write(path, 0600, text, strlen(text), err);
}

void job_record_remove(struct job *job)
{
	FM_AUTO_FREE char *path = record_path(job);

	if (path && unlink(path) && errno != ENOENT)
		fm_err("%s %s: %s", job_tag(job), path, strerror(errno));
}

static int state_parse(const char *name, enum job_state *state_r)
{
	for (int i = JOB_CREATING; i <= JOB_CRASHED; i++)
		if (strcmp(name, job_state_name((enum job_state)i)) == 0) {
			*state_r = (enum job_state)i;
			return 0;
		}
	return -1;
}

static int fill(struct job *job, struct json_object *o, struct fm_error *err)
{
	const char *restored = fm_json_string_or(o, "restored_from", NULL);
	struct json_object *identity = json_object_object_get(o, "identity");

	if (state_parse(fm_json_string_or(o, "state", ""), &job->state))
		return fm_fail(err, FM_CORRUPT, "no state");
	if (restored && fm_snapshot_id_parse(restored, &job->restored_from, err))
		return -1;
	if (fm_json_int_or(o, "error_code", 0))
		fm_fail(&job->error, (enum fm_code)fm_json_int_or(o, "error_code", FM_FAILED), "%s",
			fm_json_string_or(o, "error", ""));
	job->created = fm_json_int_or(o, "created", 0);
	snprintf(job->vif, sizeof(job->vif), "%s", fm_json_string_or(o, "vif", ""));
	snprintf(job->type, sizeof(job->type), "%s", fm_json_string_or(o, "type", "pvh"));
	job->home = strdup(fm_json_string_or(o, "home", "/"));
	job->disk_mib = (unsigned)fm_json_int_or(o, "disk_mib", 0);
	job->planned = fm_json_bool_or(o, "planned", false);
	job->identity = identity ? json_object_get(identity) : NULL;
	snprintf(job->restored_level, sizeof(job->restored_level), "%s", fm_json_string_or(o, "restored_level", ""));
	job->fetched_files = (unsigned)fm_json_int_or(o, "fetched_files", 0);
	job->fetched_bytes = (uint64_t)fm_json_int_or(o, "fetched_bytes", 0);
	job->incarnation = (unsigned)fm_json_int_or(o, "incarnation", 0);
	job->checkpoint_disabled = fm_json_bool_or(o, "checkpoint_disabled", false);
	job->no_runner = fm_json_bool_or(o, "no_runner", false);
	job->cutting = (struct fm_snapshot_id){ job->spec.job, (uint32_t)fm_json_int_or(o, "cutting", 0) };
	job->save_pid = (pid_t)fm_json_int_or(o, "save_pid", 0);
	return 0;
}

static int load_one(struct agent *agent, const char *path, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = NULL;
	FM_AUTO_FREE char *text = NULL;
	struct spec spec;
	struct job *job;
	size_t size;
	int r;

	text = fm_file_read(path, RECORD_MAX, &size, err);
	if (!text || !(o = fm_json_parse(text, size, err)))
		return -1;
	r = spec_parse(&spec, json_object_object_get(o, "spec"), err);
	job = r ? NULL : job_create(agent, &spec, err);
	spec_dispose(&spec);
	if (!job)
		return -1;
	/* A record half understood is still a record: its domain must not be forgotten. */
	if (fill(job, o, err)) {
		job->state = JOB_FAILED;
		job->error = *err;
	}
	return 0;
}

int jobs_load(struct agent *agent, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = fm_format("%s/jobs", agent->conf.run_dir);
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *entry;

	if (!d)
		return fm_fail(err, FM_FAILED, "%s: %s", dir ? dir : "RunDir", strerror(errno));
	while ((entry = readdir(d))) {
		size_t size = strlen(entry->d_name);
		FM_AUTO_FREE char *path = fm_format("%s/%s", dir, entry->d_name);
		struct fm_error why;

		if (size < 6 || strcmp(entry->d_name + size - 5, ".json"))
			continue;
		if (path && load_one(agent, path, &why))
			fm_err("%s: %s", path, why.text);
	}
	closedir(d);
	return 0;
}
