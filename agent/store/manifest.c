/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest.c - see manifest.h.
 *
 * The hash is over json-c's plain text of the object without "sha256".  json-c
 * keeps the order of keys and the digits of numbers it has parsed, so the same
 * text comes out after a parse; manifest_seal() checks that it does.
 */
#include "config.h"

#include "agent/store/manifest.h"

#include <stdio.h>
#include <string.h>

#include "agent/store/schema.h"
#include "common/auth.h"
#include "common/cleanup.h"

#define MEMBERS_MAX 65536
#define ID_MAX 4294967294LL /* (uid_t)-1 is nobody's */
#define BYTES_MAX ((int64_t)1 << 60)
#define YEARS_100_S 3155760000LL
#define NAME(k) { .key = k, .kind = SCHEMA_STRING, .min = 1, .max = 255 }
#define WORD(k) { .key = k, .kind = SCHEMA_STRING, .min = 1, .max = 255, .form = schema_word }
#define FORM(k, f) { .key = k, .kind = SCHEMA_STRING, .min = 1, .max = 64, .form = f }
#define INT(k, lo, hi) { .key = k, .kind = SCHEMA_INT, .min = lo, .max = hi }
#define MS(k) { .key = k, .kind = SCHEMA_NUMBER, .min = 0, .max = YEARS_100_S * 1000 }
#define ARRAY(k, lo, hi, e) { .key = k, .kind = SCHEMA_ARRAY, .min = lo, .max = hi, .element = e }
#define OBJECT(k, f) { .key = k, .kind = SCHEMA_OBJECT, .fields = f }
#define END { .key = NULL }

static const struct schema gid_element = INT("", 0, ID_MAX);
static const struct schema node_element = WORD("");
static const struct schema note_element = { .key = "", .kind = SCHEMA_STRING, .min = 0, .max = 4096 };

static const struct schema job_fields[] = {
	WORD("scheduler"),
	INT("job", 1, UINT32_MAX),
	{ .key = "name", .kind = SCHEMA_STRING, .min = 0, .max = 4096 },
	INT("uid", 0, ID_MAX),
	INT("gid", 0, ID_MAX),
	ARRAY("gids", 0, 65536, &gid_element),
	NAME("user"),
	{ .key = "home", .kind = SCHEMA_STRING, .min = 0, .max = 4096 },
	FORM("image", schema_component),
	INT("memory_mib", 1, 1 << 28),
	INT("vcpus", 1, 65536),
	INT("interval_s", 0, YEARS_100_S),
	INT("keep", 0, UINT32_MAX),
	{ .key = "max_age_s", .kind = SCHEMA_INT, .optional = true, .min = 0, .max = YEARS_100_S },
	ARRAY("nodes", 1, MEMBERS_MAX, &node_element),
	END,
};

static const struct schema guest_node_fields[] = {
	WORD("name"), FORM("ip", schema_ipv4), FORM("mac", schema_mac), END,
};
static const struct schema guest_node_element = OBJECT("", guest_node_fields);

static const struct schema guest_fields[] = {
	{ .key = "token", .kind = SCHEMA_STRING, .optional = true, .min = 64, .max = 64, .form = schema_hex64 },
	{ .key = "token_sealed", .kind = SCHEMA_STRING, .optional = true, .min = 64, .max = 4096 }, /* secret.h */
	INT("port", 1, 65535),
	INT("prefix", 1, 32),
	ARRAY("nodes", 1, MEMBERS_MAX, &guest_node_element),
	END,
};

static const struct schema map_fields[] = {
	FORM("name", schema_component),
	INT("bytes", 0, BYTES_MAX),
	INT("raw_bytes", 0, BYTES_MAX),
	FORM("sha256", schema_hex64),
	INT("stored_bytes", 0, BYTES_MAX),
	INT("pages", 0, BYTES_MAX),
	INT("zero_pages", 0, BYTES_MAX),
	INT("known_pages", 0, BYTES_MAX),
	INT("stored_pages", 0, BYTES_MAX),
	END,
};

static const struct schema held_fields[] = {
	FORM("name", schema_component),
	INT("bytes", 0, STORE_SMALL_MAX),
	INT("raw_bytes", 0, STORE_SMALL_MAX),
	FORM("sha256", schema_hex64),
	INT("frames", 0, STORE_SMALL_MAX),
	END,
};

static const struct schema disk_fields[] = {
	{ .key = "vdev", .kind = SCHEMA_STRING, .min = 1, .max = 15, .form = schema_word },
	INT("size", 1, BYTES_MAX),
	FORM("name", schema_component),
	INT("bytes", 0, BYTES_MAX),
	INT("raw_bytes", 0, BYTES_MAX),
	FORM("sha256", schema_hex64),
	INT("stored_bytes", 0, BYTES_MAX),
	INT("pages", 0, BYTES_MAX),
	INT("known_pages", 0, BYTES_MAX),
	INT("stored_pages", 0, BYTES_MAX),
	END,
};
static const struct schema disk_element = OBJECT("", disk_fields);

static const struct schema member_fields[] = {
	INT("rank", 0, MEMBERS_MAX - 1),
	WORD("node"),
	WORD("type"),
	{ .key = "live", .kind = SCHEMA_BOOL },
	OBJECT("map", map_fields),
	{ .key = "held", .kind = SCHEMA_OBJECT, .optional = true, .fields = held_fields },
	MS("stop_ms"),
	INT("suspended_at_ns", 0, INT64_MAX - 1),
	{ .key = "frozen", .kind = SCHEMA_BOOL, .optional = true },
	{ .key = "tracked", .kind = SCHEMA_BOOL, .optional = true },
	{ .key = "quiet", .kind = SCHEMA_BOOL, .optional = true },
	{ .key = "freeze_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "quiet_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "suspend_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "copy_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "disks", .kind = SCHEMA_ARRAY, .optional = true, .min = 1, .max = STORE_DISKS_MAX, .element = &disk_element },
	{ .key = "disk_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "blackout_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "drain", .kind = SCHEMA_STRING, .optional = true, .form = schema_word, .min = 1, .max = 16 },
	{ .key = "marker_ms", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	{ .key = "markers_missing", .kind = SCHEMA_INT, .optional = true, .min = 1, .max = MEMBERS_MAX },
	{ .key = "marker_missing", .kind = SCHEMA_INT, .optional = true, .min = 0, .max = MEMBERS_MAX },
	END,
};
static const struct schema member_element = OBJECT("", member_fields);

static const struct schema rounds_fields[] = {
	MS("arm"), MS("gate"), MS("drain"), MS("cut"), MS("release"), MS("commit"), END,
};
static const struct schema cut_fields[] = {
	MS("stop_ms"),
	MS("skew_ms"),
	MS("create_ms"),
	{ .key = "rounds_ms", .kind = SCHEMA_OBJECT, .optional = true, .fields = rounds_fields },
	{ .key = "arity", .kind = SCHEMA_INT, .optional = true, .min = 1, .max = MEMBERS_MAX },
	MS("flush_bound_ms"),
	WORD("gate"),
	{ .key = "drain", .kind = SCHEMA_STRING, .optional = true, .form = schema_word, .min = 1, .max = 16 },
	{ .key = "marker_ms_max", .kind = SCHEMA_NUMBER, .optional = true, .min = 0, .max = YEARS_100_S * 1000 },
	END,
};

static const struct schema manifest_fields[] = {
	FORM("snapshot", schema_word),
	FORM("created", schema_utc),
	{ .key = "comment", .kind = SCHEMA_STRING, .optional = true, .min = 0, .max = 4096 },
	OBJECT("job", job_fields),
	OBJECT("guest", guest_fields),
	ARRAY("members", 1, MEMBERS_MAX, &member_element),
	OBJECT("cut", cut_fields),
	ARRAY("notes", 0, 4096, &note_element),
	END,
};

struct json_object *manifest_get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

static void file_of(struct json_object *o, struct store_file *file_r)
{
	memset(file_r, 0, sizeof(*file_r));
	if (!o)
		return;
	snprintf(file_r->name, sizeof(file_r->name), "%s", fm_json_string_or(o, "name", ""));
	snprintf(file_r->sha256, sizeof(file_r->sha256), "%s", fm_json_string_or(o, "sha256", ""));
	file_r->bytes = (uint64_t)fm_json_int_or(o, "bytes", 0);
	file_r->raw_bytes = (uint64_t)fm_json_int_or(o, "raw_bytes", 0);
}

void manifest_member_files(struct json_object *member, struct store_file *map_r,
			   struct store_file *held_r)
{
	file_of(manifest_get(member, "map"), map_r);
	file_of(manifest_get(member, "held"), held_r);
}

bool manifest_member_disk(struct json_object *member, size_t i, struct store_disk *disk_r)
{
	struct json_object *disks = manifest_get(member, "disks"), *disk;

	if (!disks || i >= json_object_array_length(disks))
		return false;
	disk = json_object_array_get_idx(disks, i);
	file_of(disk, &disk_r->map);
	snprintf(disk_r->vdev, sizeof(disk_r->vdev), "%s", fm_json_string_or(disk, "vdev", ""));
	disk_r->size = (uint64_t)fm_json_int_or(disk, "size", 0);
	return true;
}

bool manifest_member_file(struct json_object *member, size_t i, struct store_file *file_r, bool *pages_r)
{
	struct json_object *disks = manifest_get(member, "disks");
	size_t maps = 1 + (disks ? json_object_array_length(disks) : 0);
	struct store_disk disk;

	*pages_r = i < maps;
	if (i == 0) {
		file_of(manifest_get(member, "map"), file_r);
	} else if (i < maps) {
		manifest_member_disk(member, i - 1, &disk);
		*file_r = disk.map;
	} else {
		file_of(manifest_get(member, "held"), file_r);
		return i == maps && *file_r->name;
	}
	return true;
}

static int check_version(struct json_object *manifest, struct fm_error *err)
{
	int64_t version;

	if (fm_json_int(manifest, "version", 1, INT64_MAX - 1, &version, err) < 0) {
		err->code = FM_CORRUPT;
		return -1;
	}
	if (version != MANIFEST_VERSION && version != MANIFEST_VERSION_DISKS)
		return fm_fail(err, FM_INCOMPATIBLE,
			       "it has format version %lld, this Fermata reads versions %d and %d: use %s one", (long long)version,
			       MANIFEST_VERSION, MANIFEST_VERSION_DISKS,
			       version > MANIFEST_VERSION_DISKS ? "a newer" : "an earlier");
	return 0;
}

static int check_disks(struct json_object *manifest, struct json_object *member, size_t rank, struct fm_error *err)
{
	struct store_disk disk, other;
	char name[64];

	for (size_t i = 0; manifest_member_disk(member, i, &disk); i++) {
		if (fm_json_int_or(manifest, "version", 0) != MANIFEST_VERSION_DISKS)
			return fm_fail(err, FM_CORRUPT, "member %zu has disks: its version is not %d", rank, MANIFEST_VERSION_DISKS);
		snprintf(name, sizeof(name), "member-%zu.disk-%s.map", rank, disk.vdev);
		if (strcmp(disk.map.name, name) != 0)
			return fm_fail(err, FM_CORRUPT, "member %zu: the map of disk %s is \"%s\", not \"%s\"", rank, disk.vdev,
				       disk.map.name, name);
		for (size_t k = 0; k < i && manifest_member_disk(member, k, &other); k++)
			if (strcmp(disk.vdev, other.vdev) == 0)
				return fm_fail(err, FM_CORRUPT, "member %zu has two disks %s", rank, disk.vdev);
	}
	return 0;
}

/* Member i is rank i, and its files carry the names that belong to that rank. */
static int check_member(struct json_object *member, size_t i, struct fm_error *err)
{
	struct store_file map, held;
	char name[64];

	if (fm_json_int_or(member, "rank", -1) != (int64_t)i)
		return fm_fail(err, FM_CORRUPT, "member %zu says it is rank %lld", i,
			       (long long)fm_json_int_or(member, "rank", -1));
	manifest_member_files(member, &map, &held);
	snprintf(name, sizeof(name), "member-%zu.map", i);
	if (strcmp(map.name, name) != 0)
		return fm_fail(err, FM_CORRUPT, "member %zu: its map is \"%s\", not \"%s\"", i,
			       map.name, name);
	snprintf(name, sizeof(name), "member-%zu.held", i);
	if (*held.name && strcmp(held.name, name) != 0)
		return fm_fail(err, FM_CORRUPT, "member %zu: its held frames are \"%s\", not \"%s\"", i,
			       held.name, name);
	return 0;
}

static int check_members(struct json_object *manifest, struct fm_error *err)
{
	struct json_object *members = manifest_get(manifest, "members");
	size_t count = json_object_array_length(members);
	size_t nodes = json_object_array_length(manifest_get(manifest_get(manifest, "job"), "nodes"));
	size_t guests = json_object_array_length(manifest_get(manifest_get(manifest, "guest"), "nodes"));

	if (!manifest_get(manifest_get(manifest, "guest"), "token") ==
	    !manifest_get(manifest_get(manifest, "guest"), "token_sealed"))
		return fm_fail(err, FM_CORRUPT, "\"guest\" has not one of \"token\" and \"token_sealed\"");
	if (nodes != count || guests != count)
		return fm_fail(err, FM_CORRUPT, "%zu members, %zu nodes and %zu guests do not go together",
			       count, nodes, guests);
	for (size_t i = 0; i < count; i++)
		if (check_member(json_object_array_get_idx(members, i), i, err) < 0 ||
		    check_disks(manifest, json_object_array_get_idx(members, i), i, err) < 0)
			return -1;
	return 0;
}

int manifest_check(struct json_object *manifest, const struct fm_snapshot_id *id, struct fm_error *err)
{
	char expected[24];
	const char *found;

	if (check_version(manifest, err) < 0 || schema_check(manifest, manifest_fields, err) < 0)
		return -1;
	fm_snapshot_id_format(id, expected);
	found = fm_json_string_or(manifest, "snapshot", "");
	if (strcmp(found, expected) != 0)
		return fm_fail(err, FM_CORRUPT, "it is that of snapshot %s", found);
	if (fm_json_int_or(manifest_get(manifest, "job"), "job", 0) != (int64_t)id->job)
		return fm_fail(err, FM_CORRUPT, "it is that of job %lld",
			       (long long)fm_json_int_or(manifest_get(manifest, "job"), "job", 0));
	return check_members(manifest, err);
}

static void hash_of(struct json_object *manifest, char hex_r[65])
{
	size_t size;
	const char *text = json_object_to_json_string_length(manifest, JSON_C_TO_STRING_PLAIN, &size);

	fm_sha256_hex(text, size, hex_r);
}

/* Take "sha256" out of the object and compare. */
static int unseal(struct json_object *manifest, struct fm_error *err)
{
	char said[65], is[65];

	if (strlen(fm_json_string_or(manifest, "sha256", "")) != 64)
		return fm_fail(err, FM_CORRUPT, "\"sha256\" is missing");
	snprintf(said, sizeof(said), "%s", fm_json_string_or(manifest, "sha256", ""));
	json_object_object_del(manifest, "sha256");
	hash_of(manifest, is);
	if (strcmp(said, is) != 0)
		return fm_fail(err, FM_CORRUPT, "its SHA-256 is %.12s…, it says %.12s…", is, said);
	return 0;
}

char *manifest_seal(struct json_object *manifest, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *copy = NULL, *again = NULL;
	FM_AUTO_FREE char *text = NULL;
	char hex[65];

	if (json_object_deep_copy(manifest, &copy, NULL) < 0) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	json_object_object_del(copy, "sha256");
	hash_of(copy, hex);
	fm_json_set_string(copy, "sha256", hex);
	text = strdup(json_object_to_json_string_ext(copy, JSON_C_TO_STRING_PLAIN));
	if (!text) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	again = fm_json_parse(text, strlen(text), err);
	if (!again || unseal(again, err) < 0) {
		fm_context(err, "a manifest that would not read back");
		return NULL;
	}
	return fm_steal_ptr(&text);
}

struct json_object *manifest_open(const char *text, size_t size, const struct fm_snapshot_id *id,
				  struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *manifest = fm_json_parse(text, size, err);

	if (!manifest) {
		err->code = FM_CORRUPT;
		return NULL;
	}
	if (unseal(manifest, err) < 0 || manifest_check(manifest, id, err) < 0)
		return NULL;
	return fm_steal_ptr(&manifest);
}
