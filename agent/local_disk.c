/* SPDX-License-Identifier: GPL-2.0-or-later */
/* local_disk.c - see local_disk.h: the helper processes. local_round.c has the lead's part. */
#include "config.h"

#include "agent/local_disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/copier.h"
#include "agent/local/place.h"
#include "agent/local/serve.h"
#include "agent/local/tidy.h"
#include "agent/local/work.h"
#include "agent/peers.h"
#include "agent/task.h"
#include "common/cleanup.h"
#include "common/hostlist.h"

#define SERVE_AGAIN_MS 1000
#define LOOK_MS 300000
#define AGAIN_MS 2000 /* after a failure; then twice as long, up to LOOK_MS */
#define TIDY_MS 10000
#define NICE 19

/* A thing to do, in turn: copies of a snapshot, or (n 0) a tidying. */
struct chore {
	struct chore *next;
	struct fm_snapshot_id id;
	unsigned rank;
};

struct local_disk {
	struct agent *agent;
	struct task *serving, *working, *looking;
	struct event *serve_again, *look_again;
	struct chore *queue; /* the first is being done, if working */
	int64_t again_ms;
};

static void start_next(struct local_disk *d);

static void after(struct event *timer, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_add(timer, &tv);
}

/* ---- the server ------------------------------------------------------------------------------------- */

static int serve(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct agent *agent = arg;

	(void)result, (void)blob;
	return local_serve(&agent->conf, err);
}

static void on_served(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct local_disk *d = arg;

	(void)result, (void)blob;
	d->serving = NULL;
	fm_err("nobody serves %s to other nodes: %s", d->agent->conf.local_dir, error ? error->text : "it ended");
	after(d->serve_again, SERVE_AGAIN_MS);
}

static void on_serve(evutil_socket_t fd, short what, void *arg)
{
	struct local_disk *d = arg;
	struct fm_error err;

	(void)fd, (void)what;
	d->serving = task_start(d->agent, serve, d->agent, on_served, d, &err);
	if (!d->serving)
		on_served(NULL, NULL, &err, d);
}

/* ---- the queue ---------------------------------------------------------------------------------------- */

struct work {
	const struct agent *agent;
	struct chore chore;
};

static int tidy(const struct fm_conf *conf, uint32_t job, struct json_object *result, struct fm_error *err)
{
	struct tidied tidied;

	if (local_tidy(conf, job, &tidied, err))
		return -1;
	fm_json_set_int(result, "packs", (int64_t)tidied.packs);
	fm_json_set_int(result, "shards", (int64_t)tidied.shards);
	fm_json_set_int(result, "bytes", (int64_t)tidied.bytes);
	return 0;
}

static int work(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct work *w = arg;
	const struct fm_conf *conf = &w->agent->conf;
	struct fm_error flush;

	(void)blob;
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (!w->chore.id.n)
		return tidy(conf, w->chore.id.job, result, err);
	if (local_protect(conf, &w->chore.id, w->chore.rank, err)) {
		if (local_flush(conf, &w->chore.id, w->chore.rank, &flush)) /* all the more */
			fm_warning("snapshot=%u.%u not flushed: %s", w->chore.id.job, w->chore.id.n, flush.text);
		return -1;
	}
	return local_flush(conf, &w->chore.id, w->chore.rank, err);
}

/* Often another node is only being restarted. */
static void copies_failed(struct local_disk *d, const struct chore *chore, const struct fm_error *error)
{
	fm_warning("job=%" PRIu32 " snapshot=%" PRIu32 ".%" PRIu32 " its copies are not whole, tried again in %lld s: %s",
		   chore->id.job, chore->id.job, chore->id.n, (long long)d->again_ms / 1000, error->text);
	after(d->look_again, d->again_ms);
	d->again_ms = d->again_ms < LOOK_MS / 2 ? 2 * d->again_ms : LOOK_MS;
}

/* The last one's has all packs in StoreDir: from there on it is the levels' behind it. */
static void copied(struct local_disk *d, const struct fm_snapshot_id *id)
{
	fm_info("job=%" PRIu32 " snapshot=%" PRIu32 ".%" PRIu32 " this node's copies are whole", id->job, id->job, id->n);
	copier_add(d->agent, id->job);
}

static void on_worked(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct local_disk *d = arg;
	struct chore *done = d->queue;
	uint32_t job = done->id.job;

	(void)blob;
	d->working = NULL;
	d->queue = done->next;
	if (done->id.n && !error)
		d->again_ms = AGAIN_MS;
	if (!done->id.n && error)
		fm_log(error->code == FM_BUSY ? FM_LOG_INFO : FM_LOG_WARNING, "job=%" PRIu32 " its packs here are not tidied: %s",
		       job, error->text);
	else if (!done->id.n)
		fm_debug("job=%" PRIu32 " tidied: %s", job, fm_json_text(result));
	else if (error)
		copies_failed(d, done, error);
	else
		copied(d, &done->id);
	free(done);
	start_next(d);
}

static void start_next(struct local_disk *d)
{
	struct work w = { .agent = d->agent };
	struct fm_error err;

	if (d->working || !d->queue)
		return;
	w.chore = *d->queue;
	d->working = task_start(d->agent, work, &w, on_worked, d, &err);
	if (!d->working)
		fm_err("no process for copies: %s", err.text); /* the next look tries again */
}

static void enqueue(struct local_disk *d, const struct fm_snapshot_id *id, unsigned rank)
{
	struct chore **at = &d->queue, *chore;

	if (*at && d->working) /* what is being done may have looked already */
		at = &(*at)->next;
	for (; *at; at = &(*at)->next)
		if ((*at)->id.job == id->job && (*at)->id.n == id->n)
			return;
	chore = calloc(1, sizeof(*chore));
	if (!chore)
		return;
	*chore = (struct chore){ NULL, *id, rank };
	*at = chore;
	start_next(d);
}

void local_disk_copy(struct agent *agent, const struct fm_snapshot_id *id, unsigned rank)
{
	if (agent->local_disk)
		enqueue(agent->local_disk, id, rank);
}

static void on_told(struct json_object *reply, const struct fm_error *err, void *arg)
{
	(void)reply, (void)arg;
	if (err)
		fm_debug("tidy: %s", err->text); /* it looks by itself */
}

void local_disk_tidy(struct agent *agent, uint32_t job, bool all)
{
	struct fm_snapshot_id id = { .job = job };
	struct fm_hostlist agents;
	struct fm_error err;
	char path[48];

	if (!agent->local_disk)
		return;
	enqueue(agent->local_disk, &id, 0);
	if (!all || fm_hostlist_parse(&agents, agent->conf.agents, &err))
		return;
	snprintf(path, sizeof(path), "/v1/jobs/%" PRIu32 "/tidy", job);
	for (size_t i = 0; i < agents.count; i++)
		if (strcmp(agents.names[i], agent->conf.node_name) != 0)
			peer_call(agent->peers, agents.names[i], "POST", path, NULL, TIDY_MS, on_told, NULL);
	fm_hostlist_dispose(&agents);
}

/* ---- what was left undone ----------------------------------------------------------------------------- */

static void note(void *arg, const struct local_undone *u)
{
	struct json_object *list = arg, *o = json_object_new_object(), *nodes = json_object_new_array();

	fm_json_set_int(o, "job", u->id.job);
	fm_json_set_int(o, "n", u->id.n);
	fm_json_set_int(o, "rank", u->rank);
	for (size_t i = 0; i < u->nodes; i++)
		json_object_array_add(nodes, json_object_new_string(u->node[i]));
	json_object_object_add(o, "nodes", nodes);
	json_object_array_add(list, o);
}

static int look(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct agent *agent = arg;
	struct json_object *list = json_object_new_array(), *jobs = json_object_new_array();
	FM_AUTO_FREE uint32_t *numbers = NULL;
	size_t count;

	(void)blob;
	json_object_object_add(result, "undone", list);
	json_object_object_add(result, "jobs", jobs);
	if (local_jobs(&agent->conf, &numbers, &count, err))
		return -1;
	for (size_t i = 0; i < count; i++)
		json_object_array_add(jobs, json_object_new_int64(numbers[i]));
	return local_undone(&agent->conf, note, list, err);
}

static void take_undone(struct local_disk *d, struct json_object *o)
{
	struct fm_snapshot_id id = { (uint32_t)fm_json_int_or(o, "job", 0), (uint32_t)fm_json_int_or(o, "n", 0) };
	struct json_object *nodes = json_object_object_get(o, "nodes");
	size_t count = json_object_array_length(nodes);
	FM_AUTO_FREE char **names = calloc(count + 1, sizeof(*names));

	if (!count) {
		enqueue(d, &id, (unsigned)fm_json_int_or(o, "rank", 0));
		return;
	}
	for (size_t i = 0; names && i < count; i++)
		names[i] = (char *)(uintptr_t)json_object_get_string(json_object_array_get_idx(nodes, i));
	if (names)
		local_disk_snapshot(d->agent, &id, names, count);
}

static void on_looked(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct local_disk *d = arg;
	struct json_object *undone = error ? NULL : json_object_object_get(result, "undone");
	struct json_object *jobs = error ? NULL : json_object_object_get(result, "jobs");

	(void)blob;
	d->looking = NULL;
	if (error)
		fm_warning("LocalDir: %s", error->text);
	for (size_t i = 0; undone && i < json_object_array_length(undone); i++)
		take_undone(d, json_object_array_get_idx(undone, i));
	for (size_t i = 0; jobs && i < json_object_array_length(jobs); i++)
		local_disk_tidy(d->agent, (uint32_t)json_object_get_int64(json_object_array_get_idx(jobs, i)), false);
	after(d->look_again, LOOK_MS);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct local_disk *d = arg;
	struct fm_error err;

	(void)fd, (void)what;
	start_next(d);
	if (d->looking)
		return;
	d->looking = task_start(d->agent, look, d->agent, on_looked, d, &err);
	if (!d->looking)
		on_looked(NULL, NULL, &err, d);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

int local_disk_start(struct agent *agent, struct fm_error *err)
{
	struct local_disk *d;

	if (!*agent->conf.local_dir)
		return 0;
	if (local_claim(&agent->conf, err))
		return -1;
	d = calloc(1, sizeof(*d));
	if (d) {
		d->agent = agent;
		d->again_ms = AGAIN_MS;
		d->serve_again = evtimer_new(agent->base, on_serve, d);
		d->look_again = evtimer_new(agent->base, on_look, d);
		agent->local_disk = d;
	}
	if (!d || !d->serve_again || !d->look_again)
		return fm_fail(err, FM_FAILED, "out of memory");
	after(d->serve_again, 0);
	after(d->look_again, 0);
	return 0;
}

void local_disk_stop(struct agent *agent)
{
	struct local_disk *d = agent->local_disk;

	local_rounds_free(agent);
	if (!d)
		return;
	agent->local_disk = NULL;
	task_cancel(d->serving);
	task_cancel(d->working);
	task_cancel(d->looking);
	if (d->serve_again)
		event_free(d->serve_again);
	if (d->look_again)
		event_free(d->look_again);
	while (d->queue) {
		struct chore *gone = d->queue;

		d->queue = gone->next;
		free(gone);
	}
	free(d);
}
