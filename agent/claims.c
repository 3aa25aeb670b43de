/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * claims.c - see claims.h. The table: shards by a byte of the hash, each with linear probing, so that no single request
 * has to wait for all of it to grow.
 */
#include "config.h"

#include "agent/claims.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cut_inject.h"
#include "common/cleanup.h"
#include "common/hex.h"

#define SHARDS 256u
#define ROOM_FIRST 64u

struct entry {
	uint8_t hash[CLAIMS_HASH];
	uint32_t who; /* rank + 1; 0: free */
};

struct shard {
	struct entry *entry;
	uint32_t room, count; /* room: a power of two, or 0 */
};

struct claims {
	struct claims *next;
	struct agent *agent;
	struct fm_snapshot_id id;
	uint32_t count;
	struct event *idle;
	struct shard shard[SHARDS];
};

static void table_free(struct claims *t)
{
	struct claims **at = &t->agent->claims;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	for (unsigned i = 0; i < SHARDS; i++)
		free(t->shard[i].entry);
	if (t->idle)
		event_free(t->idle);
	free(t);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	table_free(arg);
}

static struct claims *table_make(struct agent *agent, const struct fm_snapshot_id *id)
{
	struct claims *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->next = agent->claims;
	t->agent = agent;
	t->id = *id;
	agent->claims = t;
	t->idle = evtimer_new(agent->base, on_idle, t);
	if (t->idle)
		return t;
	table_free(t);
	return NULL;
}

/* That of the job's newest snapshot; NULL: it is an older one's, or there is no memory. */
static struct claims *table_of(struct agent *agent, const struct fm_snapshot_id *id)
{
	struct timeval idle = { CLAIMS_IDLE_MS / 1000, 0 };
	struct claims *t = agent->claims;

	while (t && t->id.job != id->job)
		t = t->next;
	if (t && t->id.n > id->n)
		return NULL;
	if (t && t->id.n < id->n) {
		table_free(t);
		t = NULL;
	}
	if (!t)
		t = table_make(agent, id);
	if (t)
		event_add(t->idle, &idle);
	return t;
}

static struct entry *place(struct entry *entry, uint32_t room, const uint8_t *hash)
{
	uint32_t i;

	memcpy(&i, hash + 4, sizeof(i));
	for (i &= room - 1; entry[i].who && memcmp(entry[i].hash, hash, CLAIMS_HASH) != 0; i = (i + 1) & (room - 1))
		;
	return &entry[i];
}

static bool shard_grow(struct shard *s)
{
	uint32_t room = s->room ? 2 * s->room : ROOM_FIRST;
	struct entry *bigger = calloc(room, sizeof(*bigger));

	if (!bigger)
		return false;
	for (uint32_t i = 0; i < s->room; i++)
		if (s->entry[i].who)
			*place(bigger, room, s->entry[i].hash) = s->entry[i];
	free(s->entry);
	s->entry = bigger;
	s->room = room;
	return true;
}

/* Has another asked for it before? Where there is no room nobody has: it is not noted either. */
static bool is_others(struct claims *t, const uint8_t *hash, uint32_t rank)
{
	struct shard *s = &t->shard[hash[8]];
	struct entry *e = s->room ? place(s->entry, s->room, hash) : NULL;

	if (e && e->who)
		return e->who != rank + 1;
	if (t->count == CLAIMS_MOST || (4 * (s->count + 1) > 3 * s->room && !shard_grow(s)))
		return false;
	e = place(s->entry, s->room, hash);
	memcpy(e->hash, hash, CLAIMS_HASH);
	e->who = rank + 1;
	s->count++;
	t->count++;
	return false;
}

static struct json_object *answer(struct claims *t, const uint8_t *hashes, size_t count, uint32_t rank)
{
	struct json_object *o = json_object_new_object();
	uint8_t others[CLAIMS_BATCH / 8] = { 0 };
	char text[sizeof(others) * 2 + 1];

	for (size_t i = 0; i < count; i++)
		if (is_others(t, hashes + i * CLAIMS_HASH, rank))
			others[i / 8] |= (uint8_t)(1u << i % 8);
	fm_hex(others, (count + 7) / 8, text);
	fm_json_set_string(o, "others", text);
	return o;
}

/* The hashes as bytes; the caller's to free. */
static uint8_t *take_hashes(struct json_object *body, size_t *count_r, struct fm_error *err)
{
	const char *text;
	uint8_t *hashes;
	size_t length;

	if (fm_json_string(body, "hashes", &text, err))
		return NULL;
	length = strlen(text);
	*count_r = length / (2 * CLAIMS_HASH);
	hashes = length % (2 * CLAIMS_HASH) == 0 && *count_r <= CLAIMS_BATCH ? malloc(length / 2 + 1) : NULL;
	if (hashes && fm_unhex(text, length, hashes, length / 2))
		return hashes;
	free(hashes);
	fm_fail(err, FM_USAGE, "\"hashes\" are not at most %u times %u digits", CLAIMS_BATCH, 2 * CLAIMS_HASH);
	return NULL;
}

void route_claims(struct request *req, const struct fm_snapshot_id *id)
{
	struct job *job = job_find(req->agent, id->job);
	FM_AUTO_FREE uint8_t *hashes = NULL;
	struct fm_error err;
	struct claims *t;
	int64_t rank;
	size_t count;

	if (!job || !id->n) {
		request_error(req, FM_NOT_FOUND, "job %u has no VM on %s", id->job, req->agent->conf.node_name);
		return;
	}
	if (!req->body || fm_json_int(req->body, "rank", 0, job->spec.node_count - 1, &rank, &err) ||
	    !(hashes = take_hashes(req->body, &count, &err))) {
		if (!req->body)
			fm_fail(&err, FM_USAGE, "who asks for what?");
		request_fail(req, &err);
		return;
	}
	if (cut_inject(job, "claims", "asked", &err)) {
		request_fail(req, &err);
		return;
	}
	t = table_of(req->agent, id);
	if (t)
		request_reply(req, 200, answer(t, hashes, count, (uint32_t)rank));
	else
		request_error(req, FM_NOT_FOUND, "snapshot %u.%u is over", id->job, id->n);
}

struct json_object *claims_request(const struct job *job, const struct fm_snapshot_id *id)
{
	const struct fm_conf *conf = &job->agent->conf;
	unsigned first = job->rank / CLAIMS_SET * CLAIMS_SET;
	int64_t wait_ms = conf->round_timeout_ms / 4; /* arming waits for it, too: an owner must not cost the snapshot */
	struct json_object *o, *owners;
	char text[24];

	if (conf->across_wait_ms < wait_ms)
		wait_ms = conf->across_wait_ms;
	/* What others have on their own disks this node could not read. */
	if (!conf->across || *conf->local_dir || job->alone || (first + 1 == job->spec.node_count && job->rank == first))
		return NULL;
	o = json_object_new_object();
	owners = json_object_new_array();
	fm_snapshot_id_format(id, text);
	fm_json_set_string(o, "snapshot", text);
	fm_json_set_int(o, "rank", job->rank);
	fm_json_set_int(o, "port", conf->port);
	fm_json_set_int(o, "wait_ms", wait_ms);
	fm_json_set_string(o, "node_addr", conf->node_addr);
	fm_json_set_string(o, "munge_socket", conf->munge_socket);
	for (unsigned i = first; i < job->spec.node_count && i < first + CLAIMS_SET; i++)
		json_object_array_add(owners, json_object_new_string(job->spec.nodes[i]));
	json_object_object_add(o, "owners", owners);
	return o;
}

void claims_forget(struct agent *agent, uint32_t job)
{
	struct claims *t = agent->claims;

	while (t && t->id.job != job)
		t = t->next;
	if (t)
		table_free(t);
}

void claims_free(struct agent *agent)
{
	while (agent->claims)
		table_free(agent->claims);
}
