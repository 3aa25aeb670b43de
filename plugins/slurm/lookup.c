/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lookup.c - see lookup.h. */
#include "config.h"

#include "plugins/slurm/lookup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/json.h"

#define ANSWER_MS 20000
#define MEMBERS_MAX 65536

static struct json_object *get(const struct fm_conf *conf, const char *snapshot, const char *what,
			       struct fm_error *err)
{
	struct json_object *reply = NULL;
	char path[96];

	snprintf(path, sizeof path, "/v1/snapshots/%.24s%s", snapshot, what);
	if (!fm_http_call_any(conf, NULL, "GET", path, NULL, ANSWER_MS, &reply, err))
		return reply;
	if (!strstr(err->text, snapshot))
		fm_context(err, "snapshot %s", snapshot);
	return NULL;
}

/* An agent lists the images of its node, which may not be this host's. */
static int ask_agent(const struct fm_conf *conf, const char *image, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *status = NULL;
	struct json_object *images;
	struct fm_error ignored;

	if (fm_http_call_any(conf, NULL, "GET", "/v1/status", NULL, ANSWER_MS, &status, &ignored) ||
	    fm_json_array(status, "images", MEMBERS_MAX, &images, &ignored))
		return 0; /* nobody can tell here; the prolog will */
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(images, i));

		if (name && !strcmp(name, image))
			return 0;
	}
	return fm_fail(err, FM_NOT_FOUND, "there is no image \"%s\"", image);
}

int fm_lookup_image(const struct fm_conf *conf, const char *image, struct fm_error *err)
{
	struct fm_image found;
	int r;

	if (access(conf->image_dir, R_OK | X_OK))
		return ask_agent(conf, image, err);
	r = fm_image_load(&found, conf, image, err);
	fm_image_dispose(&found);
	return r;
}

int fm_lookup_snapshot(const struct fm_conf *conf, const char *snapshot, struct fm_snapshot_needs *needs,
		       struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = get(conf, snapshot, "", err);
	struct json_object *members, *job;
	const char *state, *name;

	if (!reply)
		return -1;
	if (fm_json_string(reply, "snapshot", &name, err) || fm_json_string(reply, "state", &state, err))
		return fm_context(err, "snapshot %s", snapshot);
	if (strcmp(state, "whole"))
		return fm_fail(err, FM_FAILED, "snapshot %s is not whole: %s%s%s", name, state,
			       fm_json_string_or(reply, "error", NULL) ? ": " : "",
			       fm_json_string_or(reply, "error", ""));
	if (fm_json_array(reply, "members", MEMBERS_MAX, &members, err))
		return fm_context(err, "snapshot %s", snapshot);
	job = json_object_object_get(reply, "job");
	snprintf(needs->name, sizeof needs->name, "%s", name);
	needs->members = (long)json_object_array_length(members);
	needs->memory_mib = job && !conf->guest_memory_mib ? (long)fm_json_int_or(job, "memory_mib", 0) : 0;
	needs->vcpus = job ? (long)fm_json_int_or(job, "vcpus", 1) : 1;
	return 0;
}

char *fm_lookup_script(const struct fm_conf *conf, const char *snapshot, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = get(conf, snapshot, "/script", err);
	const char *script;
	char *copy;

	if (!reply || fm_json_string(reply, "script", &script, err))
		return NULL;
	copy = strdup(script);
	if (!copy)
		fm_fail(err, FM_FAILED, "out of memory");
	return copy;
}
