/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy.c - a job's whole snapshots to the levels that do not have them, one after the other; then what was removed goes
 * from there.
 *
 * What cannot be copied is told ("failed") and in the record, and keeps nothing else from being copied: a level that does
 * not answer or has no room is left alone for this time, a snapshot that is damaged is left out.  It is the agent who
 * tries again.  When the agent is gone, it ends where it is; that loses nothing.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/store/copies/copy.h"
#include "agent/store/copies/record.h"
#include "agent/store/copies/trim.h"
#include "agent/worker/operations.h"
#include "common/cleanup.h"
#include "common/log.h"

#define RECORD_MS 2000
#define NICE 19
#define IO_WHO_PROCESS 1
#define IO_IDLE (3 << 13) /* ioprio_set(2): no disk time that anybody else wants */

struct skipped {
	struct fm_snapshot_id id; /* job 0: all of that level */
	size_t level;
};

struct copying {
	struct control *control;
	struct site site;
	struct fm_snapshot_id id; /* under way */
	size_t level;
	int64_t record_ms; /* when the record is due */
	struct skipped *skipped;
	size_t skipped_count;
	struct fm_error first; /* that went wrong; code FM_OK: nothing */
};

static bool stop(void *arg)
{
	const struct copying *c = arg;

	return control_ended(c->control);
}

static bool skip(void *arg, const struct fm_snapshot_id *id, size_t level)
{
	const struct copying *c = arg;

	for (size_t i = 0; i < c->skipped_count; i++)
		if (c->skipped[i].level == level && (!c->skipped[i].id.job || c->skipped[i].id.n == id->n))
			return true;
	return false;
}

static int skip_add(struct copying *c, bool all, struct fm_error *err)
{
	struct skipped *bigger = reallocarray(c->skipped, c->skipped_count + 1, sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	c->skipped = bigger;
	bigger[c->skipped_count] = (struct skipped){ .level = c->level };
	if (!all)
		bigger[c->skipped_count].id = c->id;
	c->skipped_count++;
	return 0;
}

/* An event about what is under way. */
static struct json_object *about(const struct copying *c)
{
	struct json_object *o = json_object_new_object();
	char id[24];

	fm_snapshot_id_format(&c->id, id);
	fm_json_set_string(o, "snapshot", id);
	fm_json_set_string(o, "level", site_name(&c->site, c->level));
	return o;
}

static void add_progress(struct json_object *o, const struct copy_progress *p)
{
	fm_json_set_int(o, "bytes", (int64_t)p->bytes);
	fm_json_set_int(o, "done", (int64_t)p->done);
	fm_json_set_int(o, "total", (int64_t)p->total);
}

/* Its failure is no reason to stop: it is for people. */
static void record(struct copying *c, const char *state, const struct copy_progress *p, const struct fm_error *why)
{
	struct json_object *entry = record_new(&c->site, c->level, state);
	struct fm_error err;

	add_progress(entry, p);
	if (why) {
		fm_json_set_string(entry, "error", why->text);
		fm_json_set_int(entry, "code", why->code);
	}
	if (record_write(c->site.store, &c->id, entry, &err) < 0 && err.code != FM_NOT_FOUND)
		fm_warning("job=%u snapshot=%u.%u the state of its levels cannot be noted: %s", c->id.job, c->id.job, c->id.n,
			   err.text);
	c->record_ms = control_now_ms() + RECORD_MS;
}

static void on_progress(void *arg, const struct copy_progress *p)
{
	struct copying *c = arg;
	struct json_object *o;

	if (control_now_ms() < c->record_ms)
		return;
	record(c, "copying", p, NULL);
	o = about(c);
	add_progress(o, p);
	control_event(c->control, "progress", o);
}

/* A level that is as it should be, and a snapshot that cannot be copied there: others can. */
static bool is_the_snapshot(enum fm_code code)
{
	return code == FM_CORRUPT || code == FM_BUSY || code == FM_INCOMPATIBLE;
}

static int failed(struct copying *c, const struct copy_progress *p, const struct fm_error *why, struct fm_error *err)
{
	struct json_object *o = about(c);

	record(c, "failed", p, why);
	fm_json_set_int(o, "code", why->code);
	fm_json_set_string(o, "text", why->text);
	control_event(c->control, "failed", o);
	if (c->first.code == FM_OK)
		c->first = *why;
	return skip_add(c, !is_the_snapshot(why->code), err);
}

static int copy_one(struct copying *c, struct fm_error *err)
{
	const struct copy_calls calls = { .progress = on_progress, .arg = c };
	struct copy_progress p = { 0 };
	int64_t begun = control_now_ms();
	struct json_object *o;
	struct fm_error why;

	record(c, "copying", &p, NULL);
	if (copy_snapshot(&c->site, c->level, &c->id, &calls, &p, &why) < 0) {
		if (stop(c)) /* told to: the record stays as it is */
			return 0;
		return why.code == FM_NOT_FOUND ? skip_add(c, false, err) : failed(c, &p, &why, err);
	}
	record(c, "whole", &p, NULL);
	o = about(c);
	add_progress(o, &p);
	fm_json_set_double(o, "seconds", (double)(control_now_ms() - begun) / 1e3);
	control_event(c->control, "copied", o);
	return skip_add(c, false, err); /* a record that cannot be written must not make this endless */
}

static int copy_all(struct copying *c, uint32_t job, struct fm_error *err)
{
	int rc = 0;

	while (rc == 0 && !stop(c) && (rc = copy_next(&c->site, job, skip, c, &c->id, &c->level, err)) > 0)
		rc = copy_one(c, err);
	return rc;
}

static int trim(struct copying *c, uint32_t job, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *report = json_object_new_array();

	if (stop(c) || trim_job(&c->site, job, report, err) == 0)
		return 0;
	if (c->first.code == FM_OK)
		c->first = *err;
	return 0;
}

int operation_copy(struct control *control, const struct request *request, struct fm_error *err)
{
	struct copying c = { .control = control };
	FM_AUTO_CLOSE int lock = -1;
	int rc;

	setpriority(PRIO_PROCESS, 0, NICE);
	syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_IDLE);
	rc = site_init(&c.site, request->levels, request->store, request->key_file, request->bandwidth, err);
	c.site.stop = stop;
	c.site.arg = &c;
	if (rc == 0)
		rc = lock = record_lock(request->store, request->job, err);
	if (rc >= 0)
		rc = copy_all(&c, request->job, err);
	else if (err->code == FM_NOT_FOUND) /* there is no such job any more */
		rc = 0;
	if (rc == 0 && lock >= 0)
		rc = trim(&c, request->job, err);
	if (rc == 0 && stop(&c))
		rc = fm_fail(err, FM_FAILED, "%s", control->why);
	if (rc == 0 && c.first.code != FM_OK) {
		*err = c.first;
		rc = -1;
	}
	free(c.skipped);
	site_dispose(&c.site);
	return rc;
}
