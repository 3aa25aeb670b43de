/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * save.c - one member's part in a snapshot.
 *
 *	begin ─▶ armed ─freeze▶ frozen ─cut▶ cut ─release▶ released ─▶ saved
 *	   any of them ─abort, EOF, signal, time, disk full▶ resumed, file removed
 *
 * The guest comes first: once it runs again nothing that happens to the file
 * touches it, and while it stands still only the order to go on is awaited.
 *
 * Its disks are copied (worker/disks.h) when its memory is out and it still stands; what is in the copies goes into the
 * store after the memory has, and before "saved".
 *
 * With tracking there is a way back, saved ─next request▶ begin: track.h.
 */
#include "config.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "agent/store/access.h"
#include "agent/store/stream.h"
#include "agent/worker/claims.h"
#include "agent/worker/operations.h"
#include "agent/worker/pump.h"
#include "agent/worker/track.h"
#include "common/cleanup.h"
#include "common/log.h"

/* Who reads what the agent says: the main thread waits for it, or works in the
 * driver and would not hear it. */
enum phase {
	PHASE_PRECOPY, /* works; all the agent can say is abort */
	PHASE_WAIT,    /* listens, or soon will: the guest runs, or its state is out */
	PHASE_STOP,    /* works while the guest stands still */
	PHASE_DURABLE, /* listens; the guest runs */
};

/* What a store is expected to take at least: 32 MB/s. */
#define STOP_COPY_BYTES_PER_MS 32000
#define CATCH_UP_MS 20
#define PROGRESS_MS 500

struct save {
	struct worker *worker;
	const struct request *request; /* the worker's, and with tracking the later ones */
	struct store_access access;
	struct stream_writer *writer;
	struct claims *claims; /* NULL: nobody is asked */
	struct pump *pump;
	int64_t deadline_ms; /* of the order to cut */
	int64_t stop_max_ms, stop_deadline_ms; /* until all is out of the stopped domain */
	int64_t progress_ms; /* the pump's thread's: when progress is told next */
	struct json_object *armed; /* to be told as soon as the store has caught up */
	atomic_int phase;
	bool told;  /* the agent itself said abort */
	bool stuck; /* the driver could not resume the domain */
	struct fm_error why; /* else: what ended it; FM_OK while nothing did */
	struct track track;
};

/* The store is too slow and the driver stuck behind it. For how long is that bearable? */
static bool give_up(void *data, struct fm_error *err)
{
	struct save *s = data;
	struct pollfd said = { .fd = control_fd(s->worker->control), .events = POLLIN };
	enum phase phase = (enum phase)s->phase;

	if (phase == PHASE_STOP && control_now_ms() > s->stop_deadline_ms)
		return fm_fail(err, FM_TIMEOUT, "the store is too slow to take the state of a stopped domain");
	if (phase == PHASE_DURABLE)
		return false;
	if (phase == PHASE_WAIT ? control_ended(s->worker->control) : poll(&said, 1, 0) > 0)
		return fm_fail(err, FM_FAILED, "the agent broke off");
	return false;
}

static void add_pages(struct json_object *fields, const struct pages_progress *p)
{
	fm_json_set_int(fields, "zero_pages", (int64_t)p->zero);
	fm_json_set_int(fields, "known_pages", (int64_t)p->known);
	fm_json_set_int(fields, "stored_pages", (int64_t)p->stored);
}

/* By any thread: an event is one write, so it does not get between another's bytes. */
static void tell_progress(struct save *s)
{
	struct pages_progress p = stream_writer_progress(s->writer);
	struct json_object *fields = json_object_new_object();

	if (!fields)
		return;
	fm_json_set_int(fields, "pages", (int64_t)p.put);
	add_pages(fields, &p);
	fm_json_set_int(fields, "stored_bytes", (int64_t)p.stored_bytes);
	control_event(s->worker->control, "progress", fields);
}

static int sink(void *data, const void *bytes, size_t size, struct fm_error *err)
{
	struct save *s = data;

	if (stream_write(s->writer, bytes, size, err) < 0)
		return -1;
	if (control_now_ms() >= s->progress_ms) {
		tell_progress(s);
		s->progress_ms = control_now_ms() + PROGRESS_MS;
	}
	return 0;
}

/* What a command means that is not the one awaited. */
static enum save_verdict unexpected(struct save *s, enum command command)
{
	if (command == COMMAND_ABORT)
		s->told = true;
	else if (command == COMMAND_END)
		fm_fail(&s->why, FM_FAILED, "%s", s->worker->control->why);
	else
		fm_fail(&s->why, FM_USAGE, "%s",
			command == COMMAND_BAD ? s->worker->control->why : "a command out of turn");
	return SAVE_ABORT;
}

/* The stop is to come: what is said of it waits until the store has caught up, see catch_up(). */
static void on_armed(bool live, uint64_t raw_bytes, void *data)
{
	struct save *s = data;

	s->armed = json_object_new_object();
	s->deadline_ms = control_now_ms() + s->request->hold_max_ms;
	s->stop_max_ms = s->request->stop_max_ms;
	if (!live) /* all of the memory goes through the store while it is stopped */
		s->stop_max_ms += (int64_t)(raw_bytes / STOP_COPY_BYTES_PER_MS);
	if (!s->armed)
		return;
	fm_json_set_bool(s->armed, "live", live);
	fm_json_set_int(s->armed, "raw_bytes", (int64_t)raw_bytes);
}

/*
 * A guest is not to be stopped while the memory between it and a slow store is still full of its first pass: its last
 * pages would have to wait for the store. So nothing more is copied meanwhile.
 */
static enum save_verdict catch_up(struct save *s)
{
	enum command command = control_wait(s->worker->control, 0, pump_done_fd(s->pump));
	bool ready; /* once it was: what is in the pipe still may fill it again */

	while (!(ready = pump_is_ready(s->pump)) && command == COMMAND_NONE && control_now_ms() < s->deadline_ms)
		command = control_wait(s->worker->control, CATCH_UP_MS, pump_done_fd(s->pump));
	if (command == COMMAND_EVENT) {
		pump_failed(s->pump, &s->why);
		return SAVE_ABORT;
	}
	if (command != COMMAND_NONE)
		return unexpected(s, command);
	if (!ready) {
		fm_fail(&s->why, FM_TIMEOUT, "the store does not keep up with the domain's memory");
		return SAVE_ABORT;
	}
	s->phase = PHASE_WAIT;
	s->deadline_ms = control_now_ms() + s->request->hold_max_ms;
	control_event(s->worker->control, "armed", fm_steal_ptr(&s->armed));
	tell_progress(s); /* it may have been too short for any */
	return SAVE_HOLD;
}

static void rest(struct save *s)
{
	pump_pause(s->pump, true);
	stream_writer_pause(s->writer);
}

static enum save_verdict on_hold(int timeout_ms, void *data)
{
	struct save *s = data;
	int64_t left = s->deadline_ms - control_now_ms();
	enum command command;

	if (s->armed)
		return catch_up(s);
	if (left < timeout_ms)
		timeout_ms = left > 0 ? (int)left : 0;
	command = control_wait(s->worker->control, timeout_ms, pump_done_fd(s->pump));
	if (command == COMMAND_FREEZE && s->phase == PHASE_WAIT) {
		rest(s); /* until the job goes on, the guest may need the processor that compressing takes */
		return SAVE_FREEZE;
	}
	if (command == COMMAND_CUT && s->phase == PHASE_WAIT) {
		s->stop_deadline_ms = control_now_ms() + s->stop_max_ms;
		rest(s); /* also where nothing was frozen before */
		s->phase = PHASE_STOP;
		return SAVE_CUT;
	}
	if (command == COMMAND_EVENT) { /* the pump ended: it only does so early when it failed */
		pump_failed(s->pump, &s->why);
		return SAVE_ABORT;
	}
	if (command != COMMAND_NONE)
		return unexpected(s, command);
	if (stream_writer_check(s->writer, &s->why) < 0)
		return SAVE_ABORT;
	if (control_now_ms() < s->deadline_ms)
		return SAVE_HOLD;
	fm_fail(&s->why, FM_TIMEOUT, "held for %lld ms and no order to cut came",
		(long long)s->request->hold_max_ms);
	return SAVE_ABORT;
}

static void on_frozen(const struct save_cut *cut, void *data)
{
	struct save *s = data;
	struct json_object *fields = json_object_new_object();

	if (fields) {
		fm_json_set_bool(fields, "frozen", cut->frozen);
		fm_json_set_double(fields, "freeze_ms", cut->freeze_ms);
	}
	control_event(s->worker->control, "frozen", fields);
}

static bool on_has_disk(const char *vdev, void *data)
{
	struct save *s = data;

	return worker_disks_has(s->worker->disks, vdev);
}

/* The domain stands still, and its memory is out. */
static int freeze_disks(struct save *s, struct json_object *fields)
{
	int64_t begun = hypervisor_now_ns();
	struct fm_error err;

	if (worker_disks_count(s->worker->disks) == 0)
		return 0;
	if (worker_disks_freeze(s->worker->disks, &err) < 0) {
		s->why = err;
		return -1;
	}
	if (fields)
		fm_json_set_double(fields, "disk_ms", (double)(hypervisor_now_ns() - begun) / 1e6);
	return 0;
}

static enum save_verdict on_cut(const struct save_cut *cut, void *data)
{
	struct save *s = data;
	struct json_object *fields = json_object_new_object();
	enum command command;

	if (freeze_disks(s, fields) < 0) {
		json_object_put(fields);
		return SAVE_ABORT;
	}
	s->phase = PHASE_WAIT;
	if (fields) {
		fm_json_set_int(fields, "suspend_ns", cut->suspend_ns);
		fm_json_set_int(fields, "suspended_ns", cut->suspended_ns);
		fm_json_set_bool(fields, "frozen", cut->frozen);
		fm_json_set_bool(fields, "quiet", cut->quiet);
		fm_json_set_double(fields, "freeze_ms", cut->freeze_ms);
		fm_json_set_double(fields, "quiet_ms", cut->quiet_ms);
		fm_json_set_double(fields, "suspend_ms", cut->suspend_ms);
		fm_json_set_double(fields, "copy_ms", cut->copy_ms);
	}
	track_cut(&s->track, cut, fields);
	control_event(s->worker->control, "cut", fields);
	command = control_wait(s->worker->control, (int)s->request->stop_max_ms, -1);
	if (command == COMMAND_RELEASE)
		return SAVE_RELEASE;
	if (command != COMMAND_NONE)
		return unexpected(s, command);
	fm_fail(&s->why, FM_TIMEOUT, "suspended for %lld ms and no order to go on came",
		(long long)s->request->stop_max_ms);
	return SAVE_ABORT;
}

static void on_released(double stopped_ms, double blackout_ms, void *data)
{
	struct save *s = data;
	struct json_object *fields = json_object_new_object();

	s->phase = PHASE_DURABLE;
	if (fields) {
		fm_json_set_double(fields, "stopped_ms", stopped_ms);
		fm_json_set_double(fields, "blackout_ms", blackout_ms);
	}
	control_event(s->worker->control, "released", fields);
	setpriority(PRIO_PROCESS, 0, PUMP_NICE); /* the others of its group may still stand still */
}

/* What other members store is to be there before the map can say where. 0, 1: ended on request, -1. */
static int await_others(struct save *s, struct fm_error *err)
{
	enum command command;
	int r;

	while ((r = stream_writer_settle(s->writer, err)) == 0) {
		command = control_wait(s->worker->control, CATCH_UP_MS, -1);
		if (command == COMMAND_NONE)
			continue;
		unexpected(s, command);
		return 1;
	}
	return r < 0 ? -1 : 0;
}

/* Asked between the blocks of a disk: does the agent still want it? */
static bool is_stopped(void *data)
{
	struct save *s = data;
	enum command command = control_wait(s->worker->control, 0, -1);

	if (command == COMMAND_NONE)
		return false;
	unexpected(s, command);
	return true;
}

/* Its memory is in the store; now its disks. What fails here undoes both. */
static int store_disks(struct save *s, struct json_object **disks_r, struct fm_error *err)
{
	const struct worker *w = s->worker;
	int rc;

	if (worker_disks_count(w->disks) == 0)
		return 0;
	rc = worker_disks_store(w->disks, &s->access, is_stopped, s, disks_r, err);
	if (rc != 0)
		unlink(w->request->map);
	else
		worker_disks_keep(w->disks);
	return rc;
}

/* The guest runs; the rest of the stream goes to the disk. 0, 1: ended on request, -1. */
static int make_durable(struct save *s, bool checkpoint, struct stream_saved *saved_r, struct fm_error *err)
{
	enum command command;
	int r;

	pump_close(s->pump);
	command = control_wait(s->worker->control, -1, pump_done_fd(s->pump));
	if (command != COMMAND_EVENT) {
		unexpected(s, command);
		return 1;
	}
	if (pump_finish(s->pump, err) < 0)
		return -1;
	r = await_others(s, err);
	if (r != 0)
		return r;
	tell_progress(s);
	return checkpoint ? stream_writer_checkpoint(s->writer, saved_r, err) :
			    stream_writer_finish(fm_steal_ptr(&s->writer), saved_r, err);
}

/* disks is taken; may be NULL. stays: for the next one. */
static void tell_saved(struct save *s, const struct stream_saved *saved, struct json_object *disks, bool stays)
{
	struct json_object *fields = json_object_new_object();

	if (fields) {
		fm_json_set_int(fields, "bytes", (int64_t)saved->map.bytes);
		fm_json_set_int(fields, "raw_bytes", (int64_t)saved->map.raw_bytes);
		fm_json_set_string(fields, "sha256", saved->map.sha256);
		fm_json_set_int(fields, "stored_bytes", (int64_t)saved->stored);
		fm_json_set_int(fields, "pages", (int64_t)saved->count);
		add_pages(fields, &saved->pages);
		if (disks)
			json_object_object_add(fields, "disks", json_object_get(disks));
		if (stays)
			fm_json_set_bool(fields, "tracking", true);
	}
	if (saved->others)
		fm_info("%llu different pages are in packs of other members", (unsigned long long)saved->others);
	json_object_put(disks);
	control_event(s->worker->control, "saved", fields);
}

static void on_stuck(const char *why, void *data)
{
	struct save *s = data;

	s->stuck = true;
	fm_fail(&s->why, FM_FAILED, "it is left suspended: %s", why);
}

/* A driver that failed because give_up() heard the agent: what had it said? */
static void hear(struct save *s)
{
	enum command command;

	if (s->why.code != FM_OK || s->told || s->phase == PHASE_DURABLE)
		return;
	command = control_wait(s->worker->control, 0, -1);
	if (command != COMMAND_NONE)
		unexpected(s, command);
}

/* Why it ended, in one error: the cause first, then what the driver had to say. */
static int ended(struct save *s, int result, struct fm_error *err)
{
	const char *name = s->request->domain.name;
	struct fm_error driver = *err, cause;

	if (result < 0)
		hear(s);
	if (s->told && !s->stuck) {
		control_event(s->worker->control, "aborted", NULL);
		return 0;
	}
	cause = s->why;
	if (cause.code == FM_OK && s->pump && pump_failed(s->pump, &cause))
		result = 1; /* what else is said follows from that: a broken pipe */
	if (result > 0)
		return fm_fail(err, cause.code, "cannot save domain %s: %s", name, cause.text);
	if (cause.code == FM_OK)
		return fm_context(err, "cannot save domain %s", name);
	return fm_fail(err, cause.code, "cannot save domain %s: %.330s (%.330s)", name, cause.text, driver.text);
}

static int open_writer(struct save *s, struct fm_error *err)
{
	const struct request *q = s->request;
	struct stream_options options = { .parent = q->parent, .nice = PUMP_NICE };

	s->claims = q->claims ? claims_create(q->claims, err) : NULL;
	if (q->claims && !s->claims)
		return -1;
	options.claims = s->claims ? claims_calls(s->claims) : NULL;
	s->writer = stream_writer_create(&(struct stream_place){ q->map, s->access.pages, q->job, s->access.key, s->access.also },
					 &options, err);
	return s->writer ? 0 : -1;
}

static void renew_pump(struct save *s, struct fm_error *err)
{
	size_t limit = s->request->buffer_bytes ? (size_t)s->request->buffer_bytes : pump_default_limit();

	pump_destroy(s->pump);
	s->pump = pump_start(limit, &(struct pump_sink){ sink, give_up, s }, err);
}

/* As before the first order. */
static void begin(struct save *s)
{
	s->deadline_ms = INT64_MAX / 2;
	s->progress_ms = control_now_ms() + PROGRESS_MS;
	s->phase = PHASE_PRECOPY;
	setpriority(PRIO_PROCESS, 0, 0); /* on_released() */
}

/* The next snapshot of a domain that is being tracked; false: save() is to come to its end. */
static bool on_next(int *fd_r, void *data)
{
	struct save *s = data;
	struct track *t = &s->track;
	struct stream_saved saved = { 0 };
	const struct request *next;

	t->asked = true;
	t->result = make_durable(s, true, &saved, &t->err);
	pump_destroy(fm_steal_ptr(&s->pump)); /* its memory is for others meanwhile */
	if (t->result != 0)
		return false;
	tell_saved(s, &saved, NULL, true);
	next = track_await(t, s->worker, s->request, &s->told);
	if (!next)
		return false;
	s->request = next;
	begin(s);
	if (!track_goes_on(t, next, s->writer))
		return false;
	renew_pump(s, &t->err);
	if (!s->pump)
		t->result = -1;
	else
		*fd_r = pump_fd(s->pump);
	return s->pump != NULL;
}

/* A disk's changes nobody notes, and what others store a later snapshot could not rely on: then each is whole. */
static bool tracks(const struct save *s)
{
	return s->request->track && !s->claims && worker_disks_count(s->worker->disks) == 0;
}

/* One call of the driver: a snapshot, and those that follow on it. */
static int save(struct save *s, struct fm_error *err)
{
	struct worker *w = s->worker;
	struct save_calls calls = { on_armed, on_hold, on_frozen, on_cut, on_released, NULL, on_stuck, on_has_disk, s };
	struct stream_saved saved = { 0 };
	struct json_object *disks = NULL;
	int r = -1;

	if (worker_disks_ready(w->disks, err) < 0 || open_writer(s, err) < 0)
		return -1;
	calls.next = tracks(s) ? on_next : NULL;
	begin(s);
	renew_pump(s, err);
	track_begin(&s->track);
	if (s->pump)
		r = w->ops->save(w->hv, s->request->domain.name, pump_fd(s->pump), &calls, err);
	if (r == 0 && s->track.asked)
		return track_result(&s->track, err);
	if (r == 0)
		r = make_durable(s, false, &saved, err);
	if (r == 0)
		r = store_disks(s, &disks, err);
	if (r == 0)
		tell_saved(s, &saved, disks, false);
	return r;
}

static void end(struct save *s)
{
	worker_disks_undo(s->worker->disks);
	pump_destroy(fm_steal_ptr(&s->pump));
	stream_writer_abort(fm_steal_ptr(&s->writer));
	claims_destroy(fm_steal_ptr(&s->claims));
	json_object_put(fm_steal_ptr(&s->armed));
}

int operation_save(struct worker *w, struct fm_error *err)
{
	const struct request *q = w->request;
	struct save s = { .worker = w, .request = q };
	int r;

	if (store_access_local(&s.access, q->folder, q->job, q->local, q->key_file, true, err) < 0) {
		store_access_close(&s.access);
		return fm_context(err, "cannot save domain %s", q->domain.name);
	}
	while ((r = save(&s, err)) == SAVE_AGAIN) {
		fm_log(s.request->base ? FM_LOG_WARNING : FM_LOG_INFO, "domain=%s saved whole: %s", q->domain.name, err->text);
		end(&s);
	}
	if (r != 0)
		r = ended(&s, r, err);
	if (r != 0)
		claims_cancel(s.claims);
	end(&s);
	track_dispose(&s.track);
	store_access_close(&s.access);
	return r;
}
