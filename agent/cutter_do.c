/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cutter_do.c - a member's actions in a snapshot: its worker, its gate, its files. */
#include "config.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/claims.h"
#include "agent/cutter_private.h"
#include "agent/local/place.h"
#include "agent/store/access.h"
#include "agent/task.h"
#include "agent/tracker.h"
#include "agent/worker_client.h"
#include "common/cleanup.h"
#include "common/io.h"

#define RESUME_TRIES 5
#define RESUME_MS 30000

struct json_object *cutter_file_json(const struct store_file *file)
{
	struct json_object *o = json_object_new_object();

	fm_json_set_string(o, "name", file->name);
	fm_json_set_int(o, "bytes", (int64_t)file->bytes);
	fm_json_set_int(o, "raw_bytes", (int64_t)file->raw_bytes);
	fm_json_set_string(o, "sha256", file->sha256);
	return o;
}

/* ---- the worker that saves --------------------------------------------------------- */

static void remember_pid(struct cutter *c, pid_t pid)
{
	struct fm_error err;

	c->job->save_pid = pid;
	if (job_save(c->job, &err))
		fm_err("%s the record cannot be written: %s", cutter_tag(c), err.text);
}

static void take_saved(struct cutter *c, struct json_object *o)
{
	json_object_put(c->map);
	c->map = json_object_get(o);
	json_object_object_del(c->map, "event");
	json_object_put(c->disks);
	c->disks = json_object_get(json_object_object_get(o, "disks"));
	json_object_object_del(c->map, "disks");
	json_object_object_del(c->map, "tracking");
	fm_json_set_string(c->map, "name", c->map_name);
}

/* The worker stays for the next snapshot; to the machine it has ended. One that is told to undo ends by itself. */
static void let_stay(struct cutter *c)
{
	FM_AUTO_FREE char *map = fm_format("%s/%s", c->dir, c->map_name);

	if (!map || c->m.state == MEMBER_UNDOING)
		return;
	tracker_keep(c->job, fm_steal_ptr(&c->worker), map, fm_json_bool_or(c->rest, "tracked", false));
	cutter_tell(c, MEMBER_EV_WORKER_ENDED);
}

/* What the manifest tells of the worker's cut, from its several events. */
static void take_rest(struct cutter *c, struct json_object *o)
{
	static const char *const keys[] = { "frozen", "quiet", "tracked", "freeze_ms", "quiet_ms", "suspend_ms", "copy_ms",
					    "disk_ms", "blackout_ms" };

	if (!c->rest)
		c->rest = json_object_new_object();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value = json_object_object_get(o, keys[i]);

		if (value)
			json_object_object_add(c->rest, keys[i], json_object_get(value));
	}
}

static void on_frozen(struct cutter *c);

static void on_save_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	fm_debug("%s worker says %s", cutter_tag(c), event);
	if (strcmp(event, "armed") == 0) {
		c->live = fm_json_bool_or(o, "live", false);
		c->raw_bytes = fm_json_int_or(o, "raw_bytes", 0);
		cutter_tell(c, MEMBER_EV_ARMED);
	} else if (strcmp(event, "frozen") == 0) {
		on_frozen(c);
	} else if (strcmp(event, "cut") == 0) {
		c->suspend_ns = fm_json_int_or(o, "suspend_ns", 0);
		c->suspended_ns = fm_json_int_or(o, "suspended_ns", 0);
		take_rest(c, o);
		cutter_tell(c, MEMBER_EV_CUT);
	} else if (strcmp(event, "released") == 0) {
		c->stopped_ms = json_object_get_double(json_object_object_get(o, "stopped_ms"));
		take_rest(c, o);
		cutter_tell(c, MEMBER_EV_RELEASED);
	} else if (strcmp(event, "progress") == 0) {
		json_object_put(c->progress);
		c->progress = json_object_get(o);
		json_object_object_del(c->progress, "event");
		/* How large its state is it only says when most of it is out. */
		fm_json_set_int(c->progress, "raw_bytes",
				c->raw_bytes ? c->raw_bytes : (int64_t)c->job->spec.memory_mib << 20);
	} else if (strcmp(event, "saved") == 0) {
		bool stays = fm_json_bool_or(o, "tracking", false);

		take_saved(c, o);
		cutter_tell(c, MEMBER_EV_SAVED);
		if (stays)
			let_stay(c);
	}
}

static void on_save_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	c->worker = NULL;
	remember_pid(c, 0);
	if (error)
		cutter_blame(c, error, NULL);
	cutter_tell(c, error ? MEMBER_EV_WORKER_DIED : MEMBER_EV_WORKER_ENDED);
}

static struct json_object *save_request(struct cutter *c, const char *base)
{
	const struct fm_conf *conf = &c->job->agent->conf;
	struct json_object *o = json_object_new_object(), *claims;
	FM_AUTO_FREE char *path = fm_format("%s/%s", c->dir, c->map_name);
	FM_AUTO_FREE char *folder = fm_format("%s/%u", conf->store_dir, c->id.job);
	FM_AUTO_FREE char *local = *conf->local_dir ? local_job(conf, c->id.job) : NULL;

	fm_json_set_string(o, "op", "save");
	fm_json_set_string(o, "name", c->job->domain);
	fm_json_set_string(o, "map", path);
	fm_json_set_string(o, "folder", folder);
	fm_json_set_string(o, "local", local);
	fm_json_set_int(o, "job", c->id.job);
	if (*conf->key_file)
		fm_json_set_string(o, "key_file", conf->key_file);
	if (c->job->last_map)
		fm_json_set_string(o, "parent", c->job->last_map);
	if (conf->tracking && !*conf->local_dir)
		fm_json_set_bool(o, "track", true);
	if (base)
		fm_json_set_string(o, "base", base);
	claims = conf->tracking ? NULL : claims_request(c->job, &c->id);
	if (claims)
		json_object_object_add(o, "claims", claims);
	fm_json_set_string(o, "rundir", conf->run_dir);
	fm_json_set_int(o, "hold_max_ms", 2 * cutter_copy_ms(c->job) + conf->gate_max_ms);
	if (strcmp(conf->hypervisor, "sim") == 0) /* a thousand of them share a test's host */
		fm_json_set_int(o, "buffer_mib", c->job->spec.memory_mib + 1);
	/* Our lease comes first. */
	fm_json_set_int(o, "stop_max_ms", conf->gate_max_ms + 1000 + cutter_stop_ms((int64_t)c->job->spec.memory_mib << 20));
	return o;
}

static int start_save(struct cutter *c, struct fm_error *err)
{
	static const struct worker_events events = { on_save_event, on_save_ended };
	FM_AUTO_FREE char *base = NULL;

	c->worker = tracker_take(c->job, &base);
	if (c->worker) {
		worker_hand_over(c->worker, cutter_tag(c), &events, c);
		worker_request(c->worker, save_request(c, base));
		return 0; /* its pid is noted */
	}
	c->worker = worker_start(c->job->agent, cutter_tag(c), save_request(c, NULL), 0, &events, c, err);
	if (!c->worker)
		return -1;
	remember_pid(c, worker_pid(c->worker));
	return 0;
}

/* ---- recovery of a guest whose saver died --------------------------------------------- */

static void start_resume(struct cutter *c);

static void on_resume_event(struct worker *w, const char *event, struct json_object *o, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	if (strcmp(event, "resumed") == 0 && fm_json_bool_or(o, "was_suspended", false))
		fm_warning("%s the guest had been left suspended; it runs again", cutter_tag(c));
}

static void on_resume_ended(struct worker *w, const struct fm_error *error, void *arg)
{
	struct cutter *c = arg;

	(void)w;
	c->worker = NULL;
	if (!error) {
		cutter_tell(c, MEMBER_EV_GUEST_RUNS);
		return;
	}
	fm_err("%s the guest cannot be resumed: %s", cutter_tag(c), error->text);
	if (error->code != FM_NOT_FOUND && ++c->resume_tries < RESUME_TRIES)
		start_resume(c);
	else
		cutter_tell(c, MEMBER_EV_FAILED);
}

static void start_resume(struct cutter *c)
{
	static const struct worker_events events = { on_resume_event, on_resume_ended };
	struct json_object *o = json_object_new_object();
	struct fm_error err;

	fm_json_set_string(o, "op", "resume");
	fm_json_set_string(o, "name", c->job->domain);
	fm_json_set_string(o, "rundir", c->job->agent->conf.run_dir);
	c->worker = worker_start(c->job->agent, cutter_tag(c), o, RESUME_MS, &events, c, &err);
	if (!c->worker) {
		fm_err("%s %s", cutter_tag(c), err.text);
		cutter_tell(c, MEMBER_EV_FAILED);
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
	cutter_set_timer(c->lease, c->lease_ms);
	cutter_tell(c, MEMBER_EV_HELD);
	return 0;
}

static void on_drained(void *arg)
{
	cutter_tell(arg, MEMBER_EV_DRAINED);
}

static void on_late_marker(const struct fm_error *why, void *arg)
{
	struct cutter *c = arg;

	if (member_over(&c->m)) {
		fm_warning("%s %s", cutter_tag(c), why->text);
		return;
	}
	cutter_blame(c, why, NULL);
	cutter_tell(c, MEMBER_EV_GATE_LOST);
}

/* The frames are stored, and are all there will be. */
static void on_settled(void *arg)
{
	cutter_tell(arg, MEMBER_EV_FRAMES_STORED);
}

int cutter_listen(struct cutter *c, const uint8_t key[MARK_KEY], struct fm_error *err)
{
	const struct drain_calls calls = { on_drained, on_late_marker, on_settled, c };

	c->drain = drain_create(c->job, &c->id, key, &calls, err);
	return c->drain ? 0 : -1;
}

static int export_frames(struct cutter *c, struct fm_error *err)
{
	if (gate_drain(c->job->gate, err) ||
	    gate_export(c->job->gate, &c->frames, &c->frames_size, err))
		return -1;
	drain_seal(c->drain);
	if (!gate_kept(c, err)) {
		cutter_blame(c, err, NULL);
		cutter_tell(c, MEMBER_EV_GATE_LOST);
	} else {
		cutter_tell(c, MEMBER_EV_EXPORTED);
	}
	return 0;
}

static void on_gate_open(void *arg)
{
	struct job *job = arg;

	if (job->cutter)
		cutter_tell(job->cutter, MEMBER_EV_GATE_OPEN);
}

static void open_gate(struct cutter *c)
{
	struct gate_stats kept = c->stats;
	struct fm_error err;

	if (c->m.state == MEMBER_RELEASING) {
		if (!gate_kept(c, &err)) {
			cutter_blame(c, &err, NULL);
			cutter_tell(c, MEMBER_EV_GATE_LOST);
		}
		c->stats = kept; /* the snapshot's are those of the export */
	}
	if (gate_release(c->job->gate, on_gate_open, c->job, &err)) {
		fm_err("%s gate: %s", cutter_tag(c), err.text);
		cutter_tell(c, MEMBER_EV_GATE_OPEN); /* it opens by itself when the lease is over */
	}
}

/* ---- the job, before the gate ------------------------------------------------------------------ */

/*
 * First the job stands still: what it has sent is acknowledged while its network is still whole, and TCP has nothing to
 * send again.  The lease is for a worker that does not answer.
 */
static int freeze(struct cutter *c)
{
	if (!c->worker) /* its end is in the queue */
		return 0;
	cutter_set_timer(c->lease, c->lease_ms);
	worker_command(c->worker, "freeze");
	return 0;
}

static void on_frozen(struct cutter *c)
{
	struct fm_error err;

	if (c->m.state != MEMBER_GATED || hold_out(c, &err) == 0)
		return; /* given up meanwhile */
	cutter_blame(c, &err, NULL);
	cutter_tell(c, MEMBER_EV_FAILED);
}

/* ---- the held frames on disk ----------------------------------------------------------------- */

static int write_frames(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct cutter *c = arg;
	const struct fm_conf *conf = &c->job->agent->conf;
	FM_AUTO_FREE char *folder = fm_format("%s/%u", conf->store_dir, c->id.job);
	FM_AUTO_FREE char *local = *conf->local_dir ? local_job(conf, c->id.job) : NULL;
	struct store_access access;
	struct store_file file;
	int r = store_access_local(&access, folder ? folder : "", c->id.job, local, conf->key_file, true, err);

	(void)blob;
	if (r == 0)
		r = store_sealed_write(&access, c->dir, c->held_name, c->frames, c->frames_size, &file, err);
	store_access_close(&access);
	if (r)
		return -1;
	json_object_object_add(result, "file", cutter_file_json(&file));
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
		cutter_blame(c, error, "writing the held frames");
		cutter_tell(c, MEMBER_EV_FAILED);
		return;
	}
	free(fm_steal_ptr(&c->frames));
	file = json_object_object_get(result, "file");
	snprintf(c->held.name, sizeof(c->held.name), "%s", c->held_name);
	snprintf(c->held.sha256, sizeof(c->held.sha256), "%s", fm_json_string_or(file, "sha256", ""));
	c->held.bytes = (uint64_t)fm_json_int_or(file, "bytes", 0);
	c->held.raw_bytes = (uint64_t)fm_json_int_or(file, "raw_bytes", 0);
	drain_settle(c->drain);
}

static int store_frames(struct cutter *c, struct fm_error *err)
{
	if (!c->frames_size || !(c->stats.held_out_frames + c->stats.held_in_frames)) {
		drain_settle(c->drain);
		return 0;
	}
	c->task = task_start(c->job->agent, write_frames, c, on_frames_written, c, err);
	return c->task ? 0 : -1;
}

/* The worker removes them itself when it fails: this is for one that was over when the group's commit failed. */
static void remove_disk_maps(struct cutter *c)
{
	FM_AUTO_FREE char *pattern = fm_format("%s/member-%u.disk-*.map", c->dir, c->job->rank);
	glob_t found = { 0 };

	if (pattern && glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
	globfree(&found);
}

/* This member's files; the lead removes the folder. */
static int remove_files(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	struct cutter *c = arg;
	FM_AUTO_FREE char *map = fm_format("%s/%s", c->dir, c->map_name);
	FM_AUTO_FREE char *held = fm_format("%s/%s", c->dir, c->held_name);

	(void)result, (void)blob, (void)err;
	if (map)
		unlink(map);
	if (held)
		unlink(held);
	remove_disk_maps(c);
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

	c->job->alone = true;
	task_cancel(c->task);
	c->task = task_start(c->job->agent, remove_files, c, on_removed, c, &err);
	fm_info("%s undone: %s", cutter_tag(c), c->why.code ? c->why.text : "the lead gave it up");
}

/* ---- all of them ---------------------------------------------------------------------------------- */

/* Its end may be in the queue already. */
static void command(struct cutter *c, const char *cmd)
{
	if (c->worker)
		worker_command(c->worker, cmd);
}

int cutter_do(struct cutter *c, enum member_action action, struct fm_error *err)
{
	switch (action) {
	case MEMBER_DO_START: return start_save(c, err);
	case MEMBER_DO_HOLD_OUT: return freeze(c);
	case MEMBER_DO_DRAIN: drain_begin(c->drain); return 0;
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
	case MEMBER_DO_YES:
	case MEMBER_DO_NO: return 0; /* cutter.c's */
	}
	return 0;
}

