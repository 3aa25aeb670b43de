/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.c - commit, look up, list, prune; the job's script.
 *
 * Manifests are the only truth: there is no index that could disagree.
 */
#include "config.h"

#include "agent/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/folder.h"
#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"


/* There, a plain file, and of the size the manifest says? */
static int check_file(const char *store, const struct fm_snapshot_id *id, const struct store_file *file,
		      struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, file->name, err);
	struct stat st;

	if (!path)
		return -1;
	if (lstat(path, &st) < 0)
		return fm_fail(err, errno == ENOENT ? FM_CORRUPT : FM_FAILED, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != file->bytes)
		return fm_fail(err, FM_CORRUPT, "%s has %lld bytes, its manifest says %llu", path,
			       (long long)st.st_size, (unsigned long long)file->bytes);
	return 0;
}

static int check_disks(const char *store, const struct fm_snapshot_id *id, struct json_object *member, struct fm_error *err)
{
	struct store_disk disk;

	for (size_t i = 0; manifest_member_disk(member, i, &disk); i++)
		if (check_file(store, id, &disk.map, err) < 0)
			return -1;
	return 0;
}

int store_check(const char *store, const struct fm_snapshot_id *id, struct json_object *manifest, struct fm_error *err)
{
	struct json_object *members = manifest_get(manifest, "members");

	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *member = json_object_array_get_idx(members, i);
		struct store_file map, held;

		manifest_member_files(member, &map, &held);
		if (check_file(store, id, &map, err) < 0 || (*held.name && check_file(store, id, &held, err) < 0) ||
		    check_disks(store, id, member, err) < 0)
			return fm_context(err, "member %zu", i);
	}
	return 0;
}

int store_commit(const char *store, const struct fm_snapshot_id *id, struct json_object *manifest,
		 struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, MANIFEST_NAME, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	FM_AUTO_FREE char *text = NULL;

	if (!path || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (manifest_check(manifest, id, err) < 0)
		return fm_context(err, "the manifest of %" PRIu32 ".%" PRIu32 " is not written", id->job, id->n);
	if (store_check(store, id, manifest, err) < 0)
		return -1;
	text = manifest_seal(manifest, err);
	/* The names of the members' files before the name that makes them a snapshot. */
	if (!text || fm_fsync_dir(dir, err) < 0)
		return -1;
	if (fm_file_write(path, 0600, text, strlen(text), err) == 0)
		return 0;
	/* Its name may be there and only its durability in doubt: what failed must not be listed later. */
	if (unlink(path) < 0 && errno != ENOENT)
		fm_context(err, "%s is left, perhaps: %s", path, strerror(errno));
	return -1;
}

/* One manifest by number. */
static struct json_object *load(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, MANIFEST_NAME, err);
	FM_AUTO_FREE char *text = NULL;
	struct json_object *manifest;
	size_t size;

	if (!path)
		return NULL;
	text = fm_file_read(path, MANIFEST_SIZE_MAX, &size, err);
	if (!text && err->code == FM_NOT_FOUND) {
		fm_fail(err, FM_NOT_FOUND, "there is no snapshot %" PRIu32 ".%" PRIu32, id->job, id->n);
		return NULL;
	}
	manifest = text ? manifest_open(text, size, id, err) : NULL;
	if (!manifest)
		fm_context(err, "the manifest of snapshot %" PRIu32 ".%" PRIu32, id->job, id->n);
	return manifest;
}

/* The newest that is whole; the reason of the newest that is damaged when none is. */
static struct json_object *load_newest(const char *store, struct fm_snapshot_id *id,
				       const struct folder_numbers *numbers, struct fm_error *err)
{
	struct fm_error first = { .code = FM_NOT_FOUND };

	for (size_t i = numbers->count; i-- > 0;) {
		struct fm_snapshot_id candidate = { .job = id->job, .n = numbers->values[i] };
		FM_AUTO_JSON struct json_object *manifest = load(store, &candidate, err);

		if (manifest && store_check(store, &candidate, manifest, err) == 0) {
			*id = candidate;
			return fm_steal_ptr(&manifest);
		}
		if (first.code == FM_NOT_FOUND)
			first = *err;
	}
	if (first.code == FM_NOT_FOUND)
		fm_fail(err, FM_NOT_FOUND, "job %" PRIu32 " has no snapshot", id->job);
	else
		*err = first;
	return NULL;
}

struct json_object *store_manifest(const char *store, struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = NULL;
	struct folder_numbers numbers;
	struct json_object *manifest = NULL;

	if (id->n != 0)
		return load(store, id, err);
	job_dir = folder_job(store, id->job, err);
	if (!job_dir)
		return NULL;
	if (folder_numbers(job_dir, &numbers, err) == 0)
		manifest = load_newest(store, id, &numbers, err);
	folder_numbers_dispose(&numbers);
	return manifest;
}

int store_manifest_member(struct json_object *manifest, unsigned rank, struct store_file *map_r,
			  struct store_file *held_r, struct fm_error *err)
{
	struct json_object *members = manifest_get(manifest, "members");

	if (!members || rank >= json_object_array_length(members))
		return fm_fail(err, FM_NOT_FOUND, "the snapshot has no member %u", rank);
	manifest_member_files(json_object_array_get_idx(members, rank), map_r, held_r);
	return 0;
}

bool store_manifest_file(struct json_object *manifest, unsigned rank, size_t i, struct store_file *file_r, bool *pages_r)
{
	struct json_object *members = manifest_get(manifest, "members");

	return members && rank < json_object_array_length(members) &&
	       manifest_member_file(json_object_array_get_idx(members, rank), i, file_r, pages_r);
}

bool store_manifest_disk(struct json_object *manifest, unsigned rank, size_t i, struct store_disk *disk_r)
{
	struct json_object *members = manifest_get(manifest, "members");

	return members && rank < json_object_array_length(members) &&
	       manifest_member_disk(json_object_array_get_idx(members, rank), i, disk_r);
}

static struct json_object *describe_damaged(const struct fm_snapshot_id *id, const struct fm_error *why)
{
	struct json_object *o = json_object_new_object();
	char name[24];

	fm_snapshot_id_format(id, name);
	fm_json_set_string(o, "snapshot", name);
	fm_json_set_string(o, "state", "damaged");
	fm_json_set_string(o, "error", why->text);
	return o;
}

static int list_job(const char *store, uint32_t job, struct json_object *list, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(store, job, err);
	struct folder_numbers numbers;
	int rc;

	if (!job_dir)
		return -1;
	rc = folder_numbers(job_dir, &numbers, err);
	for (size_t i = 0; rc == 0 && i < numbers.count; i++) {
		struct fm_snapshot_id id = { .job = job, .n = numbers.values[i] };
		FM_AUTO_JSON struct json_object *manifest = load(store, &id, err);

		if (manifest)
			json_object_array_add(list, store_describe(store, &id, manifest));
		else if (err->code != FM_NOT_FOUND)
			json_object_array_add(list, describe_damaged(&id, err));
	}
	folder_numbers_dispose(&numbers);
	return rc;
}

struct json_object *store_list(const char *store, uint32_t job, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *list = json_object_new_array();
	struct folder_numbers jobs;
	int rc = 0;

	if (job)
		return list_job(store, job, list, err) == 0 ? fm_steal_ptr(&list) : NULL;
	rc = folder_numbers(store, &jobs, err);
	for (size_t i = 0; rc == 0 && i < jobs.count; i++)
		rc = list_job(store, jobs.values[i], list, err);
	folder_numbers_dispose(&jobs);
	return rc == 0 ? fm_steal_ptr(&list) : NULL;
}
