/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copier.c - see copier.h. */
#include "config.h"

#include "agent/copier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/copies/copy.h"
#include "agent/store/copies/record.h"
#include "agent/store/retain.h"
#include "agent/store/store.h"
#include "agent/task.h"
#include "agent/worker_client.h"
#include "common/cleanup.h"

#define DOUBLINGS 6    /* the longest pause is LevelRetry × 64 */
#define GRACE_MS 10000 /* a worker that is told to end */

struct queued {
	struct queued *next;
	uint32_t job;
	uint64_t due_ns;
	unsigned failures; /* in a row */
	bool again;        /* there was more to do while its worker ran */
};

struct copier {
	struct agent *agent;
	struct queued *queue;  /* oldest first; the one at work is still in it */
	struct queued *active; /* NULL: none */
	struct worker *worker;
	struct task *scan;
	struct event *timer;
};

static void go_on(struct copier *c);

static void remove_queued(struct copier *c, struct queued *q)
{
	struct queued **at = &c->queue;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	free(q);
}

/* ---- a worker ------------------------------------------------------------------------------ */

static void on_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct copier *c = arg;
	const char *snapshot = fm_json_string_or(o, "snapshot", "?"), *level = fm_json_string_or(o, "level", "?");

	(void)w;
	if (strcmp(event, "copied") == 0) {
		c->active->failures = 0;
		fm_info("job=%u snapshot=%s level=%s whole: %lld bytes, %lld of them sent in %.1f s", c->active->job, snapshot,
			level, (long long)fm_json_int_or(o, "bytes", 0), (long long)fm_json_int_or(o, "done", 0),
			json_object_get_double(json_object_object_get(o, "seconds")));
	} else if (strcmp(event, "failed") == 0) {
		fm_warning("job=%u snapshot=%s level=%s not copied: %s", c->active->job, snapshot, level,
			   fm_json_string_or(o, "text", "?"));
	}
}

static uint64_t pause_ns(const struct copier *c, unsigned failures)
{
	unsigned doublings = failures > DOUBLINGS ? DOUBLINGS : failures - 1;

	return ((uint64_t)c->agent->conf.level_retry_ms << doublings) * 1000000u;
}

static void on_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct copier *c = arg;
	struct queued *q = c->active;
	bool again;

	(void)w;
	c->worker = NULL;
	c->active = NULL;
	again = q->again;
	q->again = false;
	if (error) {
		uint64_t pause = pause_ns(c, again ? 1 : ++q->failures);

		q->due_ns = agent_now_ns() + pause;
		fm_info("job=%u its levels are tried again in %llu s: %s", q->job, (unsigned long long)(pause / 1000000000u),
			error->text);
	} else if (again) {
		q->due_ns = agent_now_ns();
	} else {
		remove_queued(c, q);
	}
	go_on(c);
}

struct json_object *copier_levels(const struct fm_conf *conf)
{
	struct json_object *levels = json_object_new_array();

	for (char **line = conf->levels; line && *line; line++)
		json_object_array_add(levels, json_object_new_string(*line));
	return levels;
}

static struct json_object *request_of(const struct copier *c, uint32_t job)
{
	const struct fm_conf *conf = &c->agent->conf;
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "op", "copy");
	fm_json_set_int(o, "job", job);
	fm_json_set_string(o, "store", conf->store_dir);
	if (*conf->key_file)
		fm_json_set_string(o, "key_file", conf->key_file);
	fm_json_set_int(o, "bandwidth", (int64_t)conf->bandwidth);
	json_object_object_add(o, "levels", copier_levels(conf));
	return o;
}

static void start(struct copier *c, struct queued *q)
{
	static const struct worker_events events = { on_event, on_ended };
	struct fm_error err;
	char tag[32];

	snprintf(tag, sizeof(tag), "job=%u", q->job);
	c->active = q;
	c->worker = worker_start(c->agent, tag, request_of(c, q->job), 0, &events, c, &err);
	if (!c->worker)
		on_ended(NULL, &err, c);
}

/* ---- the queue -------------------------------------------------------------------------------- */

/* Also what is due already begins from the loop. */
static void go_on(struct copier *c)
{
	uint64_t now = agent_now_ns(), left;
	struct queued *first = c->queue;
	struct timeval tv;

	if (c->active || !first || c->agent->stopping)
		return;
	for (struct queued *q = c->queue; q; q = q->next)
		first = q->due_ns < first->due_ns ? q : first;
	left = first->due_ns > now ? first->due_ns - now : 0;
	tv = (struct timeval){ (time_t)(left / 1000000000u), (suseconds_t)(left / 1000u % 1000000u) };
	event_add(c->timer, &tv);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct copier *c = arg;
	uint64_t now = agent_now_ns();
	struct queued *first = NULL;

	(void)fd, (void)what;
	for (struct queued *q = c->queue; q; q = q->next)
		if (q->due_ns <= now && (!first || q->due_ns < first->due_ns))
			first = q;
	if (!c->active && first)
		start(c, first);
	else
		go_on(c);
}

static struct copier *copier_of(struct agent *agent)
{
	struct copier *c = agent->copier;

	if (c || !agent->conf.levels)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c || !(c->timer = evtimer_new(agent->base, on_due, c))) {
		free(c);
		return NULL;
	}
	c->agent = agent;
	return agent->copier = c;
}

void copier_add(struct agent *agent, uint32_t job)
{
	struct copier *c = copier_of(agent);
	struct queued **at, *q;

	if (!c)
		return;
	for (at = &c->queue; *at && (*at)->job != job; at = &(*at)->next)
		;
	if (*at && *at == c->active) {
		c->active->again = true;
		return;
	}
	if (!*at && (q = calloc(1, sizeof(*q)))) {
		q->job = job;
		*at = q;
	}
	if (*at)
		(*at)->due_ns = agent_now_ns(); /* also one that waits after a failure: there is something new */
	go_on(c);
}

void copier_free(struct agent *agent)
{
	struct copier *c = agent->copier;

	if (!c)
		return;
	agent->copier = NULL;
	task_cancel(c->scan);
	worker_close(c->worker, GRACE_MS);
	while (c->queue)
		remove_queued(c, c->queue);
	event_free(c->timer);
	free(c);
}

/* ---- after a start -------------------------------------------------------------------------------- */

static bool skip_none(void *arg, const struct fm_snapshot_id *id, size_t level)
{
	(void)arg, (void)id, (void)level;
	return false;
}

/* Something is left to do, and it is ours: of a job whose first node this is. What was removed is everybody's. */
static bool is_ours(struct site *site, const char *node, uint32_t job)
{
	FM_AUTO_JSON struct json_object *manifest = NULL;
	struct folder_numbers removed = { 0 };
	struct fm_snapshot_id id;
	struct json_object *nodes;
	struct fm_error ignored;
	size_t level;
	bool any = record_removed(site->store, job, &removed, &ignored) == 0 && removed.count;

	folder_numbers_dispose(&removed);
	if (any || copy_next(site, job, skip_none, NULL, &id, &level, &ignored) <= 0)
		return any;
	manifest = store_manifest(site->store, &id, &ignored);
	nodes = json_object_object_get(json_object_object_get(manifest, "job"), "nodes");
	return json_object_is_type(nodes, json_type_array) && json_object_array_length(nodes) &&
	       strcmp(json_object_get_string(json_object_array_get_idx(nodes, 0)), node) == 0;
}

static int scan(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct copier *c = arg;
	const struct fm_conf *conf = &c->agent->conf;
	struct json_object *list = json_object_new_array();
	FM_AUTO_FREE uint32_t *jobs = NULL;
	struct site site;
	size_t count = 0;
	int rc = site_init_conf(&site, conf, SITE_IMPATIENT, err);

	(void)blob;
	json_object_object_add(result, "jobs", list);
	if (rc == 0)
		rc = store_jobs(conf->store_dir, &jobs, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (is_ours(&site, conf->node_name, jobs[i]))
			json_object_array_add(list, json_object_new_int64(jobs[i]));
	site_dispose(&site);
	return rc;
}

static void on_scanned(struct json_object *result, const struct task_blob *blob, const struct fm_error *error, void *arg)
{
	struct copier *c = arg;
	struct json_object *list = json_object_object_get(result, "jobs");

	(void)blob;
	c->scan = NULL;
	if (error)
		fm_warning("what is not on its levels yet is not known: %s", error->text);
	for (size_t i = 0; !error && i < json_object_array_length(list); i++)
		copier_add(c->agent, (uint32_t)json_object_get_int64(json_object_array_get_idx(list, i)));
}

void copier_recover(struct agent *agent)
{
	struct copier *c = copier_of(agent);
	struct fm_error err;

	if (!c)
		return;
	c->scan = task_start(agent, scan, c, on_scanned, c, &err);
	if (!c->scan)
		fm_warning("what is not on its levels yet is not known: %s", err.text);
}
