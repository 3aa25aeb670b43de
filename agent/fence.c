/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fence.c - see fence.h. */
#include "config.h"

#include "agent/fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job_drop.h"
#include "agent/peers.h"

#define FENCE_MS 60000 /* a VM may have to be destroyed there; connecting takes 5 s at most */

struct post {
	struct fence *fence;
	struct call *call;
	char *node;
};

struct fence {
	struct post *posts;
	size_t count, left;
	struct event *soon; /* nobody to ask */
	fence_done done;
	void *arg;
	struct fm_error error;
	char tag[48];
};

void fence_cancel(struct fence *fence)
{
	if (!fence)
		return;
	for (size_t i = 0; i < fence->count; i++) {
		peer_cancel(fence->posts[i].call);
		free(fence->posts[i].node);
	}
	if (fence->soon)
		event_free(fence->soon);
	free(fence->posts);
	free(fence);
}

static void fence_end(struct fence *fence)
{
	fence_done done = fence->done;
	void *arg = fence->arg;
	struct fm_error error = fence->error;

	fence_cancel(fence);
	done(error.code ? &error : NULL, arg);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	fence_end(arg);
}

static void on_answer(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct post *post = arg;
	struct fence *fence = post->fence;

	(void)reply;
	post->call = NULL;
	if (error && error->code == FM_BUSY) {
		if (!fence->error.code)
			fence->error = *error;
	} else if (error) {
		fm_warning("%s not fenced on %s: %s", fence->tag, post->node, error->text);
	}
	if (--fence->left == 0)
		fence_end(fence);
}

static struct json_object *question(const struct job *job)
{
	struct json_object *o = json_object_new_object(), *addresses = json_object_new_array();
	struct json_object *nodes = json_object_object_get(job->identity, "nodes");

	for (size_t i = 0; i < json_object_array_length(nodes); i++)
		json_object_array_add(addresses, json_object_new_string(fm_json_string_or(
			json_object_array_get_idx(nodes, i), "ip", "")));
	fm_json_set_int(o, "restart_count", job->spec.restart_count);
	json_object_object_add(o, "addresses", addresses);
	return o;
}

struct fence *fence_start(struct job *job, struct json_object *nodes, fence_done done, void *arg)
{
	FM_AUTO_JSON struct json_object *body = question(job);
	size_t count = json_object_array_length(nodes);
	struct fence *fence = calloc(1, sizeof(*fence));
	char path[64];

	if (!fence || !(fence->posts = calloc(count + 1, sizeof(*fence->posts))))
		abort(); /* the group waits for this */
	fence->done = done;
	fence->arg = arg;
	fence->count = fence->left = count;
	snprintf(fence->tag, sizeof(fence->tag), "%s", job_tag(job));
	snprintf(path, sizeof(path), "/v1/jobs/%u/fence", job->spec.job);
	for (size_t i = 0; i < count; i++) {
		struct post *post = &fence->posts[i];

		post->fence = fence;
		post->node = strdup(json_object_get_string(json_object_array_get_idx(nodes, i)));
		post->call = peer_call(job->agent->peers, post->node, "POST", path, body, FENCE_MS, on_answer, post);
	}
	if (!count) {
		fence->soon = evtimer_new(job->agent->base, on_soon, fence);
		event_active(fence->soon, EV_TIMEOUT, 1);
	}
	return fence;
}

/* ---- the other side ------------------------------------------------------------------- */

static bool among(struct json_object *addresses, const char *ip)
{
	for (size_t i = 0; i < json_object_array_length(addresses); i++) {
		struct json_object *o = json_object_array_get_idx(addresses, i);

		if (json_object_is_type(o, json_type_string) && strcmp(json_object_get_string(o), ip) == 0)
			return true;
	}
	return false;
}

static void on_dropped(struct agent *agent, const struct fm_error *error, void *arg)
{
	struct fm_error busy;

	if (!error) {
		request_reply(arg, 200, json_object_new_object());
		return;
	}
	fm_fail(&busy, FM_BUSY, "the earlier VM on %s cannot be destroyed: %s", agent->conf.node_name, error->text);
	request_fail(arg, &busy);
}

void fence_request(struct request *req, uint32_t id)
{
	struct json_object *addresses;
	struct fm_error err;
	int64_t count;

	if (!req->body || fm_json_int(req->body, "restart_count", 0, INT32_MAX, &count, &err) ||
	    fm_json_array(req->body, "addresses", SPEC_NODES_MAX, &addresses, &err)) {
		request_error(req, FM_USAGE, "a fence needs restart_count and addresses");
		return;
	}
	for (struct job *job = req->agent->jobs; job; job = job->next) {
		const char *ip = fm_json_string_or(job_identity_node(job), "ip", "");

		if (job->spec.job == id && (int64_t)job->spec.restart_count < count) {
			fm_warning("%s an earlier incarnation, %u, is fenced", job_tag(job), job->spec.restart_count);
			job_drop(job, on_dropped, req);
			return;
		}
		if (job->spec.job == id || job->state > JOB_RUNNING || !among(addresses, ip))
			continue;
		request_error(req, FM_BUSY, "the address %s is in use by job %u's member %u on %s", ip,
			      job->spec.job, job->rank, req->agent->conf.node_name);
		return;
	}
	request_reply(req, 200, json_object_new_object());
}
