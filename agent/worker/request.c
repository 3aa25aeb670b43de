/* SPDX-License-Identifier: GPL-2.0-or-later */
/* request.c - see request.h. */
#include "config.h"

#include "agent/worker/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIB_MAX (64 << 20)
#define TIME_MS_MAX 86400000
#define LEVELS_MAX 64

static int parse_op(struct request *r, struct json_object *root, struct fm_error *err)
{
	static const char *const names[] = {
		[OP_CREATE] = "create",
		[OP_SAVE] = "save",
		[OP_RESTORE] = "restore",
		[OP_DESTROY] = "destroy",
		[OP_RESUME] = "resume",
		[OP_LIST] = "list",
		[OP_WATCH] = "watch",
		[OP_COPY] = "copy",
		[OP_SWEEP_DISKS] = "sweep_disks",
	};
	const char *op;

	if (fm_json_string(root, "op", &op, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i], op) == 0) {
			r->op = (enum request_op)i;
			return 0;
		}
	return fm_fail(err, FM_USAGE, "unknown op \"%.32s\"", op);
}

static int absolute(struct json_object *root, const char *key, const char **path_r, struct fm_error *err)
{
	if (fm_json_string(root, key, path_r, err) < 0)
		return -1;
	return **path_r == '/' ? 0 : fm_fail(err, FM_USAGE, "\"%s\" is not an absolute path", key);
}

static int parse_disks(struct domain_spec *d, struct json_object *root, struct fm_error *err)
{
	struct json_object *array;

	if (!json_object_object_get(root, "disks"))
		return 0;
	if (fm_json_array(root, "disks", DOMAIN_DISKS_MAX, &array, err) < 0)
		return -1;
	d->disk_count = (unsigned)json_object_array_length(array);
	for (unsigned i = 0; i < d->disk_count; i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		if (!json_object_is_type(o, json_type_object))
			return fm_fail(err, FM_USAGE, "\"disks\" holds something else than objects");
		if (absolute(o, "path", &d->disks[i].path, err) < 0 ||
		    fm_json_string(o, "vdev", &d->disks[i].vdev, err) < 0)
			return fm_context(err, "disk %u", i);
		d->disks[i].readonly = fm_json_bool_or(o, "readonly", false);
	}
	return 0;
}

static int parse_sha256(struct json_object *o, const char **sha256_r, struct fm_error *err)
{
	if (fm_json_string(o, "sha256", sha256_r, err) < 0)
		return -1;
	if (strlen(*sha256_r) != 64 || strspn(*sha256_r, "0123456789abcdef") != 64)
		return fm_fail(err, FM_USAGE, "\"sha256\" is not 64 hexadecimal digits");
	return 0;
}

/* A restore's: where their content is. */
static int parse_saved_disks(struct request *r, struct json_object *root, struct fm_error *err)
{
	struct json_object *array;
	int64_t raw_bytes, size;

	if (!json_object_object_get(root, "disks"))
		return 0;
	if (fm_json_array(root, "disks", DOMAIN_DISKS_MAX, &array, err) < 0)
		return -1;
	for (; r->disk_count < json_object_array_length(array); r->disk_count++) {
		struct json_object *o = json_object_array_get_idx(array, r->disk_count);
		struct request_disk *d = &r->disks[r->disk_count];

		if (!json_object_is_type(o, json_type_object))
			return fm_fail(err, FM_USAGE, "\"disks\" holds something else than objects");
		if (fm_json_string(o, "vdev", &d->vdev, err) < 0 || absolute(o, "map", &d->map, err) < 0 ||
		    parse_sha256(o, &d->sha256, err) < 0 ||
		    fm_json_int(o, "raw_bytes", 0, INT64_MAX, &raw_bytes, err) < 0 ||
		    fm_json_int(o, "size", 1, INT64_MAX, &size, err) < 0)
			return fm_context(err, "disk %u", r->disk_count);
		d->raw_bytes = (uint64_t)raw_bytes;
		d->size = (uint64_t)size;
	}
	return 0;
}

static int parse_vifs(struct request *r, struct json_object *root, struct fm_error *err)
{
	struct domain_spec *d = &r->domain;
	struct json_object *array;

	if (!json_object_object_get(root, "vifs"))
		return 0;
	if (fm_json_array(root, "vifs", DOMAIN_VIFS_MAX, &array, err) < 0)
		return -1;
	d->vif_count = (unsigned)json_object_array_length(array);
	for (unsigned i = 0; i < d->vif_count; i++) {
		struct json_object *o = json_object_array_get_idx(array, i);
		unsigned char b[6];
		char rest;

		if (!json_object_is_type(o, json_type_object))
			return fm_fail(err, FM_USAGE, "\"vifs\" holds something else than objects");
		d->vifs[i].mac = fm_json_string_or(o, "mac", NULL);
		d->vifs[i].bridge = fm_json_string_or(o, "bridge", NULL);
		if (!d->vifs[i].mac && r->op == OP_CREATE)
			return fm_fail(err, FM_USAGE, "vif %u: \"mac\" is missing", i);
		if (d->vifs[i].mac && sscanf(d->vifs[i].mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &b[0],
					     &b[1], &b[2], &b[3], &b[4], &b[5], &rest) != 6)
			return fm_fail(err, FM_USAGE, "vif %u: bad MAC \"%.32s\"", i, d->vifs[i].mac);
		if (d->vifs[i].bridge && strlen(d->vifs[i].bridge) >= DOMAIN_PORT_SIZE)
			return fm_fail(err, FM_USAGE, "vif %u: bad bridge \"%.32s\"", i, d->vifs[i].bridge);
	}
	return 0;
}

static int parse_params(struct domain_spec *d, struct json_object *root, struct fm_error *err)
{
	struct json_object *params = json_object_object_get(root, "params");

	if (!params)
		return 0;
	if (!json_object_is_type(params, json_type_object))
		return fm_fail(err, FM_USAGE, "\"params\" is not an object");
	json_object_object_foreach(params, key, value) {
		if (d->param_count == DOMAIN_PARAMS_MAX)
			return fm_fail(err, FM_USAGE, "more than %d params", DOMAIN_PARAMS_MAX);
		if (!*key || strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(key))
			return fm_fail(err, FM_USAGE, "bad name of a param \"%.32s\"", key);
		d->params[d->param_count].key = key;
		d->params[d->param_count++].value =
			json_object_is_type(value, json_type_string) ? json_object_get_string(value) :
								       fm_json_text(value);
	}
	return 0;
}

static int parse_create(struct request *r, struct json_object *root, struct fm_error *err)
{
	struct domain_spec *d = &r->domain;
	const char *type = fm_json_string_or(root, "type", "pvh");
	int64_t memory_mib, vcpus;

	if (strcmp(type, "pvh") && strcmp(type, "pv"))
		return fm_fail(err, FM_USAGE, "unknown type of guest \"%.32s\"", type);
	d->type = strcmp(type, "pv") ? DOMAIN_PVH : DOMAIN_PV;
	if (absolute(root, "kernel", &d->kernel, err) < 0 ||
	    fm_json_int(root, "memory_mib", 1, MEMORY_MIB_MAX, &memory_mib, err) < 0 ||
	    fm_json_int(root, "vcpus", 1, 512, &vcpus, err) < 0 || parse_disks(d, root, err) < 0)
		return -1;
	d->memory_mib = (unsigned)memory_mib;
	d->vcpus = (unsigned)vcpus;
	d->cmdline = fm_json_string_or(root, "cmdline", NULL);
	if (fm_json_string_or(root, "initramfs", NULL) && absolute(root, "initramfs", &d->initramfs, err) < 0)
		return -1;
	return 0;
}

/* Lines that site.h understands; the strings are root's. */
static int parse_levels(struct request *r, struct json_object *root, struct fm_error *err)
{
	struct json_object *array;

	if (!json_object_object_get(root, "levels"))
		return 0;
	if (fm_json_array(root, "levels", LEVELS_MAX, &array, err) < 0)
		return -1;
	r->levels = calloc(json_object_array_length(array) + 1, sizeof(*r->levels));
	if (!r->levels)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		if (!json_object_is_type(o, json_type_string))
			return fm_fail(err, FM_USAGE, "\"levels\" holds something else than strings");
		r->levels[i] = (char *)(uintptr_t)json_object_get_string(o);
	}
	return 0;
}

static int parse_copy(struct request *r, struct json_object *root, struct fm_error *err)
{
	int64_t job, bandwidth = 0;

	if (absolute(root, "store", &r->store, err) < 0 || fm_json_int(root, "job", 1, UINT32_MAX, &job, err) < 0 ||
	    parse_levels(r, root, err) < 0)
		return -1;
	if (json_object_object_get(root, "bandwidth") && fm_json_int(root, "bandwidth", 0, (int64_t)1 << 33, &bandwidth, err) < 0)
		return -1;
	if (fm_json_string_or(root, "key_file", NULL) && absolute(root, "key_file", &r->key_file, err) < 0)
		return -1;
	r->job = (uint32_t)job;
	r->bandwidth = (uint64_t)bandwidth;
	return 0;
}

static int parse_stream(struct request *r, struct json_object *root, struct fm_error *err)
{
	int64_t raw_bytes, job;

	if (absolute(root, "map", &r->map, err) < 0 || absolute(root, "folder", &r->folder, err) < 0 ||
	    fm_json_int(root, "job", 1, UINT32_MAX, &job, err) < 0)
		return -1;
	r->job = (uint32_t)job;
	if (fm_json_string_or(root, "key_file", NULL) && absolute(root, "key_file", &r->key_file, err) < 0)
		return -1;
	if (fm_json_string_or(root, "local", NULL) && absolute(root, "local", &r->local, err) < 0)
		return -1;
	if (r->op == OP_SAVE) {
		if (fm_json_string_or(root, "parent", NULL) && absolute(root, "parent", &r->parent, err) < 0)
			return -1;
		r->claims = json_object_object_get(root, "claims");
		if (fm_json_string_or(root, "base", NULL) && absolute(root, "base", &r->base, err) < 0)
			return -1;
		r->track = fm_json_bool_or(root, "track", false);
		r->hold_max_ms = fm_json_int_or(root, "hold_max_ms", REQUEST_HOLD_MAX_MS);
		r->stop_max_ms = fm_json_int_or(root, "stop_max_ms", REQUEST_STOP_MAX_MS);
		r->buffer_bytes = fm_json_int_or(root, "buffer_mib", 0) << 20;
		if (r->hold_max_ms <= 0 || r->hold_max_ms > TIME_MS_MAX || r->stop_max_ms <= 0 ||
		    r->stop_max_ms > TIME_MS_MAX || r->buffer_bytes < 0)
			return fm_fail(err, FM_USAGE, "a bound of the save is out of range");
		return 0;
	}
	if (parse_sha256(root, &r->sha256, err) < 0 || parse_levels(r, root, err) < 0 ||
	    fm_json_int(root, "raw_bytes", 0, INT64_MAX, &raw_bytes, err) < 0)
		return -1;
	r->raw_bytes = (uint64_t)raw_bytes;
	return parse_saved_disks(r, root, err);
}

int request_parse(struct request *r, struct json_object *root, struct fm_error *err)
{
	*r = (struct request){ 0 };
	if (parse_op(r, root, err) < 0 || fm_json_string(root, "driver", &r->driver, err) < 0)
		return -1;
	r->rundir = REQUEST_RUNDIR;
	if (fm_json_string_or(root, "rundir", NULL) && absolute(root, "rundir", &r->rundir, err) < 0)
		return -1;
	r->log_level = fm_json_string_or(root, "log_level", NULL);
	r->disk_place = fm_json_string_or(root, "disk_place", NULL);
	if (r->op == OP_LIST || r->op == OP_WATCH || r->op == OP_SWEEP_DISKS)
		return 0;
	if (r->op == OP_COPY)
		return parse_copy(r, root, err);
	if (fm_json_string(root, "name", &r->domain.name, err) < 0)
		return -1;
	if (!domain_name_valid(r->domain.name))
		return fm_fail(err, FM_USAGE, "\"%.64s\" is no domain of Fermata's", r->domain.name);
	if ((r->op == OP_SAVE || r->op == OP_RESTORE) && parse_stream(r, root, err) < 0)
		return -1;
	if (r->op == OP_CREATE && parse_create(r, root, err) < 0)
		return -1;
	if (r->op != OP_CREATE && r->op != OP_RESTORE)
		return 0;
	return parse_vifs(r, root, err) < 0 ? -1 : parse_params(&r->domain, root, err);
}

void request_dispose(struct request *r)
{
	free(r->levels);
	r->levels = NULL;
}
