/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore.c - a domain out of a stored stream.  "restored" is said only when
 * every byte of the stream was read and its hash is right; else the domain is
 * gone before the error is told.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/access.h"
#include "agent/store/copies/fetch.h"
#include "agent/store/stream.h"
#include "agent/worker/feed.h"
#include "agent/worker/operations.h"
#include "common/cleanup.h"
#include "common/log.h"

struct restore {
	struct worker *worker;
	struct domain_spec spec;
	struct store_access access;
	struct stream_reader *reader;
	struct fetched fetched; /* from levels */
	char from[40];          /* the farthest of them, or "store" */
	int64_t tell_ms;        /* when the agent is to hear that something moves */
};

#define ATTEMPTS 3 /* each after something was repaired */
#define TELL_MS 1000

static long source_read(void *data, void *bytes, size_t size, struct fm_error *err)
{
	struct restore *r = data;

	return stream_read(r->reader, bytes, size, err);
}

static int source_verify(void *data, struct fm_error *err)
{
	struct restore *r = data;

	return stream_reader_finish(r->reader, err);
}

static bool source_stop(void *data)
{
	struct restore *r = data;

	return control_ended(r->worker->control);
}

static int open_stream(struct restore *r, struct fm_error *err)
{
	const struct request *q = r->worker->request;
	struct store_file expected = { .raw_bytes = q->raw_bytes };

	snprintf(expected.sha256, sizeof(expected.sha256), "%s", q->sha256);
	if (store_access_local(&r->access, q->folder, q->job, q->local, q->key_file, false, err) < 0)
		return -1;
	r->reader = stream_reader_open(&(struct stream_place){ q->map, r->access.pages, q->job, r->access.key, r->access.also },
				       &expected, err);
	return r->reader ? 0 : -1;
}

static void remove_domain(struct worker *w)
{
	struct fm_error err;
	bool existed;

	if (w->ops->destroy(w->hv, w->request->domain.name, &existed, &err) < 0)
		fm_err("domain=%s left behind by a failed restore: %s", w->request->domain.name, err.text);
}

static int build(struct restore *r, struct domain_info *info_r, struct fm_error *err)
{
	const struct feed_source source = { source_read, source_verify, source_stop, r };
	struct worker *w = r->worker;
	struct fm_error stream_err;
	struct feed *feed = feed_start(&source, err);
	int result;

	if (!feed)
		return -1;
	result = w->ops->restore(w->hv, &r->spec, feed_fd(feed), info_r, err);
	/* Refused before the stream mattered: no need to read all of it. */
	if (result < 0 && (err->code == FM_INCOMPATIBLE || err->code == FM_BUSY)) {
		feed_destroy(feed);
		return -1;
	}
	if (feed_finish(feed, result == 0, &stream_err) < 0) {
		if (result == 0)
			remove_domain(w);
		*err = stream_err;
		result = -1;
	}
	feed_destroy(feed);
	return result;
}

static void close_stream(struct restore *r)
{
	stream_reader_close(r->reader);
	r->reader = NULL;
	store_access_close(&r->access);
}

static int attempt(struct restore *r, struct domain_info *info_r, struct fm_error *err)
{
	struct worker *w = r->worker;
	int result = open_stream(r, err);

	/* The disks are whole before there is a domain. */
	if (result == 0)
		result = worker_disks_restore(w->disks, &r->access, &r->spec, err);
	if (result == 0 && (result = build(r, info_r, err)) < 0 && worker_disks_count(w->disks) > 0)
		worker_disks_remove(w->disks);
	close_stream(r);
	return result;
}

/* ---- what StoreDir has lost, from the levels behind it ------------------------------------------------- */

static bool fetch_stop(void *arg)
{
	struct restore *r = arg;

	return control_ended(r->worker->control);
}

static void fetch_moved(void *arg)
{
	struct restore *r = arg;
	struct json_object *fields;

	if (control_now_ms() < r->tell_ms)
		return;
	r->tell_ms = control_now_ms() + TELL_MS;
	fields = json_object_new_object();
	fm_json_set_int(fields, "files", r->fetched.files);
	fm_json_set_int(fields, "bytes", (int64_t)r->fetched.bytes);
	control_event(r->worker->control, "fetching", fields);
}

/* "<folder>/<n>/member-<rank>.map" */
static int place_of(const struct request *q, struct fm_snapshot_id *id_r, unsigned *rank_r, struct fm_error *err)
{
	size_t size = strlen(q->folder);
	int end = 0;

	*id_r = (struct fm_snapshot_id){ .job = q->job };
	if (strncmp(q->map, q->folder, size) ||
	    sscanf(q->map + size, "/%" SCNu32 "/member-%u.map%n", &id_r->n, rank_r, &end) != 2 || q->map[size + (size_t)end])
		return fm_fail(err, FM_USAGE, "%s is not the map of a snapshot in %s", q->map, q->folder);
	return 0;
}

/* 1: something was put right, try again; 0: there was nothing to put right; -1. */
static int repair(struct restore *r, struct fm_error *err)
{
	const struct request *q = r->worker->request;
	const char *slash = strrchr(q->folder, '/');
	FM_AUTO_FREE char *store = slash ? strndup(q->folder, (size_t)(slash - q->folder)) : NULL;
	unsigned rank, files = r->fetched.files;
	struct fm_snapshot_id id;
	struct site site;
	int result;

	if (!store)
		return fm_fail(err, FM_USAGE, "%s is no folder of a job", q->folder);
	result = site_init(&site, q->levels, store, q->key_file, 0, err);
	site.stop = fetch_stop;
	site.moved = fetch_moved;
	site.arg = r;
	if (result == 0)
		result = place_of(q, &id, &rank, err);
	if (result == 0)
		result = fetch_member(&site, &id, rank, &r->fetched, err);
	if (site.count)
		snprintf(r->from, sizeof(r->from), "%s", fetched_from(&site, &r->fetched));
	site_dispose(&site);
	return result < 0 ? -1 : r->fetched.files > files;
}

/* Damage that another level can make good is made good; the error that stays has both. */
static int attempt_all(struct restore *r, struct domain_info *info_r, struct fm_error *err)
{
	const struct request *q = r->worker->request;
	struct fm_error why;
	int result = attempt(r, info_r, err);

	for (int i = 1; result < 0 && i < ATTEMPTS && q->levels && (err->code == FM_CORRUPT || err->code == FM_DENIED); i++) {
		int repaired;

		fm_warning("%s: looking for it on other levels", err->text);
		repaired = repair(r, &why);
		if (repaired < 0)
			return fm_fail(err, err->code, "%.380s; %.380s", err->text, why.text);
		if (repaired == 0 && i > 1) /* once: another member may have repaired it */
			break;
		result = attempt(r, info_r, err);
	}
	return result;
}

int operation_restore(struct worker *w, struct fm_error *err)
{
	struct restore r = { .worker = w, .from = LEVEL_SPEC_STORE, .spec = w->request->domain };
	struct domain_info info;
	struct json_object *more;

	if (attempt_all(&r, &info, err) < 0)
		return fm_context(err, "cannot restore domain %s", w->request->domain.name);
	more = json_object_new_object();
	fm_json_set_string(more, "level", r.from);
	fm_json_set_int(more, "fetched_files", r.fetched.files);
	fm_json_set_int(more, "fetched_bytes", (int64_t)r.fetched.bytes);
	return operation_hold_new(w, "restored", &info, more, err);
}
