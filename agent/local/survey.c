/* SPDX-License-Identifier: GPL-2.0-or-later */
/* survey.c - see survey.h: the nodes are asked, at the same time. */
#include "config.h"

#include "agent/local/survey.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/local/check.h"
#include "agent/local/state.h"
#include "agent/local/survey_private.h"
#include "common/cleanup.h"
#include "common/http.h"
#include "common/io.h"

#define THREADS 512u /* each waits for a node that reads */
#define ALIVE_MS 10000L

/* ---- a node ---------------------------------------------------------------------------------------------- */

int survey_call(const struct survey *s, uint32_t n, const char *node, const char *what, struct json_object *body,
		struct json_object **reply_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("/v1/snapshots/%" PRIu32 ".%" PRIu32 "/%s", s->id.job, n, what);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	/* Reading takes what it takes: so whether it is alive is asked first. */
	if (fm_http_call(s->conf, node, "GET", "/v1/status", NULL, ALIVE_MS, NULL, err) ||
	    fm_http_call(s->conf, node, "POST", path, body, 0, reply_r, err))
		return fm_context(err, "node %s", node);
	return 0;
}

static void ask_node(struct survey_node *node)
{
	struct survey *s = node->survey;
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	int rc;

	if (strcmp(node->name, s->conf->node_name) == 0) {
		rc = local_check_disk(s->conf, &s->id, o, &node->why);
		if (rc)
			fm_context(&node->why, "node %s", node->name);
		else
			node->reply = fm_steal_ptr(&o);
	} else {
		survey_call(s, s->id.n, node->name, "disk", o, &node->reply, &node->why);
	}
}

struct asking {
	struct survey *survey;
	size_t next; /* under the lock */
	pthread_mutex_t lock;
};

static void *run(void *arg)
{
	struct asking *a = arg;

	for (;;) {
		size_t i;

		pthread_mutex_lock(&a->lock);
		i = a->next++;
		pthread_mutex_unlock(&a->lock);
		if (i >= a->survey->nodes)
			return NULL;
		ask_node(&a->survey->node[i]);
	}
}

static void ask_all(struct survey *s)
{
	struct asking a = { .survey = s, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread[THREADS];
	unsigned running = 0;

	while (running < THREADS && running + 1 < s->nodes && pthread_create(&thread[running], NULL, run, &a) == 0)
		running++;
	run(&a);
	while (running > 0)
		pthread_join(thread[--running], NULL);
	pthread_mutex_destroy(&a.lock);
}

/* ---- which nodes ------------------------------------------------------------------------------------------- */

struct survey_node *survey_node(const struct survey *s, const char *name)
{
	for (size_t i = 0; i < s->nodes; i++)
		if (strcmp(s->node[i].name, name) == 0)
			return &s->node[i];
	return NULL;
}

static int add_node(struct survey *s, const char *name, struct fm_error *err)
{
	struct survey_node *bigger;

	if (survey_node(s, name))
		return 0;
	bigger = reallocarray(s->node, s->nodes + 1, sizeof(*bigger));
	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	s->node = bigger;
	bigger[s->nodes] = (struct survey_node){ .name = strdup(name), .survey = s };
	if (!bigger[s->nodes++].name)
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

struct holders {
	struct survey *survey;
	struct fm_error *err;
};

static int add_holders(const struct survey *s, struct survey_code *code, void *arg)
{
	const struct holders *h = arg;

	survey_load(s, code);
	for (size_t j = 0; j < code->shards; j++)
		if (add_node(h->survey, survey_shard(s, code, j).node, h->err))
			return -1;
	return 0;
}

static int add_recorded(struct survey *s, struct fm_error *err)
{
	for (size_t i = 0; i < s->records.count; i++)
		for (size_t j = 0; s->records.matters[i] && j < s->records.record[i].members; j++) {
			const struct placement_member *m = &s->records.record[i].member[j];
			bool has = false;

			for (size_t l = 0; l < m->needs.count; l++)
				has = has || records_expects(&s->records, i, m, &m->needs.pack[l]);
			if ((has || m->packs.count) && add_node(s, m->node, err))
				return -1;
		}
	return survey_codes(s, add_holders, &(struct holders){ s, err });
}

static int add_members(struct survey *s, struct json_object *manifest, struct fm_error *err)
{
	struct json_object *members = json_object_object_get(manifest, "members");

	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *m = json_object_array_get_idx(members, i);

		if (fm_json_bool_or(m, "local", false) && add_node(s, fm_json_string_or(m, "node", ""), err))
			return -1;
	}
	return 0;
}

int survey_ask(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct json_object *manifest, struct survey **survey_r,
	       struct fm_error *err)
{
	struct survey *s;
	int rc;

	*survey_r = NULL;
	if (!*conf->local_dir || !id->n || (manifest && !local_is(manifest)))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return fm_fail(err, FM_FAILED, "out of memory");
	s->conf = conf;
	s->id = *id;
	rc = records_read(conf->store_dir, id, &s->records, err);
	if (rc == 0 && s->records.own == SIZE_MAX && !manifest) {
		survey_end(s);
		return 0;
	}
	if (rc == 0)
		rc = s->records.own == SIZE_MAX ? add_members(s, manifest, err) : add_recorded(s, err);
	if (rc) {
		survey_end(s);
		return -1;
	}
	for (size_t i = 0; i < s->nodes; i++)
		s->node[i].survey = s;
	ask_all(s);
	survey_mark(s);
	*survey_r = s;
	return 0;
}

void survey_end(struct survey *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nodes; i++) {
		free(s->node[i].name);
		json_object_put(s->node[i].reply);
	}
	free(s->node);
	records_dispose(&s->records);
	free(s);
}

/* ---- what they said ------------------------------------------------------------------------------------------ */

struct json_object *survey_said(const struct survey *s, const char *node, const char *what, const char *name)
{
	const struct survey_node *at = survey_node(s, node);
	struct json_object *all = at && at->reply ? json_object_object_get(at->reply, what) : NULL;

	return json_object_is_type(all, json_type_object) ? json_object_object_get(all, name) : NULL;
}

bool survey_said_good(const struct survey *s, const char *node, const char *what, const char *name)
{
	struct json_object *said = survey_said(s, node, what, name);

	return said && fm_json_bool_or(said, "ok", false);
}

bool survey_good(const struct survey *s, const char *pack)
{
	for (size_t i = 0; i < s->nodes; i++)
		if (survey_said_good(s, s->node[i].name, "packs", pack))
			return true;
	return survey_protected(s, pack);
}

bool survey_to_come(const struct survey *s, const char *pack)
{
	if (s->records.own != SIZE_MAX && !records_needed(&s->records, pack))
		return false; /* StoreDir had it when the record was written */
	return !records_flushed(s->conf->store_dir, &s->records, pack);
}
