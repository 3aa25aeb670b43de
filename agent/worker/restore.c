/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore.c - a domain out of a stored stream.  "restored" is said only when
 * every byte of the stream was read and its hash is right; else the domain is
 * gone before the error is told.
 */
#include "config.h"

#include <stdio.h>

#include "agent/store/access.h"
#include "agent/store/stream.h"
#include "agent/worker/feed.h"
#include "agent/worker/operations.h"
#include "common/log.h"

struct restore {
	struct worker *worker;
	struct store_access access;
	struct stream_reader *reader;
};

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
	r->reader = stream_reader_open(&(struct stream_place){ q->map, r->access.pages, q->job, r->access.key, r->access.also }, &expected, err);
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
	result = w->ops->restore(w->hv, &w->request->domain, feed_fd(feed), info_r, err);
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

int operation_restore(struct worker *w, struct fm_error *err)
{
	struct restore r = { .worker = w };
	struct domain_info info;
	int result = open_stream(&r, err);

	if (result == 0)
		result = build(&r, &info, err);
	stream_reader_close(r.reader);
	store_access_close(&r.access);
	if (result < 0)
		return fm_context(err, "cannot restore domain %s", w->request->domain.name);
	return operation_hold_new(w, "restored", &info, true, err);
}
