/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drain.c - see drain.h. */
#include "config.h"

#include "agent/drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* A marker that is missing so long after the order was lost, not late. */
#define LATE_MS 1000
#define LATE_BOUNDS 20

struct drain {
	struct job *job;
	struct fm_snapshot_id id;
	struct drain_calls calls;
	struct event *bound, *settle;
	struct marks marks;
	bool uses_markers;
	bool begun, done, late;
	bool was_bound;
	uint64_t from_ns, done_ns;
	uint64_t last_ns;   /* when the last of the markers came that count */
	uint64_t sealed_ns; /* 0: not yet */
};

static void end(struct drain *d, bool bound)
{
	if (d->done)
		return;
	d->done = true;
	d->was_bound = bound;
	d->done_ns = agent_now_ns();
	event_del(d->bound);
	d->calls.done(d->calls.arg);
}

static void on_bound(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;

	(void)fd, (void)what;
	if (d->uses_markers)
		fm_debug("%s snapshot=%u.%u FlushBound is over, %u markers are missing, the first is member %u's", job_tag(d->job),
			 d->id.job, d->id.n, d->marks.missing, marks_first_missing(&d->marks));
	end(d, true);
}

static void settled(struct drain *d)
{
	event_del(d->settle);
	d->calls.settled(d->calls.arg);
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	settled(arg);
}

static double after_order_ms(const struct drain *d, uint64_t at_ns)
{
	return d->begun && at_ns > d->from_ns ? (double)(at_ns - d->from_ns) / 1e6 : 0;
}

static void come_too_late(struct drain *d, unsigned from, uint64_t at_ns)
{
	struct fm_error why;

	fm_fail(&why, FM_FAILED,
		"the marker of member %u came after %.1f ms, when the held frames had been taken: FlushBound (%lld ms) is "
		"too short for this network: raise it", from, after_order_ms(d, at_ns),
		(long long)d->job->agent->conf.flush_bound_ms);
	if (d->late)
		return;
	d->late = true;
	event_del(d->settle); /* that is the answer */
	d->calls.late(&why, d->calls.arg);
}

static void on_marker(const void *payload, size_t size, uint64_t at_ns, void *arg)
{
	struct drain *d = arg;
	unsigned from;

	/* A look-alike, or one of an earlier snapshot that was given up. */
	if (marks_take(&d->marks, payload, size, &from) != MARKS_NEW)
		return;
	/* the gate says when it was read: what was read before the queues were taken is in them */
	if (d->sealed_ns && at_ns > d->sealed_ns) {
		come_too_late(d, from, at_ns);
		return;
	}
	d->last_ns = at_ns;
	if (d->begun && d->marks.missing == 0)
		end(d, false);
}

static bool markers_wanted(const struct job *job)
{
	const struct fm_conf *conf = &job->agent->conf;

	return strcmp(conf->drain, "markers") == 0 && job->spec.node_count <= conf->marker_members &&
	       gate_marks(job->agent->gates);
}

struct drain *drain_create(struct job *job, const struct fm_snapshot_id *id, const uint8_t key[MARK_KEY],
			   const struct drain_calls *calls, struct fm_error *err)
{
	struct drain *d = calloc(1, sizeof(*d));

	if (d) {
		*d = (struct drain){ .job = job, .id = *id, .calls = *calls, .uses_markers = markers_wanted(job) };
		d->bound = evtimer_new(job->agent->base, on_bound, d);
		d->settle = evtimer_new(job->agent->base, on_settle, d);
	}
	if (!d || !d->bound || !d->settle || marks_init(&d->marks, id->job, id->n, job->rank, job->spec.node_count, key)) {
		fm_fail(err, FM_FAILED, "out of memory");
		if (d && d->bound)
			event_free(d->bound);
		if (d && d->settle)
			event_free(d->settle);
		free(d);
		return NULL;
	}
	if (d->uses_markers && job->gate)
		gate_on_marker(job->gate, on_marker, d);
	return d;
}

void drain_destroy(struct drain *d)
{
	if (!d)
		return;
	if (d->uses_markers && d->job->gate)
		gate_on_marker(d->job->gate, NULL, NULL);
	event_free(d->bound);
	event_free(d->settle);
	marks_dispose(&d->marks);
	free(d);
}

static int mac_of(const struct job *job, unsigned rank, uint8_t mac_r[6])
{
	struct json_object *nodes = json_object_object_get(job->identity, "nodes"), *node;
	const char *text;

	node = json_object_is_type(nodes, json_type_array) ? json_object_array_get_idx(nodes, rank) : NULL;
	text = node ? fm_json_string_or(node, "mac", "") : "";
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac_r[0], &mac_r[1], &mac_r[2], &mac_r[3], &mac_r[4],
		      &mac_r[5]) == 6 ? 0 : -1;
}

/* One that cannot be sent is one that its peer will miss: it goes by the bound, and says so. */
static void send_markers(struct drain *d)
{
	uint8_t mark[MARK_SIZE], from[6], to[6];
	struct fm_error err;

	if (mac_of(d->job, d->job->rank, from))
		return;
	for (unsigned rank = 0; rank < d->marks.members; rank++) {
		if (rank == d->marks.rank || mac_of(d->job, rank, to) || marks_make(&d->marks, rank, mark))
			continue;
		if (gate_send_marker(d->job->gate, from, to, mark, sizeof(mark), &err))
			fm_warning("%s snapshot=%u.%u to member %u: %s", job_tag(d->job), d->id.job, d->id.n, rank, err.text);
	}
}

void drain_begin(struct drain *d)
{
	int64_t ms = d->job->agent->conf.flush_bound_ms;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	d->begun = true;
	d->from_ns = agent_now_ns();
	if (d->uses_markers)
		send_markers(d);
	if (d->uses_markers && d->marks.missing == 0)
		end(d, false);
	else if (ms > 0)
		event_add(d->bound, &tv);
	else
		end(d, true);
}

void drain_seal(struct drain *d)
{
	d->sealed_ns = agent_now_ns();
}

void drain_settle(struct drain *d)
{
	int64_t ms = d->job->agent->conf.flush_bound_ms * LATE_BOUNDS, left;
	struct timeval tv;

	ms = ms > LATE_MS ? ms : LATE_MS;
	ms = ms < d->job->agent->conf.round_timeout_ms / 2 ? ms : d->job->agent->conf.round_timeout_ms / 2;
	left = ms - (int64_t)((agent_now_ns() - d->from_ns) / 1000000u);
	if (!d->uses_markers || d->marks.missing == 0 || left <= 0) {
		settled(d);
		return;
	}
	tv = (struct timeval){ left / 1000, left % 1000 * 1000 };
	event_add(d->settle, &tv);
}

uint32_t drain_took_us(const struct drain *d)
{
	return (uint32_t)((d->done_ns - d->from_ns) / 1000);
}

bool drain_was_bound(const struct drain *d)
{
	return d->was_bound;
}

void drain_describe(const struct drain *d, struct json_object *entry)
{
	bool all = d->uses_markers && d->marks.missing == 0 && !d->late;

	fm_json_set_string(entry, "drain", all ? "markers" : "bound");
	if (!d->uses_markers)
		return;
	if (d->marks.members > 1 && d->last_ns)
		fm_json_set_double(entry, "marker_ms", after_order_ms(d, d->last_ns));
	else if (d->marks.members == 1)
		fm_json_set_double(entry, "marker_ms", 0);
	if (d->marks.missing) {
		fm_json_set_int(entry, "markers_missing", d->marks.missing);
		fm_json_set_int(entry, "marker_missing", marks_first_missing(&d->marks));
	}
}
