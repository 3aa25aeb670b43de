/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec.c - see spec.h. */
#include "config.h"

#include "agent/spec.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_ 1024
#define INTERVAL_MAX_S (366 * 86400LL)
#define AGE_MAX_S (100 * 365 * 86400LL)

/* One line of text, without control characters: it goes to logs and manifests. */
static int take_name(struct json_object *o, const char *key, bool needed, char **name_r, struct fm_error *err)
{
	const char *value = "";

	if ((needed || json_object_object_get(o, key)) && fm_json_string(o, key, &value, err))
		return -1;
	if (needed && !*value)
		return fm_fail(err, FM_USAGE, "\"%s\" is empty", key);
	if (strlen(value) > NAME_MAX_)
		return fm_fail(err, FM_USAGE, "\"%s\" is longer than %d bytes", key, NAME_MAX_);
	for (const unsigned char *c = (const unsigned char *)value; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			return fm_fail(err, FM_USAGE, "\"%s\" has control characters", key);
	*name_r = strdup(value);
	return *name_r ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

static int take_node(struct spec *spec, struct json_object *item, struct fm_error *err)
{
	const char *name = json_object_get_string(item);

	if (!json_object_is_type(item, json_type_string) || !*name || strlen(name) > 255 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != strlen(name))
		return fm_fail(err, FM_USAGE, "\"nodes\": \"%.64s\" is no host's name", name ? name : "null");
	if (spec_rank(spec, name) >= 0)
		return fm_fail(err, FM_USAGE, "\"nodes\" names %s twice", name);
	spec->nodes[spec->node_count] = strdup(name);
	if (!spec->nodes[spec->node_count])
		return fm_fail(err, FM_FAILED, "out of memory");
	spec->node_count++;
	return 0;
}

static int take_nodes(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	struct json_object *array;
	size_t count;

	if (fm_json_array(o, "nodes", SPEC_NODES_MAX, &array, err))
		return -1;
	count = json_object_array_length(array);
	if (!count)
		return fm_fail(err, FM_USAGE, "\"nodes\" is empty");
	spec->nodes = calloc(count, sizeof(*spec->nodes));
	if (!spec->nodes)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++)
		if (take_node(spec, json_object_array_get_idx(array, i), err))
			return -1;
	return 0;
}

static int take_gids(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	struct json_object *array;
	size_t count;

	if (!json_object_object_get(o, "gids"))
		return 0;
	if (fm_json_array(o, "gids", SPEC_GIDS_MAX, &array, err))
		return -1;
	count = json_object_array_length(array);
	spec->gids = calloc(count + 1, sizeof(*spec->gids));
	if (!spec->gids)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		int64_t gid = json_object_get_int64(item);

		if (!json_object_is_type(item, json_type_int) || gid < 0 || gid > UINT32_MAX - 1)
			return fm_fail(err, FM_USAGE, "\"gids\" holds something that is no group id");
		spec->gids[spec->gid_count++] = (gid_t)gid;
	}
	return 0;
}

static int take_number(struct json_object *o, const char *key, int64_t max, int64_t otherwise,
		       int64_t *value_r, struct fm_error *err)
{
	*value_r = otherwise;
	return json_object_object_get(o, key) ? fm_json_int(o, key, 0, max, value_r, err) : 0;
}

static int take_numbers(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	int64_t job, uid, gid, memory, vcpus, restarts, keep;

	if (fm_json_int(o, "job", 1, UINT32_MAX, &job, err) ||
	    fm_json_int(o, "uid", 0, UINT32_MAX - 1, &uid, err) ||
	    fm_json_int(o, "gid", 0, UINT32_MAX - 1, &gid, err) ||
	    take_number(o, "memory_mib", 16 << 20, 0, &memory, err) ||
	    take_number(o, "vcpus", 4096, 1, &vcpus, err) ||
	    take_number(o, "restart_count", INT32_MAX, 0, &restarts, err) ||
	    take_number(o, "interval_s", INTERVAL_MAX_S, 0, &spec->interval_s, err) ||
	    take_number(o, "keep", 1000000, 0, &keep, err) ||
	    take_number(o, "max_age_s", AGE_MAX_S, 0, &spec->max_age_s, err))
		return -1;
	spec->job = (uint32_t)job;
	spec->uid = (uid_t)uid;
	spec->gid = (gid_t)gid;
	spec->memory_mib = (unsigned)memory;
	spec->vcpus = vcpus ? (unsigned)vcpus : 1;
	spec->restart_count = (unsigned)restarts;
	spec->keep = (unsigned)keep;
	return 0;
}

static int take_restart(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	const char *from = fm_json_string_or(o, "restart_from", "");

	if (json_object_object_get(o, "deferred") && fm_json_bool(o, "deferred", &spec->deferred, err))
		return -1;
	spec->restart = *from != '\0';
	return spec->restart ? fm_snapshot_id_parse(from, &spec->restart_from, err) : 0;
}

static int take_script(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	const char *script;

	if (!json_object_object_get(o, "script"))
		return 0;
	if (fm_json_string(o, "script", &script, err))
		return -1;
	if (strlen(script) > SPEC_SCRIPT_MAX)
		return fm_fail(err, FM_USAGE, "\"script\" is larger than %u bytes", SPEC_SCRIPT_MAX);
	spec->script = strdup(script);
	return spec->script ? 0 : fm_fail(err, FM_FAILED, "out of memory");
}

int spec_parse(struct spec *spec, struct json_object *o, struct fm_error *err)
{
	*spec = (struct spec){ 0 };
	if (!o)
		return fm_fail(err, FM_USAGE, "a job's spec is needed as the body");
	if (take_numbers(spec, o, err) || take_name(o, "scheduler", true, &spec->scheduler, err) ||
	    take_name(o, "user", true, &spec->user, err) || take_name(o, "name", false, &spec->name, err) ||
	    take_name(o, "image", false, &spec->image, err) || take_nodes(spec, o, err) ||
	    take_gids(spec, o, err) || take_restart(spec, o, err) || take_script(spec, o, err))
		return fm_context(err, "job spec");
	return 0;
}

struct json_object *spec_to_json(const struct spec *spec)
{
	struct json_object *o = json_object_new_object();
	struct json_object *nodes = json_object_new_array(), *gids = json_object_new_array();
	char from[24] = "";

	fm_json_set_string(o, "scheduler", spec->scheduler);
	fm_json_set_int(o, "job", spec->job);
	fm_json_set_string(o, "name", spec->name);
	fm_json_set_int(o, "uid", spec->uid);
	fm_json_set_int(o, "gid", spec->gid);
	for (size_t i = 0; i < spec->gid_count; i++)
		json_object_array_add(gids, json_object_new_int64(spec->gids[i]));
	json_object_object_add(o, "gids", gids);
	fm_json_set_string(o, "user", spec->user);
	for (unsigned i = 0; i < spec->node_count; i++)
		json_object_array_add(nodes, json_object_new_string(spec->nodes[i]));
	json_object_object_add(o, "nodes", nodes);
	fm_json_set_string(o, "image", spec->image);
	fm_json_set_int(o, "memory_mib", spec->memory_mib);
	fm_json_set_int(o, "vcpus", spec->vcpus);
	fm_json_set_int(o, "restart_count", spec->restart_count);
	if (spec->restart)
		fm_snapshot_id_format(&spec->restart_from, from);
	fm_json_set_string(o, "restart_from", from);
	if (spec->deferred)
		fm_json_set_bool(o, "deferred", true);
	fm_json_set_int(o, "interval_s", spec->interval_s);
	fm_json_set_int(o, "keep", spec->keep);
	fm_json_set_int(o, "max_age_s", spec->max_age_s);
	return o;
}

void spec_dispose(struct spec *spec)
{
	for (unsigned i = 0; i < spec->node_count; i++)
		free(spec->nodes[i]);
	free(spec->nodes);
	free(spec->gids);
	free(spec->scheduler);
	free(spec->name);
	free(spec->user);
	free(spec->image);
	free(spec->script);
	*spec = (struct spec){ 0 };
}

long spec_rank(const struct spec *spec, const char *node)
{
	for (unsigned i = 0; i < spec->node_count; i++)
		if (strcmp(spec->nodes[i], node) == 0)
			return (long)i;
	return -1;
}
