/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cutter.c - see cutter.h. Orders in, answers out, and the machine, cut/member, between; what it does is in cutter_do.c. */
#include "config.h"

#include "agent/cutter_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cut_inject.h"
#include "agent/task.h"
#include "agent/tracker.h"
#include "agent/worker_client.h"
#include "common/cleanup.h"
#include "common/io.h"

#define OPEN_FIRST_MS 50 /* how long the guest waits for its frames before it runs again */
#define LEASE_MAX_MS 600000
#define UNDO_MS 20000
#define CLOSE_MS 2000

const char *cutter_tag(const struct cutter *c)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s snapshot=%u.%u", job_tag(c->job), c->id.job, c->id.n);
	return text;
}

int64_t cutter_copy_ms(const struct job *job)
{
	return job->agent->conf.round_timeout_ms + ((int64_t)job->spec.memory_mib + (int64_t)job->disk_mib) * 50;
}

int64_t cutter_stop_ms(int64_t raw_bytes)
{
	return raw_bytes / (50 << 20) * 1000 + 1000;
}

void cutter_blame(struct cutter *c, const struct fm_error *error, const char *step)
{
	if (c->why.code)
		return;
	c->why = *error;
	if (step)
		fm_context(&c->why, "%s", step);
}

void cutter_set_timer(struct event *ev, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_del(ev);
	if (ms > 0)
		event_add(ev, &tv);
}

/* ---- answers ------------------------------------------------------------------- */

/* This member's entry in the manifest. */
static struct json_object *manifest_entry(const struct cutter *c)
{
	struct json_object *o = json_object_new_object(), *held;

	fm_json_set_int(o, "rank", c->job->rank);
	fm_json_set_string(o, "node", c->job->agent->conf.node_name);
	fm_json_set_string(o, "type", c->job->type);
	fm_json_set_bool(o, "live", c->live);
	if (*c->job->agent->conf.local_dir)
		fm_json_set_bool(o, "local", true);
	json_object_object_add(o, "map", json_object_get(c->map));
	if (c->disks)
		json_object_object_add(o, "disks", json_object_get(c->disks));
	if (*c->held.name) {
		held = cutter_file_json(&c->held);
		fm_json_set_int(held, "frames", (int64_t)(c->stats.held_out_frames + c->stats.held_in_frames));
		json_object_object_add(o, "held", held);
	}
	fm_json_set_double(o, "stop_ms", c->stopped_ms);
	fm_json_set_int(o, "suspended_at_ns", c->suspended_ns);
	drain_describe(c->drain, o);
	if (c->rest) {
		json_object_object_foreach(c->rest, key, value)
			json_object_object_add(o, key, json_object_get(value));
	}
	return o;
}

/* What this member adds to its round's sum; entry is the text of COMMIT's, the caller's to put. */
static struct cut_sum sum_of(const struct cutter *c, struct json_object *entry)
{
	switch (c->m.order) {
	case CUT_ARM: return (struct cut_sum){ .stopped_bytes = c->live ? 0 : (uint64_t)c->raw_bytes + 1 };
	case CUT_DRAIN: return (struct cut_sum){ .drain_us = drain_took_us(c->drain), .drain_bound = drain_was_bound(c->drain) };
	case CUT_CUT: return (struct cut_sum){ .first_ns = c->suspended_ns, .last_ns = c->suspended_ns };
	case CUT_COMMIT: {
		const char *text = fm_json_text(entry);

		return (struct cut_sum){ .entries = (char *)(uintptr_t)text, .entries_size = strlen(text) };
	}
	default: return (struct cut_sum){ 0 };
	}
}

/* Where this member's next snapshot looks first. Should the group's commit fail, this one is gone: no harm. */
static void remember_map(struct cutter *c)
{
	free(c->job->last_map);
	c->job->last_map = fm_format("%s/%s", c->dir, c->map_name);
}

static void answer(struct cutter *c, bool yes)
{
	FM_AUTO_JSON struct json_object *entry = yes && c->m.order == CUT_COMMIT ? manifest_entry(c) : NULL;
	struct cut_sum sum = yes ? sum_of(c, entry) : (struct cut_sum){ 0 };
	cutter_done done = c->done;
	struct fm_error why = c->why;

	if (!done)
		return;
	c->done = NULL;
	if (entry)
		remember_map(c);
	if (!yes && !why.code)
		fm_fail(&why, FM_FAILED, "the snapshot was given up (%s)", member_state_name(c->m.state));
	done(c->m.order, &sum, yes ? NULL : &why, c->arg);
}

struct json_object *cutter_progress(const struct job *job)
{
	return job->cutter && !member_over(&job->cutter->m) ? job->cutter->progress : NULL;
}

/* ---- the machine --------------------------------------------------------------------------------- */

static int64_t state_ms(const struct cutter *c)
{
	int64_t copy = cutter_copy_ms(c->job);

	switch (c->m.state) {
	case MEMBER_ARMING: return copy;
	case MEMBER_ARMED: return 2 * copy; /* the others arm, too */
	case MEMBER_RELEASING: return OPEN_FIRST_MS;
	case MEMBER_SAVING: return copy;
	case MEMBER_SAVED: return 2 * copy;
	case MEMBER_UNDOING: return UNDO_MS;
	default: return 0; /* the lease, or nothing */
	}
}

/* A test's failure in the state just entered comes after that state's own actions. */
static void inject(struct cutter *c)
{
	struct fm_error err;

	if (cut_inject(c->job, "member", member_state_name(c->m.state), &err) == 0)
		return;
	fm_warning("%s %s", cutter_tag(c), err.text);
	if (c->m.state == MEMBER_UNDOING || member_over(&c->m))
		return;
	cutter_blame(c, &err, NULL);
	cutter_tell(c, MEMBER_EV_FAILED);
}

static void step(struct cutter *c, enum member_event event, enum cut_round round)
{
	enum member_state before = c->m.state;
	unsigned actions = member_step(&c->m, event, round);
	struct fm_error err;

	if (c->m.state != before) {
		fm_debug("%s %s -> %s", cutter_tag(c), member_state_name(before), member_state_name(c->m.state));
		cutter_set_timer(c->timer, state_ms(c));
		inject(c);
	}
	for (unsigned bit = 1; actions >= bit; bit <<= 1) {
		if (actions & bit & (MEMBER_DO_YES | MEMBER_DO_NO))
			answer(c, bit == MEMBER_DO_YES);
		if (!(actions & bit) || cutter_do(c, (enum member_action)bit, &err) == 0)
			continue;
		cutter_blame(c, &err, NULL);
		cutter_tell(c, bit == MEMBER_DO_START ? MEMBER_EV_WORKER_DIED : MEMBER_EV_FAILED);
		return;
	}
}

static void queue_event(struct cutter *c, enum member_event event, enum cut_round round)
{
	if (c->queued == CUTTER_QUEUE) {
		fm_err("%s too many events at once", cutter_tag(c));
		return;
	}
	c->queue[c->queued].event = event;
	c->queue[c->queued++].round = round;
	if (c->busy)
		return;
	c->busy = true;
	while (c->queued) {
		event = c->queue[0].event;
		round = c->queue[0].round;
		memmove(c->queue, c->queue + 1, --c->queued * sizeof(c->queue[0]));
		step(c, event, round);
	}
	c->busy = false;
}

void cutter_tell(struct cutter *c, enum member_event event)
{
	queue_event(c, event, CUT_ARM);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct cutter *c = arg;
	struct fm_error err;

	(void)fd, (void)what;
	fm_fail(&err, FM_TIMEOUT, "no progress in \"%s\" for %lld s", member_state_name(c->m.state),
		(long long)state_ms(c) / 1000);
	if (c->m.state != MEMBER_RELEASING)
		cutter_blame(c, &err, NULL);
	cutter_tell(c, MEMBER_EV_TIME);
}

static void on_lease(evutil_socket_t fd, short what, void *arg)
{
	struct cutter *c = arg;
	struct fm_error err;

	(void)fd, (void)what;
	fm_fail(&err, FM_TIMEOUT, "the gate's lease (GateMax, %lld ms) ran out in \"%s\"",
		(long long)c->lease_ms, member_state_name(c->m.state));
	cutter_blame(c, &err, NULL);
	cutter_tell(c, MEMBER_EV_LEASE);
}

static void cutter_free(struct cutter *c)
{
	task_cancel(c->task);
	worker_close(c->worker, CLOSE_MS);
	if (c->timer)
		event_free(c->timer);
	if (c->lease)
		event_free(c->lease);
	drain_destroy(c->drain);
	free(c->dir);
	free(c->frames);
	json_object_put(c->rest);
	json_object_put(c->map);
	json_object_put(c->disks);
	json_object_put(c->progress);
	free(c);
}

static struct cutter *cutter_new(struct job *job, const struct fm_snapshot_id *id, const uint8_t key[MARK_KEY],
				 struct fm_error *err)
{
	struct cutter *c = calloc(1, sizeof(*c));

	if (c) {
		c->job = job;
		c->id = *id;
		member_init(&c->m);
		c->timer = evtimer_new(job->agent->base, on_timer, c);
		c->lease = evtimer_new(job->agent->base, on_lease, c);
		c->dir = store_snapshot_dir(job->agent->conf.store_dir, id);
		snprintf(c->map_name, sizeof(c->map_name), "member-%u.map", job->rank);
		snprintf(c->held_name, sizeof(c->held_name), "member-%u.held", job->rank);
	}
	if (!c || !c->timer || !c->lease || !c->dir)
		fm_fail(err, FM_FAILED, "out of memory");
	else if (cutter_listen(c, key, err) == 0)
		return c;
	if (c)
		cutter_free(c);
	return NULL;
}

/* The cutter that is to hear the order, a new one for an arm; NULL with err: there is none. */
static struct cutter *find(struct job *job, const struct fm_snapshot_id *id, enum cut_round round,
			   const uint8_t key[MARK_KEY], struct fm_error *err)
{
	struct cutter *c = job->cutter;

	if (c && c->id.job == id->job && c->id.n == id->n)
		return c;
	if (round != CUT_ARM) {
		fm_fail(err, FM_FAILED, "snapshot %u.%u is not under way here (was the agent restarted?)", id->job, id->n);
		return NULL;
	}
	if (job->state != JOB_RUNNING) {
		if (job->error.code)
			*err = job->error;
		else
			fm_fail(err, FM_FAILED, "the member is %s", job_state_name(job->state));
		return NULL;
	}
	if (c && !member_over(&c->m)) {
		fm_fail(err, FM_BUSY, "snapshot %u.%u is still %s here", c->id.job, c->id.n,
			member_state_name(c->m.state));
		return NULL;
	}
	if (c)
		cutter_free(c);
	job->cutter = cutter_new(job, id, key, err);
	return job->cutter;
}

void cutter_order(struct job *job, const struct fm_snapshot_id *id, enum cut_round round, int64_t lease_ms,
		  const uint8_t key[MARK_KEY], cutter_done done, void *arg)
{
	static const struct cut_sum nothing;
	struct fm_error err;
	struct cutter *c = find(job, id, round, key, &err);

	if (!c) { /* nothing here needs undoing */
		done(round, &nothing, round == CUT_ABORT ? NULL : &err, arg);
		return;
	}
	c->done = done; /* the lead has given up on the order before, if one waits */
	c->arg = arg;
	if (round == CUT_GATE)
		c->lease_ms = lease_ms > 0 && lease_ms < LEASE_MAX_MS ? lease_ms : job->agent->conf.gate_max_ms;
	queue_event(c, MEMBER_EV_ORDER, round);
}

void cutter_stop(struct job *job, const struct fm_error *error)
{
	struct cutter *c = job->cutter;

	tracker_end(job);
	if (!c)
		return;
	cutter_blame(c, error, NULL);
	if (c->why.code && !member_over(&c->m))
		c->why = *error; /* the guest's end is the cause of whatever the worker says */
	job->cutter = NULL;
	answer(c, false);
	cutter_free(c);
	job->save_pid = 0;
}

void cutter_blame_for(struct job *job, const struct fm_snapshot_id *id, const struct fm_error *error)
{
	struct cutter *c = job->cutter;

	if (c && c->id.job == id->job && c->id.n == id->n && !member_over(&c->m))
		cutter_blame(c, error, NULL);
}

void cutter_forget(struct job *job, const struct fm_snapshot_id *id)
{
	struct cutter *c = job->cutter;

	if (!c || c->id.job != id->job || c->id.n != id->n)
		return;
	c->done = NULL;
	c->m.waiting = false;
}
