/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * routes_status.c - GET /v1/status: is the agent there, and what with?  A store
 * that does not answer within STORE_MS is left out rather than waited for.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/routes.h"
#include "agent/task.h"
#include "common/cleanup.h"
#include "common/io.h"

#define STORE_MS 2000

struct status {
	struct request *req;
	struct task *task;
	struct event *timeout;
};

/* The names in ImageDir that have an image.conf: sbatch asks where it cannot look itself. */
static struct json_object *image_names(const struct agent *agent)
{
	struct json_object *names = json_object_new_array();
	DIR *dir = opendir(agent->conf.image_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		FM_AUTO_FREE char *path = fm_format("%s/image.conf", entry->d_name);

		if (entry->d_name[0] != '.' && path && !faccessat(dirfd(dir), path, R_OK, 0))
			json_object_array_add(names, json_object_new_string(entry->d_name));
	}
	if (dir)
		closedir(dir);
	return names;
}

static int store_space(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct agent *agent = arg;
	struct statvfs fs;

	(void)blob;
	if (statvfs(agent->conf.store_dir, &fs))
		return fm_fail(err, FM_FAILED, "%s: %s", agent->conf.store_dir, strerror(errno));
	json_object_object_add(result, "images", image_names(agent));
	fm_json_set_int(result, "free_bytes", (int64_t)fs.f_bavail * (int64_t)fs.f_frsize);
	return 0;
}

/* store: {free_bytes, images} or {error}; taken. */
static void reply(struct status *s, struct json_object *store)
{
	const struct agent *agent = s->req->agent;
	struct json_object *o = json_object_new_object(), *jobs = json_object_new_array(), *images;

	fm_json_set_string(o, "version", PACKAGE_VERSION);
	fm_json_set_string(o, "node", agent->conf.node_name);
	fm_json_set_string(o, "hypervisor", agent->conf.hypervisor);
	fm_json_set_string(o, "gate", agent->conf.gate);
	fm_json_set_double(o, "uptime_s", (double)((agent_now_ns() - agent->started_ns) / 1000000) / 1000.0);
	for (struct job *job = agent->jobs; job; job = job->next)
		json_object_array_add(jobs, json_object_new_int64(job->spec.job));
	json_object_object_add(o, "jobs", jobs);
	if (json_object_object_get_ex(store, "images", &images)) {
		json_object_object_add(o, "images", json_object_get(images));
		json_object_object_del(store, "images");
	}
	fm_json_set_string(store, "dir", agent->conf.store_dir);
	json_object_object_add(o, "store", store);
	request_reply(s->req, 200, o);
	event_free(s->timeout);
	free(s);
}

static void on_space(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
		     void *arg)
{
	struct json_object *store = error ? json_object_new_object() : json_object_get(result);

	(void)blob;
	if (error)
		fm_json_set_string(store, "error", error->text);
	reply(arg, store);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct status *s = arg;
	struct json_object *store = json_object_new_object();

	(void)fd, (void)what;
	task_cancel(s->task);
	fm_json_set_string(store, "error", "it does not answer");
	reply(s, store);
}

void route_status(struct request *req, const struct fm_snapshot_id *id)
{
	struct timeval tv = { STORE_MS / 1000, 0 };
	struct status *s = calloc(1, sizeof(*s));
	struct fm_error err;

	(void)id;
	if (!s || !(s->timeout = evtimer_new(req->agent->base, on_timeout, s))) {
		free(s);
		request_error(req, FM_FAILED, "out of memory");
		return;
	}
	s->req = req;
	event_add(s->timeout, &tv);
	s->task = task_start(req->agent, store_space, req->agent, on_space, s, &err);
	if (!s->task)
		on_space(NULL, NULL, &err, s);
}
