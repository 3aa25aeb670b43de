/* SPDX-License-Identifier: GPL-2.0-or-later */
/* describe.c - a checked manifest as the agent's API shows it; the guest's token stays here. */
#include "config.h"

#include "agent/store/manifest.h"
#include "common/cleanup.h"

static void copy_key(struct json_object *to, struct json_object *from, const char *key)
{
	struct json_object *value = manifest_get(from, key), *copy = NULL;

	if (value && json_object_deep_copy(value, &copy, NULL) == 0)
		json_object_object_add(to, key, copy);
}

static struct json_object *describe_member(struct json_object *member, uint64_t *bytes, uint64_t *raw)
{
	struct json_object *o = json_object_new_object();
	struct json_object *held = manifest_get(member, "held"), *kept = manifest_get(member, "map");
	uint64_t stored = (uint64_t)fm_json_int_or(kept, "stored_bytes", 0);
	struct store_file map, frames;
	struct store_disk disk;

	manifest_member_files(member, &map, &frames);
	for (size_t i = 0; manifest_member_disk(member, i, &disk); i++) {
		stored += (uint64_t)fm_json_int_or(json_object_array_get_idx(manifest_get(member, "disks"), i), "stored_bytes", 0);
		*raw += disk.map.raw_bytes;
	}
	copy_key(o, member, "rank");
	copy_key(o, member, "node");
	copy_key(o, member, "type");
	copy_key(o, member, "live");
	fm_json_set_int(o, "bytes", (int64_t)stored);
	fm_json_set_int(o, "raw_bytes", (int64_t)map.raw_bytes);
	fm_json_set_string(o, "sha256", map.sha256);
	copy_key(o, kept, "pages");
	copy_key(o, kept, "zero_pages");
	copy_key(o, kept, "known_pages");
	copy_key(o, kept, "stored_pages");
	copy_key(o, member, "disks");
	copy_key(o, member, "disk_ms");
	copy_key(o, member, "stop_ms");
	copy_key(o, member, "frozen");
	copy_key(o, member, "tracked");
	copy_key(o, member, "quiet");
	copy_key(o, member, "blackout_ms");
	copy_key(o, member, "drain");
	copy_key(o, member, "marker_ms");
	fm_json_set_int(o, "held_frames", held ? fm_json_int_or(held, "frames", 0) : 0);
	fm_json_set_int(o, "held_bytes", (int64_t)frames.raw_bytes);
	*bytes += stored + frames.bytes;
	*raw += map.raw_bytes + frames.raw_bytes;
	return o;
}

struct json_object *store_describe(const char *store, const struct fm_snapshot_id *id,
				   struct json_object *manifest)
{
	static const char *const of_cut[] = { "create_ms", "stop_ms", "skew_ms", "rounds_ms", "arity",
					     "drain", "marker_ms_max", "flush_bound_ms", "gate" };
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *members = manifest_get(manifest, "members");
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	uint64_t bytes = 0, raw = 0;

	copy_key(o, manifest, "snapshot");
	fm_json_set_string(o, "state", "whole");
	copy_key(o, manifest, "created");
	copy_key(o, manifest, "comment");
	copy_key(o, manifest, "job");
	for (size_t i = 0; i < json_object_array_length(members); i++)
		json_object_array_add(list, describe_member(json_object_array_get_idx(members, i), &bytes, &raw));
	json_object_object_add(o, "members", list);
	fm_json_set_int(o, "bytes", (int64_t)bytes);
	fm_json_set_int(o, "raw_bytes", (int64_t)raw);
	fm_json_set_string(o, "dir", dir);
	for (size_t i = 0; i < sizeof(of_cut) / sizeof(*of_cut); i++)
		copy_key(o, manifest_get(manifest, "cut"), of_cut[i]);
	copy_key(o, manifest, "notes");
	return o;
}
