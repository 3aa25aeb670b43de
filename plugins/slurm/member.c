/* SPDX-License-Identifier: GPL-2.0-or-later */
/* member.c - see member.h. */
#include "config.h"

#include "plugins/slurm/member.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/http.h"
#include "common/json.h"
#include "plugins/slurm/allocation.h"
#include "plugins/slurm/marker.h"

#define AGENT_BACK_MS 5000    /* an agent that is just being restarted */
#define DESTROY_MS 60000
#define SLACK_MS 30000        /* on top of the agent's own bound */
#define RETRY_NS 200000000L
#define GROUPS_MAX 65536

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A call to the local agent; "nobody there" is tried again until AGENT_BACK_MS are over. */
static int call_agent(const struct fm_conf *conf, const char *method, const char *path,
		      struct json_object *body, long timeout_ms, struct fm_error *err)
{
	const struct timespec pause = { 0, RETRY_NS };
	int64_t until = now_ms() + AGENT_BACK_MS;

	for (;;) {
		if (!fm_http_call(conf, NULL, method, path, body, timeout_ms, NULL, err))
			return 0;
		if (err->code != FM_NOT_FOUND || now_ms() >= until)
			return -1;
		nanosleep(&pause, NULL);
	}
}

static int add_groups(struct json_object *spec, const char *user, gid_t gid, struct fm_error *err)
{
	struct json_object *array = json_object_new_array();
	FM_AUTO_FREE gid_t *gids = NULL;
	int count = 64;

	json_object_object_add(spec, "gids", array);
	do {
		gid_t *more = realloc(gids, (size_t)count * sizeof *gids);

		if (!more)
			return fm_fail(err, FM_FAILED, "out of memory");
		gids = more;
	} while (getgrouplist(user, gid, gids, &count) < 0 && count < GROUPS_MAX);
	for (int i = 0; i < count && count < GROUPS_MAX; i++)
		json_object_array_add(array, json_object_new_int64(gids[i]));
	return 0;
}

static int add_user(struct json_object *spec, uid_t uid, const struct fm_allocation *a, struct fm_error *err)
{
	const struct passwd *pw;
	gid_t gid;

	errno = 0;
	pw = getpwuid(uid);
	if (!pw)
		return fm_fail(err, FM_NOT_FOUND, "no user has the id %u on this node%s%s", (unsigned)uid,
			       errno ? ": " : "", errno ? strerror(errno) : "");
	gid = a->name ? a->gid : pw->pw_gid;
	fm_json_set_int(spec, "uid", uid);
	fm_json_set_int(spec, "gid", gid);
	fm_json_set_string(spec, "user", pw->pw_name);
	return add_groups(spec, pw->pw_name, gid, err);
}

/* The rank is the place in the list; -1 when this node is not in it. */
static long add_nodes(struct json_object *spec, const char *nodes, const char *node, struct fm_error *err)
{
	struct json_object *array = json_object_new_array();
	struct fm_hostlist list;
	long rank = -1;

	json_object_object_add(spec, "nodes", array);
	if (!fm_hostlist_parse(&list, nodes, err)) {
		for (size_t i = 0; i < list.count; i++)
			json_object_array_add(array, json_object_new_string(list.names[i]));
		rank = fm_hostlist_index(&list, node);
		if (rank < 0)
			fm_fail(err, FM_FAILED, "node %s is not in the job's list %s", node, nodes);
	}
	fm_hostlist_dispose(&list);
	return rank;
}

/* Everything in HACKING.md's "Job spec".  What Slurm cannot tell is left for the agent to refuse. */
static struct json_object *spec_create(const struct fm_conf *conf, const struct fm_member_request *q,
				       struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *spec = json_object_new_object();
	FM_AUTO_FREE char *script = NULL;
	struct fm_allocation a;
	struct fm_error ignored;
	long rank = -1;

	if (fm_allocation_load(&a, q->job, q->node, err))
		fprintf(stderr, "%s\n", err->text); /* seen when the agent refuses for it */
	fm_json_set_string(spec, "scheduler", "slurm");
	fm_json_set_int(spec, "job", q->job);
	fm_json_set_string(spec, "name", a.name ? a.name : "");
	if (!add_user(spec, q->uid, &a, err))
		rank = add_nodes(spec, q->nodes, q->node, err);
	fm_json_set_string(spec, "image", *q->image ? q->image : conf->default_image);
	fm_json_set_int(spec, "memory_mib", conf->guest_memory_mib ? conf->guest_memory_mib : a.memory_mib);
	fm_json_set_int(spec, "vcpus", a.vcpus ? a.vcpus : 1);
	fm_json_set_int(spec, "restart_count", q->restart_count ? q->restart_count : a.restart_count);
	fm_json_set_string(spec, "restart_from", q->restart_from);
	fm_json_set_int(spec, "interval_s", q->interval_s);
	fm_json_set_int(spec, "keep", q->keep);
	fm_json_set_int(spec, "max_age_s", q->max_age_s);
	fm_allocation_dispose(&a);
	if (rank < 0)
		return NULL;
	/* salloc and srun have none */
	if (rank == 0 && (script = fm_allocation_script(q->job, &ignored)))
		fm_json_set_string(spec, "script", script);
	return fm_steal_ptr(&spec);
}

int fm_member_create(const struct fm_conf *conf, const struct fm_member_request *q, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *spec = NULL;
	char path[64];

	if (fm_marker_make(q->run, q->job, err) || !(spec = spec_create(conf, q, err)))
		return -1;
	snprintf(path, sizeof path, "/v1/jobs/%u/member", q->job);
	return call_agent(conf, "PUT", path, spec, (long)conf->create_timeout_ms + SLACK_MS, err);
}

int fm_member_destroy(const struct fm_conf *conf, uint32_t job, const char *run, struct fm_error *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof path, "/v1/jobs/%u/member", job);
	r = call_agent(conf, "DELETE", path, NULL, DESTROY_MS, err);
	fm_marker_remove(run, job);
	return r;
}
