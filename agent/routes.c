/* SPDX-License-Identifier: GPL-2.0-or-later */
/* routes.c - see routes.h. */
#include "config.h"

#include "agent/routes.h"

#include <stdio.h>
#include <string.h>

#include "agent/claims.h"
#include "agent/local_disk.h"
#include "agent/prune.h"

enum access {
	ANYONE, /* proven, whoever it is; the handler shows only what is theirs */
	ROOT,   /* Slurm's prolog and epilog, other agents */
};

/* {J}: a job's number; {S}: a snapshot's id, or a job's number for its newest. */
static const struct route {
	const char *method, *before, *after;
	char kind; /* what stands between: 'J', 'S' or 0 */
	enum access access;
	route_handler handler;
} routes[] = {
	{ "GET", "/v1/status", "", 0, ANYONE, route_status },
	{ "GET", "/v1/jobs", "", 0, ANYONE, route_jobs },
	{ "GET", "/v1/jobs/", "", 'J', ANYONE, route_job },
	{ "PUT", "/v1/jobs/", "/member", 'J', ROOT, route_member_put },
	{ "DELETE", "/v1/jobs/", "/member", 'J', ROOT, route_member_delete },
	{ "POST", "/v1/jobs/", "/attach", 'J', ANYONE, route_attach },
	{ "POST", "/v1/jobs/", "/snapshots", 'J', ANYONE, route_snapshot_create },
	{ "POST", "/v1/jobs/", "/checkpoint", 'J', ANYONE, route_checkpoint },
	{ "POST", "/v1/jobs/", "/restart", 'J', ANYONE, route_restart },
	{ "GET", "/v1/jobs/", "/plan", 'J', ROOT, route_plan },
	{ "POST", "/v1/jobs/", "/ready", 'J', ROOT, route_ready },
	{ "POST", "/v1/jobs/", "/release", 'J', ROOT, route_release },
	{ "POST", "/v1/jobs/", "/open", 'J', ROOT, route_open },
	{ "POST", "/v1/jobs/", "/abort", 'J', ROOT, route_abort },
	{ "POST", "/v1/jobs/", "/fence", 'J', ROOT, route_fence },
	{ "POST", "/v1/jobs/", "/tidy", 'J', ROOT, route_local_tidy },
	{ "POST", "/v1/snapshots/", "/local", 'S', ROOT, route_local_list },
	{ "POST", "/v1/snapshots/", "/protect", 'S', ROOT, route_local_protect },
	{ "POST", "/v1/snapshots/", "/disk", 'S', ROOT, route_local_disk },
	{ "GET", "/v1/snapshots", "", 0, ANYONE, route_snapshots },
	{ "GET", "/v1/snapshots/", "", 'S', ANYONE, route_snapshot },
	{ "DELETE", "/v1/snapshots/", "", 'S', ANYONE, route_snapshot_delete },
	{ "POST", "/v1/snapshots/", "/verify", 'S', ANYONE, route_snapshot_verify },
	{ "POST", "/v1/snapshots/", "/pin", 'S', ANYONE, route_snapshot_pin },
	{ "DELETE", "/v1/snapshots/", "/pin", 'S', ANYONE, route_snapshot_unpin },
	{ "POST", "/v1/prune", "", 0, ANYONE, route_prune },
	{ "POST", "/v1/snapshots/", "/claims", 'S', ROOT, route_claims },
	{ "GET", "/v1/snapshots/", "/script", 'S', ANYONE, route_snapshot_script },
};

/* 1: path is this route's, id filled; 0: it is not; -1: it is, with a bad id. */
static int route_match(const struct route *route, const char *path, struct fm_snapshot_id *id_r,
		       struct fm_error *err)
{
	size_t before = strlen(route->before), after = strlen(route->after), size = strlen(path);
	char id[32];

	*id_r = (struct fm_snapshot_id){ 0 };
	if (!route->kind)
		return strcmp(path, route->before) == 0;
	if (size <= before + after || strncmp(path, route->before, before) ||
	    strcmp(path + size - after, route->after))
		return 0;
	size -= before + after;
	if (memchr(path + before, '/', size))
		return 0;
	if (size >= sizeof(id))
		return fm_fail(err, FM_USAGE, "this is no job or snapshot id");
	memcpy(id, path + before, size);
	id[size] = '\0';
	if (fm_snapshot_id_parse(id, id_r, err))
		return -1;
	if (route->kind == 'J' && strchr(id, '.'))
		return fm_fail(err, FM_USAGE, "\"%s\" is a snapshot; a job's number is needed here", id);
	return 1;
}

void routes_dispatch(struct request *req)
{
	bool path_known = false;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];
		struct fm_snapshot_id id;
		struct fm_error err;
		int r = route_match(route, req->path, &id, &err);

		if (r == 0)
			continue;
		path_known = true;
		if (strcmp(req->method, route->method))
			continue;
		if (r < 0)
			request_fail(req, &err);
		else if (route->access == ROOT && req->uid != 0)
			request_error(req, FM_DENIED, "%s %s is for root", req->method, req->path);
		else
			route->handler(req, &id);
		return;
	}
	request_error(req, path_known ? FM_USAGE : FM_NOT_FOUND, "there is no call %s %s", req->method, req->path);
}
