/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify.c - read a whole snapshot and say of each member whether it is what its manifest says. */
#include "config.h"

#include <math.h>
#include <time.h>

#include "agent/store/access.h"
#include "agent/store/disk_map.h"
#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "agent/store/stream.h"
#include "common/cleanup.h"
#include "common/io.h"

static int verify_map(const struct store_access *a, const char *dir, const struct store_file *file, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s", dir, file->name);
	struct stream_reader *reader;
	int rc;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	reader = stream_reader_open(&(struct stream_place){ path, a->pages, a->job, a->key, a->also }, file, err);
	if (!reader)
		return -1;
	rc = stream_reader_finish(reader, err);
	stream_reader_close(reader);
	return rc;
}

static int verify_disks(const struct store_access *a, const char *dir, struct json_object *member, struct fm_error *err)
{
	const struct disk_map_options o = { 0 };
	struct store_disk disk;

	for (size_t i = 0; manifest_member_disk(member, i, &disk); i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s", dir, disk.map.name);

		if (!path)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (disk_map_read(&(struct stream_place){ path, a->pages, a->job, a->key, a->also }, &disk.map, disk.size, -1, &o, err) < 0)
			return -1;
	}
	return 0;
}

static int verify_member(const struct store_access *a, const char *dir, struct json_object *member, struct fm_error *err)
{
	struct store_file map, held;
	FM_AUTO_FREE void *data = NULL;
	size_t size;

	manifest_member_files(member, &map, &held);
	if (verify_map(a, dir, &map, err) < 0 || verify_disks(a, dir, member, err) < 0)
		return -1;
	return *held.name ? store_sealed_read(a, dir, &held, STORE_SMALL_MAX, &data, &size, err) : 0;
}

static struct json_object *verdict(const struct store_access *a, const char *dir, struct json_object *member, bool *ok)
{
	struct json_object *o = json_object_new_object();
	struct fm_error err = { 0 };
	bool good = verify_member(a, dir, member, &err) == 0;

	fm_json_set_int(o, "rank", fm_json_int_or(member, "rank", -1));
	fm_json_set_string(o, "node", fm_json_string_or(member, "node", ""));
	fm_json_set_bool(o, "ok", good);
	if (!good)
		fm_json_set_string(o, "error", err.text);
	*ok = *ok && good;
	return o;
}

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

int store_verify(const char *store, const char *key_file, struct fm_snapshot_id *id, struct json_object **result_r,
		 struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, id, err);
	struct json_object *result, *verdicts, *members;
	FM_AUTO_FREE char *dir = NULL;
	struct store_access access;
	struct timespec start;
	char name[24];
	bool ok = true;

	if (!manifest)
		return -1;
	dir = store_snapshot_dir(store, id);
	if (!dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (store_access_job(&access, store, id->job, key_file, false, err) < 0) {
		store_access_close(&access);
		return -1;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	result = json_object_new_object();
	verdicts = json_object_new_array();
	members = manifest_get(manifest, "members");
	for (size_t i = 0; i < json_object_array_length(members); i++)
		json_object_array_add(verdicts, verdict(&access, dir, json_object_array_get_idx(members, i), &ok));
	store_access_close(&access);
	fm_snapshot_id_format(id, name);
	fm_json_set_string(result, "snapshot", name);
	fm_json_set_bool(result, "ok", ok);
	json_object_object_add(result, "members", verdicts);
	fm_json_set_double(result, "seconds", round(seconds_since(&start) * 1000) / 1000);
	*result_r = result;
	return 0;
}
