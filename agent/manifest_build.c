/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manifest_build.c - see manifest_build.h. */
#include "config.h"

#include "agent/manifest_build.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct json_object *job_part(const struct job *job)
{
	struct json_object *o = spec_to_json(&job->spec);

	json_object_object_del(o, "restart_count");
	json_object_object_del(o, "restart_from");
	fm_json_set_string(o, "home", job->home ? job->home : "/");
	return o;
}

static struct json_object *cut_part(const struct manifest_facts *f)
{
	const struct fm_conf *conf = &f->job->agent->conf;
	struct json_object *o = json_object_new_object();
	int64_t first = f->suspended_ns[0], last = first;
	double stop = 0;

	for (unsigned i = 0; i < f->job->spec.node_count; i++) {
		double ms = json_object_get_double(json_object_object_get(f->members[i], "stop_ms"));

		stop = ms > stop ? ms : stop;
		first = f->suspended_ns[i] < first ? f->suspended_ns[i] : first;
		last = f->suspended_ns[i] > last ? f->suspended_ns[i] : last;
	}
	fm_json_set_double(o, "stop_ms", stop);
	fm_json_set_double(o, "skew_ms", (double)(last - first) / 1e6);
	fm_json_set_double(o, "create_ms", f->create_ms);
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

static struct json_object *notes(const struct manifest_facts *f)
{
	struct json_object *array = json_object_new_array();

	if (strcmp(f->job->agent->conf.gate, "none") == 0)
		json_object_array_add(array, json_object_new_string(
			"Gate=none: the network was not held; messages under way at the cut may be lost or doubled"));
	for (unsigned i = 0; i < f->job->spec.node_count; i++)
		member_notes(array, i, f->members[i]);
	return array;
}

struct json_object *manifest_build(const struct manifest_facts *f)
{
	struct json_object *o = json_object_new_object(), *members = json_object_new_array();
	time_t now = time(NULL);
	struct tm tm;
	char text[32];

	fm_json_set_int(o, "version", 1);
	fm_snapshot_id_format(f->id, text);
	fm_json_set_string(o, "snapshot", text);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fm_json_set_string(o, "created", text);
	fm_json_set_string(o, "comment", f->comment);
	json_object_object_add(o, "job", job_part(f->job));
	json_object_object_add(o, "guest", json_object_get(f->job->identity));
	for (unsigned i = 0; i < f->job->spec.node_count; i++)
		json_object_array_add(members, f->members[i] ? json_object_get(f->members[i]) : NULL);
	json_object_object_add(o, "members", members);
	json_object_object_add(o, "cut", cut_part(f));
	json_object_object_add(o, "notes", notes(f));
	return o;
}
