/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gather.c - see gather.h. */
#include "config.h"

#include "plugins/cli/gather.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/hostlist.h"
#include "common/http.h"
#include "common/json.h"
#include "plugins/cli/text.h"

#define THREADS 8u
#define ASKED_A_TURN 64u /* members that GATHER_MS are for; more of them take longer */
#define SILENT_AFTER 3u  /* calls in a row without an answer */

struct asked {
	int64_t due_ms;
	unsigned failures;
	bool busy;
};

struct gather {
	const struct fm_conf *conf;
	struct fm_hostlist nodes;
	char path[32];
	int64_t interval_ms;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;
	bool stop;
	struct bars_member *members;
	struct asked *asked;
	pthread_t threads[THREADS];
	unsigned threads_count;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t count_at(struct json_object *o, const char *key)
{
	int64_t n = fm_json_int_or(o, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

/* With the lock. What a member says no more of a save it has said something of, is over. */
static void take(struct bars_member *m, struct json_object *job, int64_t asked_ms)
{
	struct json_object *s = NULL;

	m->asked_ms = asked_ms;
	if (!json_object_object_get_ex(job, "saving", &s) || !json_object_is_type(s, json_type_object)) {
		m->state = m->pages ? BARS_DONE : BARS_IDLE;
		return;
	}
	m->state = BARS_SAVING;
	m->pages = count_at(s, "pages");
	m->zero = count_at(s, "zero_pages");
	m->known = count_at(s, "known_pages");
	m->stored = count_at(s, "stored_pages");
	m->stored_bytes = count_at(s, "stored_bytes");
	m->raw_bytes = count_at(s, "raw_bytes");
}

static void ask(struct gather *g, size_t i)
{
	const char *node = g->nodes.names[i];
	FM_AUTO_JSON struct json_object *reply = NULL;
	struct fm_error ignored = { 0 };
	/* On its own host an agent is asked over its socket: no MUNGE is needed then. */
	bool here = strcmp(node, g->conf->node_name) == 0 && access(g->conf->socket, F_OK) == 0;
	int64_t asked_ms = now_ms();
	int rc = fm_http_call(g->conf, here ? NULL : node, "GET", g->path, NULL, GATHER_CALL_MS, &reply, &ignored);

	pthread_mutex_lock(&g->lock);
	g->asked[i].failures = rc < 0 ? g->asked[i].failures + 1 : 0;
	if (rc == 0)
		take(&g->members[i], reply, asked_ms);
	else if (g->asked[i].failures >= SILENT_AFTER && g->members[i].state != BARS_DONE)
		g->members[i].state = BARS_SILENT;
	g->asked[i].busy = false;
	g->asked[i].due_ms = now_ms() + g->interval_ms;
	pthread_mutex_unlock(&g->lock);
}

/* With the lock: whose turn it is, or count; *due_r: when the next one's comes. */
static size_t next(const struct gather *g, int64_t now, int64_t *due_r)
{
	size_t best = g->nodes.count;

	*due_r = now + g->interval_ms;
	for (size_t i = 0; i < g->nodes.count; i++)
		if (!g->asked[i].busy && g->asked[i].due_ms < *due_r) {
			*due_r = g->asked[i].due_ms;
			best = i;
		}
	return *due_r <= now ? best : g->nodes.count;
}

static void *ask_in_turn(void *arg)
{
	struct gather *g = arg;
	int64_t due;

	pthread_mutex_lock(&g->lock);
	while (!g->stop) {
		size_t i = next(g, now_ms(), &due);

		if (i == g->nodes.count) {
			struct timespec until = { due / 1000, due % 1000 * 1000000 };

			pthread_cond_timedwait(&g->wake, &g->lock, &until);
			continue;
		}
		g->asked[i].busy = true;
		pthread_mutex_unlock(&g->lock);
		ask(g, i);
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void members_init(struct gather *g)
{
	for (size_t i = 0; i < g->nodes.count; i++) {
		FM_AUTO_FREE char *plain = text_plain(g->nodes.names[i]);

		g->members[i].rank = (unsigned)i;
		snprintf(g->members[i].node, sizeof(g->members[i].node), "%s", plain ? plain : "?");
	}
}

struct gather *gather_start(const struct fm_conf *conf, uint32_t job, const char *nodes)
{
	struct gather *g = calloc(1, sizeof(*g));
	pthread_condattr_t attributes;
	struct fm_error ignored;

	if (!g)
		return NULL;
	g->conf = conf;
	snprintf(g->path, sizeof(g->path), "/v1/jobs/%u", job);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (fm_hostlist_parse(&g->nodes, nodes, &ignored) == 0 && g->nodes.count > 0) {
		g->members = calloc(g->nodes.count, sizeof(*g->members));
		g->asked = calloc(g->nodes.count, sizeof(*g->asked));
	}
	if (!g->members || !g->asked) {
		gather_stop(g);
		return NULL;
	}
	members_init(g);
	g->interval_ms = GATHER_MS * (int64_t)((g->nodes.count + ASKED_A_TURN - 1) / ASKED_A_TURN);
	while (g->threads_count < THREADS && g->threads_count < g->nodes.count &&
	       pthread_create(&g->threads[g->threads_count], NULL, ask_in_turn, g) == 0)
		g->threads_count++;
	return g;
}

size_t gather_count(const struct gather *g)
{
	return g->nodes.count;
}

void gather_copy(struct gather *g, struct bars_member *members_r)
{
	pthread_mutex_lock(&g->lock);
	memcpy(members_r, g->members, g->nodes.count * sizeof(*members_r));
	pthread_mutex_unlock(&g->lock);
}

void gather_stop(struct gather *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_broadcast(&g->wake);
	pthread_mutex_unlock(&g->lock);
	while (g->threads_count > 0)
		pthread_join(g->threads[--g->threads_count], NULL);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	fm_hostlist_dispose(&g->nodes);
	free(g->members);
	free(g->asked);
	free(g);
}
