/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manifest_build.c - see manifest_build.h. */
#include "config.h"

#include "agent/manifest_build.h"

#include <stdio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

static struct json_object *job_part(const struct job *job)
{
	struct json_object *o = spec_to_json(&job->spec);

	json_object_object_del(o, "restart_count");
	json_object_object_del(o, "restart_from");
	json_object_object_del(o, "deferred");
	fm_json_set_string(o, "home", job->home ? job->home : "/");
	return o;
}

/* What its memory and its disks have taken in the store. */
static uint64_t bytes_of(struct json_object *member)
{
	struct json_object *disks = json_object_object_get(member, "disks");
	size_t count = json_object_is_type(disks, json_type_array) ? json_object_array_length(disks) : 0;
	int64_t bytes = fm_json_int_or(json_object_object_get(member, "map"), "stored_bytes", 0);

	for (size_t i = 0; i < count; i++)
		bytes += fm_json_int_or(json_object_array_get_idx(disks, i), "stored_bytes", 0);
	return (uint64_t)bytes;
}

/* In rank's order, however they came up the tree. */
static struct json_object *members_part(struct manifest_facts *f, struct fm_error *err)
{
	FM_AUTO_FREE char *text = fm_format("{\"members\":[%.*s]}", (int)f->entries_size, f->entries ? f->entries : "");
	FM_AUTO_JSON struct json_object *parsed = text ? fm_json_parse(text, strlen(text), err) : NULL;
	struct json_object *list, *o = json_object_new_array();
	unsigned count = f->job->spec.node_count;
	size_t n;

	if (!parsed || fm_json_array(parsed, "members", count, &list, err))
		goto bad;
	n = json_object_array_length(list);
	for (size_t i = 0; i < n; i++) {
		struct json_object *member = json_object_array_get_idx(list, i);
		int64_t rank;

		if (fm_json_int(member, "rank", 0, count - 1, &rank, err))
			goto bad;
		if (json_object_array_get_idx(o, (size_t)rank)) {
			fm_fail(err, FM_FAILED, "member %d has two entries", (int)rank);
			goto bad;
		}
		json_object_array_put_idx(o, (size_t)rank, json_object_get(member));
		f->bytes += bytes_of(member);
	}
	if (n == count)
		return o;
	fm_fail(err, FM_FAILED, "%zu members of %u have an entry", n, count);
bad:
	fm_context(err, "the members' entries");
	json_object_put(o);
	return NULL;
}

/* By markers is what all members' were; the longest time of one. */
static void drain_part(struct json_object *cut, struct json_object *members)
{
	bool markers = true, timed = false;
	double longest = 0;

	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *member = json_object_array_get_idx(members, i), *ms = NULL;

		markers = markers && strcmp(fm_json_string_or(member, "drain", "bound"), "markers") == 0;
		if (!json_object_object_get_ex(member, "marker_ms", &ms))
			continue;
		timed = true;
		if (json_object_get_double(ms) > longest)
			longest = json_object_get_double(ms);
	}
	fm_json_set_string(cut, "drain", markers ? "markers" : "bound");
	if (timed)
		fm_json_set_double(cut, "marker_ms_max", longest);
}

static struct json_object *cut_part(const struct manifest_facts *f, struct json_object *members)
{
	const struct fm_conf *conf = &f->job->agent->conf;
	struct json_object *o = json_object_new_object(), *rounds = json_object_new_object();
	double stop = 0;

	for (unsigned i = 0; i < f->job->spec.node_count; i++) {
		struct json_object *member = json_object_array_get_idx(members, i);
		double ms = json_object_get_double(json_object_object_get(member, "stop_ms"));

		stop = ms > stop ? ms : stop;
	}
	fm_json_set_double(o, "stop_ms", stop);
	fm_json_set_double(o, "skew_ms", (double)(f->last_ns - f->first_ns) / 1e6);
	fm_json_set_double(o, "create_ms", f->create_ms);
	for (int i = CUT_ARM; i <= CUT_COMMIT; i++)
		fm_json_set_double(rounds, cut_round_name((enum cut_round)i), f->round_ms[i]);
	json_object_object_add(o, "rounds_ms", rounds);
	fm_json_set_int(o, "arity", conf->tree_arity);
	drain_part(o, members);
	fm_json_set_int(o, "flush_bound_ms", conf->flush_bound_ms);
	fm_json_set_string(o, "gate", conf->gate);
	return o;
}

/* What is less than it should be with one member: "key" is not so. */
static void member_notes(struct json_object *array, unsigned rank, struct json_object *member)
{
	static const struct {
		const char *key, *text;
	} notes[] = {
		{ "live", "stood still while it was copied: a PV guest cannot run meanwhile" },
		{ "frozen", "was not frozen by its runner: what its processes send in a restore before the network is "
			    "connected is lost" },
		{ "quiet", "may have had frames under way between itself and its network device: a restore may lose some" },
	};
	char text[192];

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		if (fm_json_bool_or(member, notes[i].key, true))
			continue;
		snprintf(text, sizeof(text), "member %u %s", rank, notes[i].text);
		json_object_array_add(array, json_object_new_string(text));
	}
}

static void note(struct json_object *array, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct json_object *array, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_array_add(array, json_object_new_string(text));
}

/* How the network was known to be empty, where that is less than by all markers within FlushBound. */
static void drain_notes(struct json_object *array, const struct manifest_facts *f, struct json_object *members)
{
	const struct fm_conf *conf = &f->job->agent->conf;

	if (strcmp(conf->drain, "markers") == 0 && f->job->spec.node_count > conf->marker_members)
		note(array, "more than %u members (MarkerMembers): the network was drained by FlushBound (%lld ms) alone",
		     conf->marker_members, (long long)conf->flush_bound_ms);
	for (unsigned i = 0; i < f->job->spec.node_count; i++) {
		struct json_object *member = json_object_array_get_idx(members, i);
		int64_t missing = fm_json_int_or(member, "markers_missing", 0);
		double ms = json_object_get_double(json_object_object_get(member, "marker_ms"));

		if (missing)
			note(array, "member %u had not heard from member %lld's marker%s by its cut: it relied on FlushBound (%lld ms)",
			     i, (long long)fm_json_int_or(member, "marker_missing", 0), missing > 1 ? ", nor others'," : "",
			     (long long)conf->flush_bound_ms);
		else if (ms > (double)conf->flush_bound_ms)
			note(array, "member %u had the last marker after %.1f ms, FlushBound is %lld ms: it was in time for the cut, but "
			     "raise it", i, ms, (long long)conf->flush_bound_ms);
	}
}

static struct json_object *notes(const struct manifest_facts *f, struct json_object *members)
{
	struct json_object *array = json_object_new_array();

	if (strcmp(f->job->agent->conf.gate, "none") == 0)
		json_object_array_add(array, json_object_new_string(
			"Gate=none: the network was not held; messages under way at the cut may be lost or doubled"));
	else
		drain_notes(array, f, members);
	for (unsigned i = 0; i < f->job->spec.node_count; i++)
		member_notes(array, i, json_object_array_get_idx(members, i));
	return array;
}

static bool have_disks(struct json_object *members)
{
	for (size_t i = 0; i < json_object_array_length(members); i++)
		if (json_object_object_get(json_object_array_get_idx(members, i), "disks"))
			return true;
	return false;
}

struct json_object *manifest_build(struct manifest_facts *f, struct fm_error *err)
{
	struct json_object *o, *members = members_part(f, err);
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	if (!members)
		return NULL;
	o = json_object_new_object();
	fm_json_set_int(o, "version", have_disks(members) ? MANIFEST_VERSION_DISKS : MANIFEST_VERSION);
	fm_snapshot_id_format(f->id, text);
	fm_json_set_string(o, "snapshot", text);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fm_json_set_string(o, "created", text);
	fm_json_set_string(o, "comment", f->comment);
	json_object_object_add(o, "job", job_part(f->job));
	json_object_object_add(o, "guest", json_object_get(f->job->identity));
	json_object_object_add(o, "members", members);
	json_object_object_add(o, "cut", cut_part(f, members));
	json_object_object_add(o, "notes", notes(f, members));
	return o;
}
