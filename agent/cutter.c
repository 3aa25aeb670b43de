/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cutter.c - see cutter.h. The machine is cut/member; here is what its actions do. */
#include "config.h"

#include "agent/cutter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/store.h"
#include "agent/task.h"
#include "agent/worker_client.h"
#include "common/cleanup.h"
#include "common/io.h"

#define QUEUE 16
#define OPEN_FIRST_MS 50 /* how long the guest waits for its frames before it runs again */
#define LEASE_MAX_MS 600000
#define RESUME_TRIES 5
#define RESUME_MS 30000
#define UNDO_MS 20000
#define CLOSE_MS 2000

struct cutter {
	struct job *job;
	struct fm_snapshot_id id;
	struct member m;
	struct worker *worker; /* save, or resume */
	struct task *task;
	struct event *timer, *lease;
	cutter_done done; /* of the order that waits */
	void *arg;
	struct fm_error why; /* the first thing that went wrong */
	char *dir;
	char stream_name[32], held_name[32];
	/* what the answers tell */
	bool live;
	int64_t raw_bytes, suspend_ns, suspended_ns;
	double stopped_ms;
	struct store_file stream, held;
	struct gate_stats stats;
	int64_t lease_ms;
	uint64_t lease_end_ns;
	uint64_t lost_before; /* frames the gate had lost when this hold began */
	void *frames;
	size_t frames_size;
	unsigned resume_tries;
	/* events that came while one was worked on */
	struct {
		enum member_event event;
		enum cut_round round;
	} queue[QUEUE];
	unsigned queued;
	bool busy;
};

static void tell(struct cutter *c, enum member_event event);
static void start_resume(struct cutter *c);

static const char *tag(const struct cutter *c)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s snapshot=%u.%u", job_tag(c->job), c->id.job, c->id.n);
	return text;
}

int64_t cutter_copy_ms(const struct job *job)
{
	return job->agent->conf.round_timeout_ms + (int64_t)job->spec.memory_mib * 50;
}

int64_t cutter_stop_ms(int64_t raw_bytes)
{
	return raw_bytes / (50 << 20) * 1000 + 1000;
}

static void blame(struct cutter *c, const struct fm_error *error, const char *step)
{
	if (c->why.code)
		return;
	c->why = *error;
	if (step)
		fm_context(&c->why, "%s", step);
}

static void set_timer(struct event *ev, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_del(ev);
	if (ms > 0)
		event_add(ev, &tv);
}

/* ---- answers ------------------------------------------------------------------- */

static struct json_object *file_json(const struct store_file *file)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "name", file->name);
	fm_json_set_int(o, "bytes", (int64_t)file->bytes);
	fm_json_set_int(o, "raw_bytes", (int64_t)file->raw_bytes);
	fm_json_set_string(o, "sha256", file->sha256);
	return o;
}

/* This member's entry in the manifest. */
static struct json_object *manifest_entry(const struct cutter *c)
{
	struct json_object *o = json_object_new_object(), *held;

	fm_json_set_int(o, "rank", c->job->rank);
	fm_json_set_string(o, "node", c->job->agent->conf.node_name);
	fm_json_set_string(o, "type", c->job->type);
	fm_json_set_bool(o, "live", c->live);
	json_object_object_add(o, "stream", file_json(&c->stream));
	if (*c->held.name) {
		held = file_json(&c->held);
		fm_json_set_int(held, "frames", (int64_t)(c->stats.held_out_frames + c->stats.held_in_frames));
		json_object_object_add(o, "held", held);
	}
	fm_json_set_double(o, "stop_ms", c->stopped_ms);
	fm_json_set_int(o, "suspended_at_ns", c->suspended_ns);
	return o;
}

static struct json_object *reply_of(const struct cutter *c)
{
	struct json_object *o = json_object_new_object();

	switch (c->m.order) {
	case CUT_ARM:
		fm_json_set_bool(o, "live", c->live);
		fm_json_set_int(o, "raw_bytes", c->raw_bytes);
		break;
	case CUT_CUT:
		fm_json_set_int(o, "suspend_ns", c->suspend_ns);
		fm_json_set_int(o, "suspended_ns", c->suspended_ns);
		break;
	case CUT_RELEASE: fm_json_set_double(o, "stopped_ms", c->stopped_ms); break;
	case CUT_COMMIT: json_object_object_add(o, "member", manifest_entry(c)); break;
	default: break;
	}
	return o;
}

static void answer(struct cutter *c, bool yes)
{
	FM_AUTO_JSON struct json_object *reply = yes ? reply_of(c) : NULL;
	cutter_done done = c->done;
	struct fm_error why = c->why;

	if (!done)
		return;
	c->done = NULL;
	if (!yes && !why.code)
		fm_fail(&why, FM_FAILED, "the snapshot was given up (%s)", member_state_name(c->m.state));
	done(reply, yes ? NULL : &why, c->arg);
}

/* ---- the worker that saves --------------------------------------------------------- */

static void remember_pid(struct cutter *c, pid_t pid)
{
	struct fm_error err;

	c->job->save_pid = pid;
	if (job_save(c->job, &err))
		fm_err("%s the record cannot be written: %s", tag(c), err.text);
}

static void take_saved(struct cutter *c, struct json_object *o)
{
	snprintf(c->stream.name, sizeof(c->stream.name), "%s", c->stream_name);
	c->stream.bytes = (uint64_t)fm_json_int_or(o, "bytes", 0);
	c->stream.raw_bytes = (uint64_t)fm_json_int_or(o, "raw_bytes", 0);
	snprintf(c->stream.sha256, sizeof(c->stream.sha256), "%s", fm_json_string_or(o, "sha256", ""));
}

static void on_save_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	fm_debug("%s worker says %s", tag(c), event);
	if (strcmp(event, "armed") == 0) {
		c->live = fm_json_bool_or(o, "live", false);
		c->raw_bytes = fm_json_int_or(o, "raw_bytes", 0);
		tell(c, MEMBER_EV_ARMED);
	} else if (strcmp(event, "cut") == 0) {
		c->suspend_ns = fm_json_int_or(o, "suspend_ns", 0);
		c->suspended_ns = fm_json_int_or(o, "suspended_ns", 0);
		tell(c, MEMBER_EV_CUT);
	} else if (strcmp(event, "released") == 0) {
		c->stopped_ms = json_object_get_double(json_object_object_get(o, "stopped_ms"));
		tell(c, MEMBER_EV_RELEASED);
	} else if (strcmp(event, "saved") == 0) {
		take_saved(c, o);
		tell(c, MEMBER_EV_SAVED);
	}
}

static void on_save_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	c->worker = NULL;
	remember_pid(c, 0);
	if (error)
		blame(c, error, NULL);
	tell(c, error ? MEMBER_EV_WORKER_DIED : MEMBER_EV_WORKER_ENDED);
}

static struct json_object *save_request(struct cutter *c)
{
	const struct fm_conf *conf = &c->job->agent->conf;
	struct json_object *o = json_object_new_object();
	FM_AUTO_FREE char *path = fm_format("%s/%s", c->dir, c->stream_name);

	fm_json_set_string(o, "op", "save");
	fm_json_set_string(o, "name", c->job->domain);
	fm_json_set_string(o, "stream", path);
	fm_json_set_string(o, "rundir", conf->run_dir);
	fm_json_set_int(o, "hold_max_ms", 2 * cutter_copy_ms(c->job) + conf->gate_max_ms);
	/* Our lease comes first. */
	fm_json_set_int(o, "stop_max_ms", conf->gate_max_ms + 1000 + cutter_stop_ms((int64_t)c->job->spec.memory_mib << 20));
	return o;
}

static int start_save(struct cutter *c, struct fm_error *err)
{
	static const struct worker_events events = { on_save_event, on_save_ended };

	c->worker = worker_start(c->job->agent, tag(c), save_request(c), 0, &events, c, err);
	if (!c->worker)
		return -1;
	remember_pid(c, worker_pid(c->worker));
	return 0;
}

/* ---- recovery of a guest whose saver died --------------------------------------------- */

static void on_resume_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	if (strcmp(event, "resumed") == 0 && fm_json_bool_or(o, "was_suspended", false))
		fm_warning("%s the guest had been left suspended; it runs again", tag(c));
}

static void on_resume_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	c->worker = NULL;
	if (!error) {
		tell(c, MEMBER_EV_GUEST_RUNS);
		return;
	}
	fm_err("%s the guest cannot be resumed: %s", tag(c), error->text);
	if (error->code != FM_NOT_FOUND && ++c->resume_tries < RESUME_TRIES)
		start_resume(c);
	else
		tell(c, MEMBER_EV_FAILED);
}

static void start_resume(struct cutter *c)
{
	static const struct worker_events events = { on_resume_event, on_resume_ended };
	struct json_object *o = json_object_new_object();
	struct fm_error err;

	fm_json_set_string(o, "op", "resume");
	fm_json_set_string(o, "name", c->job->domain);
	fm_json_set_string(o, "rundir", c->job->agent->conf.run_dir);
	c->worker = worker_start(c->job->agent, tag(c), o, RESUME_MS, &events, c, &err);
	if (!c->worker) {
		fm_err("%s %s", tag(c), err.text);
		tell(c, MEMBER_EV_FAILED);
	}
}

/* ---- gate -------------------------------------------------------------------------------- */

static bool gate_kept(struct cutter *c, struct fm_error *err)
{
	gate_stats(c->job->gate, &c->stats);
	if (gate_expired(c->job->gate))
		fm_fail(err, FM_TIMEOUT, "the gate's lease (GateMax, %lld ms) ran out", (long long)c->lease_ms);
	else if (c->stats.dropped > c->lost_before)
		fm_fail(err, FM_FAILED, "the gate lost %llu frames",
			(unsigned long long)(c->stats.dropped - c->lost_before));
	else
		return true;
	return false;
}

static int hold_out(struct cutter *c, struct fm_error *err)
{
	gate_stats(c->job->gate, &c->stats);
	c->lost_before = c->stats.dropped;
	c->lease_end_ns = agent_now_ns() + (uint64_t)c->lease_ms * 1000000u;
	if (gate_hold_out(c->job->gate, c->lease_end_ns, err))
		return -1;
	set_timer(c->lease, c->lease_ms);
	tell(c, MEMBER_EV_HELD);
	return 0;
}

static int export_frames(struct cutter *c, struct fm_error *err)
{
	if (gate_drain(c->job->gate, err) ||
	    gate_export(c->job->gate, &c->frames, &c->frames_size, err))
		return -1;
	if (!gate_kept(c, err)) {
		blame(c, err, NULL);
		tell(c, MEMBER_EV_GATE_LOST);
	} else {
		tell(c, MEMBER_EV_EXPORTED);
	}
	return 0;
}

static void on_gate_open(void *arg)
{
	struct job *job = arg;

	if (job->cutter)
		tell(job->cutter, MEMBER_EV_GATE_OPEN);
}

static void open_gate(struct cutter *c)
{
	struct gate_stats kept = c->stats;
	struct fm_error err;

	if (c->m.state == MEMBER_RELEASING) {
		if (!gate_kept(c, &err)) {
			blame(c, &err, NULL);
			tell(c, MEMBER_EV_GATE_LOST);
		}
		c->stats = kept; /* the snapshot's are those of the export */
	}
	if (gate_release(c->job->gate, on_gate_open, c->job, &err)) {
		fm_err("%s gate: %s", tag(c), err.text);
		tell(c, MEMBER_EV_GATE_OPEN); /* it opens by itself when the lease is over */
	}
}

/* ---- the held frames on disk ----------------------------------------------------------------- */

static int write_frames(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct cutter *c = arg;
	struct store_file file;

	(void)blob;
	if (store_file_write(c->dir, c->held_name, c->frames, c->frames_size, &file, err))
		return -1;
	json_object_object_add(result, "file", file_json(&file));
	return 0;
}

static void on_frames_written(struct json_object *result, const struct task_blob *blob,
			      const struct fm_error *error, void *arg)
{
	struct cutter *c = arg;
	struct json_object *file;

	(void)blob;
	c->task = NULL;
	if (error) {
		blame(c, error, "writing the held frames");
		tell(c, MEMBER_EV_FAILED);
		return;
	}
	free(fm_steal_ptr(&c->frames));
	file = json_object_object_get(result, "file");
	snprintf(c->held.name, sizeof(c->held.name), "%s", c->held_name);
	snprintf(c->held.sha256, sizeof(c->held.sha256), "%s", fm_json_string_or(file, "sha256", ""));
	c->held.bytes = (uint64_t)fm_json_int_or(file, "bytes", 0);
	c->held.raw_bytes = (uint64_t)fm_json_int_or(file, "raw_bytes", 0);
	tell(c, MEMBER_EV_FRAMES_STORED);
}

static int store_frames(struct cutter *c, struct fm_error *err)
{
	if (!c->frames_size || !(c->stats.held_out_frames + c->stats.held_in_frames)) {
		tell(c, MEMBER_EV_FRAMES_STORED);
		return 0;
	}
	c->task = task_start(c->job->agent, write_frames, c, on_frames_written, c, err);
	return c->task ? 0 : -1;
}

/* This member's files; the lead removes the folder. */
static int remove_files(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct cutter *c = arg;
	FM_AUTO_FREE char *stream = fm_format("%s/%s", c->dir, c->stream_name);
	FM_AUTO_FREE char *held = fm_format("%s/%s", c->dir, c->held_name);

	(void)result, (void)blob, (void)err;
	if (stream)
		unlink(stream);
	if (held)
		unlink(held);
	return 0;
}

static void on_removed(struct json_object *result, const struct task_blob *blob, const struct fm_error *error,
		       void *arg)
{
	(void)result, (void)blob, (void)error;
	((struct cutter *)arg)->task = NULL;
}

static void discard(struct cutter *c)
{
	struct fm_error err;

	task_cancel(c->task);
	c->task = task_start(c->job->agent, remove_files, c, on_removed, c, &err);
	fm_info("%s undone: %s", tag(c), c->why.code ? c->why.text : "the lead gave it up");
}

/* ---- the machine --------------------------------------------------------------------------------- */

/* Its end may be in the queue already. */
static void command(struct cutter *c, const char *cmd)
{
	if (c->worker)
		worker_command(c->worker, cmd);
}

/* One action; -1: it could not be done. */
static int perform(struct cutter *c, enum member_action action, struct fm_error *err)
{
	switch (action) {
	case MEMBER_DO_START: return start_save(c, err);
	case MEMBER_DO_HOLD_OUT: return hold_out(c, err);
	case MEMBER_DO_HOLD_IN: return gate_hold_in(c->job->gate, c->lease_end_ns, err);
	case MEMBER_DO_TELL_CUT: command(c, "cut"); return 0;
	case MEMBER_DO_EXPORT: return export_frames(c, err);
	case MEMBER_DO_OPEN: open_gate(c); return 0;
	case MEMBER_DO_TELL_RELEASE: command(c, "release"); return 0;
	case MEMBER_DO_TELL_ABORT: command(c, "abort"); return 0;
	case MEMBER_DO_KILL:
		if (c->worker)
			worker_deadline(c->worker, 1);
		return 0;
	case MEMBER_DO_RESUME: start_resume(c); return 0;
	case MEMBER_DO_STOP_LEASE: event_del(c->lease); return 0;
	case MEMBER_DO_STORE_FRAMES: return store_frames(c, err);
	case MEMBER_DO_DISCARD: discard(c); return 0;
	case MEMBER_DO_YES: answer(c, true); return 0;
	case MEMBER_DO_NO: answer(c, false); return 0;
	}
	return 0;
}

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

static void step(struct cutter *c, enum member_event event, enum cut_round round)
{
	enum member_state before = c->m.state;
	unsigned actions = member_step(&c->m, event, round);
	struct fm_error err;

	if (c->m.state != before) {
		fm_debug("%s %s -> %s", tag(c), member_state_name(before), member_state_name(c->m.state));
		set_timer(c->timer, state_ms(c));
	}
	for (unsigned bit = 1; actions >= bit; bit <<= 1) {
		if (!(actions & bit) || perform(c, (enum member_action)bit, &err) == 0)
			continue;
		blame(c, &err, NULL);
		tell(c, bit == MEMBER_DO_START ? MEMBER_EV_WORKER_DIED : MEMBER_EV_FAILED);
		return;
	}
}

static void queue_event(struct cutter *c, enum member_event event, enum cut_round round)
{
	if (c->queued == QUEUE) {
		fm_err("%s too many events at once", tag(c));
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

static void tell(struct cutter *c, enum member_event event)
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
		blame(c, &err, NULL);
	tell(c, MEMBER_EV_TIME);
}

static void on_lease(evutil_socket_t fd, short what, void *arg)
{
	struct cutter *c = arg;
	struct fm_error err;

	(void)fd, (void)what;
	fm_fail(&err, FM_TIMEOUT, "the gate's lease (GateMax, %lld ms) ran out in \"%s\"",
		(long long)c->lease_ms, member_state_name(c->m.state));
	blame(c, &err, NULL);
	tell(c, MEMBER_EV_LEASE);
}

static void cutter_free(struct cutter *c)
{
	task_cancel(c->task);
	worker_close(c->worker, CLOSE_MS);
	if (c->timer)
		event_free(c->timer);
	if (c->lease)
		event_free(c->lease);
	free(c->dir);
	free(c->frames);
	free(c);
}

static struct cutter *cutter_new(struct job *job, const struct fm_snapshot_id *id, struct fm_error *err)
{
	struct cutter *c = calloc(1, sizeof(*c));

	if (c) {
		c->job = job;
		c->id = *id;
		member_init(&c->m);
		c->timer = evtimer_new(job->agent->base, on_timer, c);
		c->lease = evtimer_new(job->agent->base, on_lease, c);
		c->dir = store_snapshot_dir(job->agent->conf.store_dir, id);
		snprintf(c->stream_name, sizeof(c->stream_name), "member-%u.zst", job->rank);
		snprintf(c->held_name, sizeof(c->held_name), "member-%u.held", job->rank);
	}
	if (!c || !c->timer || !c->lease || !c->dir) {
		if (c)
			cutter_free(c);
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	return c;
}

/* The cutter that is to hear the order, a new one for an arm; NULL with err: there is none. */
static struct cutter *find(struct job *job, const struct fm_snapshot_id *id, enum cut_round round,
			   struct fm_error *err)
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
	job->cutter = cutter_new(job, id, err);
	return job->cutter;
}

void cutter_order(struct job *job, const struct fm_snapshot_id *id, enum cut_round round, int64_t lease_ms,
		  cutter_done done, void *arg)
{
	FM_AUTO_JSON struct json_object *empty = json_object_new_object();
	struct fm_error err;
	struct cutter *c = find(job, id, round, &err);

	if (!c) { /* nothing here needs undoing */
		done(round == CUT_ABORT ? empty : NULL, round == CUT_ABORT ? NULL : &err, arg);
		return;
	}
	answer(c, false); /* the lead has given up on the order before, if one waits */
	c->done = done;
	c->arg = arg;
	if (round == CUT_GATE)
		c->lease_ms = lease_ms > 0 && lease_ms < LEASE_MAX_MS ? lease_ms : job->agent->conf.gate_max_ms;
	queue_event(c, MEMBER_EV_ORDER, round);
}

void cutter_stop(struct job *job, const struct fm_error *error)
{
	struct cutter *c = job->cutter;

	if (!c)
		return;
	blame(c, error, NULL);
	if (c->why.code && !member_over(&c->m))
		c->why = *error; /* the guest's end is the cause of whatever the worker says */
	job->cutter = NULL;
	answer(c, false);
	cutter_free(c);
	job->save_pid = 0;
}

void cutter_forget(struct job *job, const struct fm_snapshot_id *id)
{
	struct cutter *c = job->cutter;

	if (!c || c->id.job != id->job || c->id.n != id->n)
		return;
	c->done = NULL;
	c->m.waiting = false;
}
