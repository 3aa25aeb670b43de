/* SPDX-License-Identifier: GPL-2.0-or-later */
/* claims.c - see claims.h. */
#include "config.h"

#include "agent/worker/claims.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/claims_limits.h"
#include "common/cleanup.h"
#include "common/conf.h"
#include "common/hex.h"
#include "common/http.h"
#include "common/io.h"
#include "common/log.h"

#define JOIN_S 10

struct claims {
	struct pages_claims calls;
	struct json_object *request;
	struct fm_conf conf; /* what a call needs; its strings are the request's */
	char *path;
	int64_t rank, wait_ms;
	const char *owner[CLAIMS_SET];
	bool dead[CLAIMS_SET]; /* the thread's */
	unsigned owners;
	pthread_t thread;
	bool started;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool wanted, done, stop;
	bool off; /* an answer was late: whatever the thread does now, nobody looks at it */
	/* the asker's until `wanted`, then the thread's until `done` */
	size_t count;
	uint8_t (*hash)[PAGES_HASH];
	bool *others;
	uint32_t *number; /* of the hashes of a call */
	char *text;
};

/* ---- the thread ------------------------------------------------------------------------ */

static int call(struct claims *c, unsigned owner, size_t count, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *body = json_object_new_object(), *reply = NULL;
	uint8_t others[CLAIMS_BATCH / 8];
	const char *text;

	if (!body)
		return fm_fail(err, FM_FAILED, "out of memory");
	fm_json_set_int(body, "rank", c->rank);
	fm_json_set_string(body, "hashes", c->text);
	if (fm_http_call(&c->conf, c->owner[owner], "POST", c->path, body, (long)c->wait_ms, &reply, err) < 0 ||
	    fm_json_string(reply, "others", &text, err) < 0)
		return -1;
	if (!fm_unhex(text, strlen(text), others, (count + 7) / 8))
		return fm_fail(err, FM_CORRUPT, "an answer of %zu digits", strlen(text));
	for (size_t i = 0; i < count; i++)
		c->others[c->number[i]] = others[i / 8] >> i % 8 & 1;
	return 0;
}

/* All that is its share, at most CLAIMS_BATCH. */
static void ask_owner(struct claims *c, unsigned owner)
{
	struct fm_error err;
	size_t count = 0;

	for (size_t i = 0; i < c->count && count < CLAIMS_BATCH; i++)
		if (c->hash[i][PAGES_HASH - 1] % c->owners == owner) {
			fm_hex(c->hash[i], CLAIMS_HASH, c->text + count * 2 * CLAIMS_HASH);
			c->number[count++] = (uint32_t)i;
		}
	if (count == 0 || call(c, owner, count, &err) == 0)
		return;
	c->dead[owner] = true;
	fm_info("%s does not say what others store, so it is stored here, too: %s", c->owner[owner], err.text);
}

static void *thread_run(void *data)
{
	struct claims *c = data;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->stop && !c->off && !c->wanted)
			pthread_cond_wait(&c->change, &c->lock);
		for (unsigned i = 0; i < c->owners && !c->stop && !c->off; i++) {
			if (c->dead[i])
				continue;
			pthread_mutex_unlock(&c->lock);
			ask_owner(c, i);
			pthread_mutex_lock(&c->lock);
		}
		if (c->stop || c->off)
			break;
		c->wanted = false;
		c->done = true;
		pthread_cond_broadcast(&c->change);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- who asks ------------------------------------------------------------------------------ */

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

static void ask_some(struct claims *c, const uint8_t (*hash)[PAGES_HASH], size_t count, bool *others_r)
{
	struct timespec until = in_ms(c->wait_ms);
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	if (!c->off) {
		memcpy(c->hash, hash, count * sizeof(*hash));
		memset(c->others, 0, count * sizeof(*c->others));
		c->count = count;
		c->done = false;
		c->wanted = true;
		pthread_cond_broadcast(&c->change);
		while (!c->done && !c->off && rc == 0)
			rc = pthread_cond_timedwait(&c->change, &c->lock, &until);
		if (c->done) {
			memcpy(others_r, c->others, count * sizeof(*others_r));
		} else if (!c->off) {
			c->off = true;
			fm_info("no answer in time: what may be other members' pages, too, is stored here from now on");
		}
	}
	pthread_mutex_unlock(&c->lock);
}

static void ask(void *data, const uint8_t (*hash)[PAGES_HASH], size_t count, bool *others_r)
{
	for (size_t done = 0; done < count; done += CLAIMS_BATCH)
		ask_some(data, hash + done, count - done < CLAIMS_BATCH ? count - done : CLAIMS_BATCH, others_r + done);
}

/* ---- beginning and end ------------------------------------------------------------------------- */

static int take_request(struct claims *c, struct fm_error *err)
{
	const char *snapshot, *addresses, *munge;
	struct json_object *owners;
	int64_t port;

	if (fm_json_string(c->request, "snapshot", &snapshot, err) < 0 ||
	    fm_json_string(c->request, "node_addr", &addresses, err) < 0 ||
	    fm_json_string(c->request, "munge_socket", &munge, err) < 0 ||
	    fm_json_int(c->request, "port", 1, 65535, &port, err) < 0 ||
	    fm_json_int(c->request, "wait_ms", 1, 3600000, &c->wait_ms, err) < 0 ||
	    fm_json_int(c->request, "rank", 0, UINT32_MAX, &c->rank, err) < 0 ||
	    fm_json_array(c->request, "owners", CLAIMS_SET, &owners, err) < 0)
		return -1;
	c->owners = (unsigned)json_object_array_length(owners);
	if (c->owners == 0)
		return fm_fail(err, FM_USAGE, "\"owners\" is empty");
	for (unsigned i = 0; i < c->owners; i++) {
		c->owner[i] = json_object_get_string(json_object_array_get_idx(owners, i));
		if (!c->owner[i])
			return fm_fail(err, FM_USAGE, "\"owners\" holds something else than names");
	}
	c->conf.port = (unsigned)port;
	c->conf.node_addr = (char *)(uintptr_t)addresses;
	c->conf.munge_socket = (char *)(uintptr_t)munge;
	c->path = fm_format("/v1/snapshots/%s/claims", snapshot);
	return 0;
}

static int make_room(struct claims *c, struct fm_error *err)
{
	pthread_condattr_t clock;

	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c->change, &clock);
	pthread_condattr_destroy(&clock);
	c->hash = malloc(CLAIMS_BATCH * sizeof(*c->hash));
	c->others = malloc(CLAIMS_BATCH * sizeof(*c->others));
	c->number = malloc(CLAIMS_BATCH * sizeof(*c->number));
	c->text = malloc(CLAIMS_BATCH * 2 * CLAIMS_HASH + 1);
	if (!c->path || !c->hash || !c->others || !c->number || !c->text)
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

struct claims *claims_create(struct json_object *request, struct fm_error *err)
{
	struct claims *c = calloc(1, sizeof(*c));

	if (!c) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	c->calls = (struct pages_claims){ ask, c };
	c->request = json_object_get(request);
	if (take_request(c, err) == 0 && make_room(c, err) == 0) {
		c->started = pthread_create(&c->thread, NULL, thread_run, c) == 0;
		if (c->started)
			return c;
		fm_fail(err, FM_FAILED, "cannot start a thread");
	}
	claims_destroy(c);
	return NULL;
}

const struct pages_claims *claims_calls(const struct claims *c)
{
	return &c->calls;
}

void claims_cancel(struct claims *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->off = true;
	pthread_cond_broadcast(&c->change);
	pthread_mutex_unlock(&c->lock);
}

void claims_destroy(struct claims *c)
{
	struct timespec until;

	if (!c)
		return;
	if (c->started) {
		pthread_mutex_lock(&c->lock);
		c->stop = true;
		pthread_cond_broadcast(&c->change);
		pthread_mutex_unlock(&c->lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += JOIN_S;
		if (pthread_timedjoin_np(c->thread, NULL, &until) != 0)
			return; /* in munged's hands */
	}
	json_object_put(c->request);
	free(c->path);
	free(c->hash);
	free(c->others);
	free(c->number);
	free(c->text);
	free(c);
}
