/* SPDX-License-Identifier: GPL-2.0-or-later */
/* local_round.c - the lead asks what each member has, writes the record, and orders the copies; see local_disk.h. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/local/check.h"
#include "agent/local/work.h"
#include "agent/local_disk.h"
#include "agent/peers.h"
#include "agent/task.h"
#include "common/cleanup.h"

#define LIST_MS 60000
#define ORDER_MS 10000
#define INSPECT_NICE 19 /* the jobs on this node come first */

struct asked {
	struct local_round *round;
	struct call *call; /* NULL: answered */
	char *node;
};

struct local_round {
	struct local_round *next;
	struct agent *agent;
	struct fm_snapshot_id id;
	size_t count, left;
	struct json_object *members; /* by rank */
	struct task *task;
	struct fm_error why; /* code FM_OK while all is well */
	struct asked asked[];
};

static void round_end(struct local_round *r)
{
	struct local_round **at = &r->agent->local_rounds;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	task_cancel(r->task);
	for (size_t i = 0; i < r->count; i++) {
		peer_cancel(r->asked[i].call);
		free(r->asked[i].node);
	}
	json_object_put(r->members);
	free(r);
}

void local_rounds_free(struct agent *agent)
{
	while (agent->local_rounds)
		round_end(agent->local_rounds);
}

static void give_up(struct local_round *r, const struct fm_error *why)
{
	fm_warning("job=%" PRIu32 " snapshot=%" PRIu32 ".%" PRIu32 " what is on the nodes' disks is not recorded, nor copied: %s",
		   r->id.job, r->id.job, r->id.n, why->text);
	round_end(r);
}

/* ---- the order -------------------------------------------------------------------------------------------- */

static void on_ordered(struct json_object *reply, const struct fm_error *err, void *arg)
{
	(void)reply, (void)arg;
	if (err)
		fm_warning("copies of a snapshot are not begun yet on a node: %s", err->text);
}

static void on_recorded(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct local_round *r = arg;
	char path[64];

	(void)result, (void)blob;
	r->task = NULL;
	if (error) {
		give_up(r, error);
		return;
	}
	snprintf(path, sizeof(path), "/v1/snapshots/%" PRIu32 ".%" PRIu32 "/protect", r->id.job, r->id.n);
	for (size_t i = 0; i < r->count; i++) {
		FM_AUTO_JSON struct json_object *body = json_object_new_object();

		fm_json_set_int(body, "rank", (int64_t)i);
		peer_call(r->agent->peers, r->asked[i].node, "POST", path, body, ORDER_MS, on_ordered, NULL);
	}
	round_end(r);
}

static int write_record(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct local_round *r = arg;

	(void)result, (void)blob;
	return local_record(&r->agent->conf, &r->id, r->members, err);
}

/* ---- the question ------------------------------------------------------------------------------------------ */

static void on_listed(struct json_object *reply, const struct fm_error *error, void *arg)
{
	struct asked *asked = arg;
	struct local_round *r = asked->round;
	struct fm_error err;

	asked->call = NULL;
	if (error) {
		r->why = *error;
		fm_context(&r->why, "node %s", asked->node);
	} else {
		json_object_array_put_idx(r->members, (size_t)(asked - r->asked), json_object_get(reply));
	}
	if (--r->left)
		return;
	if (r->why.code) {
		give_up(r, &r->why);
		return;
	}
	r->task = task_start(r->agent, write_record, r, on_recorded, r, &err);
	if (!r->task)
		give_up(r, &err);
}

void local_disk_snapshot(struct agent *agent, const struct fm_snapshot_id *id, char *const *nodes, size_t count)
{
	struct local_round *r = agent->local_rounds;
	char path[64];

	while (r && (r->id.job != id->job || r->id.n != id->n))
		r = r->next;
	if (!agent->local_disk || r)
		return;
	r = calloc(1, sizeof(*r) + count * sizeof(r->asked[0]));
	if (!r)
		return;
	*r = (struct local_round){ .next = agent->local_rounds, .agent = agent, .id = *id, .count = count, .left = count,
				   .members = json_object_new_array() };
	agent->local_rounds = r;
	snprintf(path, sizeof(path), "/v1/snapshots/%" PRIu32 ".%" PRIu32 "/local", id->job, id->n);
	for (size_t i = 0; i < count; i++) {
		FM_AUTO_JSON struct json_object *body = json_object_new_object();

		fm_json_set_int(body, "rank", (int64_t)i);
		r->asked[i].round = r;
		r->asked[i].node = strdup(nodes[i]);
		r->asked[i].call = peer_call(agent->peers, nodes[i], "POST", path, body, LIST_MS, on_listed, &r->asked[i]);
	}
}

/* ---- the members' answers ---------------------------------------------------------------------------------- */

static bool is_asked_well(struct request *req, const struct fm_snapshot_id *id)
{
	if (!req->agent->local_disk)
		request_error(req, FM_INCOMPATIBLE, "node %s has no LocalDir", req->agent->conf.node_name);
	else if (!id->n)
		request_error(req, FM_USAGE, "which snapshot of job %" PRIu32 "?", id->job);
	else
		return true;
	return false;
}

static bool take_rank(struct request *req, const struct fm_snapshot_id *id, unsigned *rank_r)
{
	struct fm_error err;
	int64_t rank;

	if (!is_asked_well(req, id))
		return false;
	if (!req->body || fm_json_int(req->body, "rank", 0, SETS_NODES_MAX, &rank, &err))
		request_error(req, FM_USAGE, "\"rank\" is needed");
	else {
		*rank_r = (unsigned)rank;
		return true;
	}
	return false;
}

struct ask {
	const struct agent *agent;
	struct fm_snapshot_id id;
	unsigned rank;
};

static int list(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct ask *ask = arg;
	FM_AUTO_JSON struct json_object *o = local_list(&ask->agent->conf, &ask->id, ask->rank, err);

	(void)blob;
	if (!o)
		return -1;
	json_object_object_foreach(o, key, value)
		json_object_object_add(result, key, json_object_get(value));
	return 0;
}

static void on_list(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	(void)blob;
	if (error)
		request_fail(arg, error);
	else
		request_reply(arg, 200, json_object_get(result));
}

void route_local_list(struct request *req, const struct fm_snapshot_id *id)
{
	struct ask ask = { .agent = req->agent, .id = *id };
	struct fm_error err;

	if (take_rank(req, id, &ask.rank) && !task_start(req->agent, list, &ask, on_list, req, &err))
		request_fail(req, &err);
}

void route_local_protect(struct request *req, const struct fm_snapshot_id *id)
{
	unsigned rank;

	if (!take_rank(req, id, &rank))
		return;
	local_disk_copy(req->agent, id, rank);
	request_reply(req, 202, json_object_new_object());
}

/* ---- a verify's question (local/survey.h) ------------------------------------------------------------------ */

struct inspection {
	const struct agent *agent;
	struct fm_snapshot_id id;
	struct json_object *mend; /* NULL: only look */
};

static int inspect(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct inspection *i = arg;

	(void)blob;
	if (i->mend)
		return local_mend(&i->agent->conf, &i->id, i->mend, result, err);
	(void)setpriority(PRIO_PROCESS, 0, INSPECT_NICE);
	return local_check_disk(&i->agent->conf, &i->id, result, err);
}

void route_local_disk(struct request *req, const struct fm_snapshot_id *id)
{
	struct inspection i = { req->agent, *id, req->body ? json_object_object_get(req->body, "mend") : NULL };
	struct fm_error err;

	if (!is_asked_well(req, id))
		return;
	if (i.mend && !json_object_is_type(i.mend, json_type_array))
		request_error(req, FM_USAGE, "\"mend\" is a list of packs");
	else if (!task_start(req->agent, inspect, &i, on_list, req, &err))
		request_fail(req, &err);
}

void route_local_tidy(struct request *req, const struct fm_snapshot_id *id)
{
	local_disk_tidy(req->agent, id->job, false);
	request_reply(req, 202, json_object_new_object());
}
