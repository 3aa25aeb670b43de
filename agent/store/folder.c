/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * folder.c - begin, discard, remove: the life of a snapshot's folder.
 *
 * Each step leaves a state that a crash may keep: a listing shows a snapshot
 * with everything it had, or does not show it.
 */
#include "config.h"

#include "agent/store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/manifest.h"
#include "agent/store/pin.h"
#include "agent/store/store.h"
#include "common/cleanup.h"
#include "common/io.h"

#define GONE_SUFFIX ".gone"
#define REMOVED_NAME "manifest.removed"
#define BEGIN_TRIES 1000 /* other callers that may take a number before us */

char *folder_job(const char *store, uint32_t job, struct fm_error *err)
{
	char *path = fm_format("%s/%" PRIu32, store, job);

	if (!path)
		fm_fail(err, FM_FAILED, "out of memory");
	return path;
}

char *folder_path(const char *store, const struct fm_snapshot_id *id, const char *name,
		  struct fm_error *err)
{
	char *path = fm_format("%s/%" PRIu32 "/%" PRIu32 "/%s", store, id->job, id->n, name);

	if (!path)
		fm_fail(err, FM_FAILED, "out of memory");
	return path;
}

char *store_snapshot_dir(const char *store, const struct fm_snapshot_id *id)
{
	return fm_format("%s/%" PRIu32 "/%" PRIu32, store, id->job, id->n);
}

/* "17" but not "017", "17x" or "0". */
static bool parse_number(const char *text, uint32_t *value_r)
{
	uint64_t value = 0;

	if (*text < '1' || *text > '9')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*value_r = (uint32_t)value;
	return true;
}

static bool is_folder(int dir, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int numbers_add(struct folder_numbers *numbers, uint32_t value, struct fm_error *err)
{
	if ((numbers->count & (numbers->count - 1)) == 0) {
		size_t room = numbers->count ? 2 * numbers->count : 1;
		uint32_t *values = reallocarray(numbers->values, room, sizeof(*values));

		if (!values)
			return fm_fail(err, FM_FAILED, "out of memory");
		numbers->values = values;
	}
	numbers->values[numbers->count++] = value;
	return 0;
}

int folder_numbers(const char *path, struct folder_numbers *numbers_r, struct fm_error *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint32_t value;
	int rc = 0;

	memset(numbers_r, 0, sizeof(*numbers_r));
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL)
		if (parse_number(entry->d_name, &value) && is_folder(dirfd(dir), entry))
			rc = numbers_add(numbers_r, value, err);
	if (rc == 0 && errno != 0)
		rc = fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	closedir(dir);
	if (numbers_r->count)
		qsort(numbers_r->values, numbers_r->count, sizeof(*numbers_r->values), compare_numbers);
	return rc;
}

void folder_numbers_dispose(struct folder_numbers *numbers)
{
	free(numbers->values);
	memset(numbers, 0, sizeof(*numbers));
}

static int has(const char *store, const struct fm_snapshot_id *id, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, name, err);
	struct stat st;

	if (!path)
		return -1;
	if (lstat(path, &st) == 0)
		return 1;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return fm_fail(err, FM_FAILED, "cannot stat %s: %s", path, strerror(errno));
}

int folder_is_whole(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	return has(store, id, MANIFEST_NAME, err);
}

int folder_is_removed(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	int whole = folder_is_whole(store, id, err);

	return whole == 0 ? has(store, id, REMOVED_NAME, err) : whole < 0 ? -1 : 0;
}

/* Out of sight in one step, then removed. */
static int bury(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *from = store_snapshot_dir(store, id);
	FM_AUTO_FREE char *to = fm_format("%s/%" PRIu32 "/.%" PRIu32 GONE_SUFFIX, store, id->job, id->n);

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (rename(from, to) < 0 && errno != ENOENT) /* ENOENT: another caller was faster */
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", from, strerror(errno));
	return fm_remove_tree(to, err);
}

/* What an earlier bury() did not finish. */
static int sweep_gone(const char *job_dir, struct fm_error *err)
{
	const size_t suffix = strlen(GONE_SUFFIX);
	DIR *dir = opendir(job_dir);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot read %s: %s", job_dir, strerror(errno));
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		size_t size = strlen(entry->d_name);
		FM_AUTO_FREE char *path = NULL;

		if (*entry->d_name != '.' || size <= suffix ||
		    strcmp(entry->d_name + size - suffix, GONE_SUFFIX) != 0)
			continue;
		path = fm_format("%s/%s", job_dir, entry->d_name);
		rc = path ? fm_remove_tree(path, err) : fm_fail(err, FM_FAILED, "out of memory");
	}
	closedir(dir);
	return rc;
}

/* Remove the left-over folders below `before`. */
static int sweep_leftovers(const char *store, const char *job_dir, const struct fm_snapshot_id *before,
			   struct fm_error *err)
{
	struct folder_numbers numbers;
	struct fm_snapshot_id id = { .job = before->job };
	int rc = folder_numbers(job_dir, &numbers, err);

	for (size_t i = 0; rc == 0 && i < numbers.count && numbers.values[i] < before->n; i++) {
		id.n = numbers.values[i];
		rc = folder_is_whole(store, &id, err);
		if (rc >= 0)
			rc = rc ? 0 : bury(store, &id, err);
	}
	folder_numbers_dispose(&numbers);
	return sweep_gone(job_dir, err) < 0 ? -1 : rc;
}

/* The highest number there is, 0 for none. */
static int highest_number(const char *job_dir, uint32_t *n_r, struct fm_error *err)
{
	struct folder_numbers numbers;
	int rc = folder_numbers(job_dir, &numbers, err);

	*n_r = numbers.count ? numbers.values[numbers.count - 1] : 0;
	folder_numbers_dispose(&numbers);
	return rc;
}

/*
 * mkdir decides who has a number, on any file system.  But what we took for the
 * next may have been taken, passed by a higher one and swept since we looked:
 * then the higher one, which nobody removes, is still there to tell.
 */
static int take_number(const char *store, const char *job_dir, struct fm_snapshot_id *id,
		       struct fm_error *err)
{
	uint32_t highest;

	for (int i = 0; i < BEGIN_TRIES; i++) {
		FM_AUTO_FREE char *path = NULL;

		if (highest_number(job_dir, &highest, err) < 0)
			return -1;
		if (highest == UINT32_MAX)
			break;
		id->n = highest + 1;
		path = store_snapshot_dir(store, id);
		if (!path)
			return fm_fail(err, FM_FAILED, "out of memory");
		if (mkdir(path, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			return fm_fail(err, FM_FAILED, "cannot make %s: %s", path, strerror(errno));
		}
		if (highest_number(job_dir, &highest, err) < 0)
			return -1;
		if (highest == id->n)
			return fm_fsync_dir(job_dir, err);
		rmdir(path); /* what is left of it the next begin sweeps */
	}
	return fm_fail(err, FM_FAILED, "%s: no free snapshot number", job_dir);
}

int store_begin(const char *store, uint32_t job, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(store, job, err);
	struct fm_snapshot_id id = { .job = job };
	struct fm_error ignored;

	if (!job_dir || fm_mkdir_all(job_dir, 0700, err) < 0 || fm_fsync_dir(store, err) < 0)
		return -1;
	if (take_number(store, job_dir, &id, err) < 0)
		return -1;
	/* What cannot be swept (NFS keeps a file that is still open) is the next one's to sweep. */
	sweep_leftovers(store, job_dir, &id, &ignored);
	*id_r = id;
	return 0;
}

/* Everything in the folder goes, the folder stays; last what says that it is to go. */
static int clear(const char *dir_path, struct fm_error *err)
{
	DIR *dir = opendir(dir_path);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot read %s: %s", dir_path, strerror(errno));
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    strcmp(entry->d_name, REMOVED_NAME) == 0)
			continue;
		/* Nothing of ours is a folder in there; the next begin removes what somebody else put. */
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT && errno != EISDIR)
			rc = fm_fail(err, FM_FAILED, "cannot remove %s/%s: %s", dir_path, entry->d_name,
				     strerror(errno));
	}
	if (rc == 0 && unlinkat(dirfd(dir), REMOVED_NAME, 0) < 0 && errno != ENOENT)
		rc = fm_fail(err, FM_FAILED, "cannot remove %s/" REMOVED_NAME ": %s", dir_path, strerror(errno));
	closedir(dir);
	return rc;
}

/* The folder goes, unless it holds the job's highest number: then it is emptied. */
static int dispose(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(store, id->job, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	uint32_t highest;

	if (!job_dir || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (highest_number(job_dir, &highest, err) < 0)
		return -1;
	return highest == id->n ? clear(dir, err) : bury(store, id, err);
}

static int check_id(const struct fm_snapshot_id *id, struct fm_error *err)
{
	if (id->job == 0 || id->n == 0)
		return fm_fail(err, FM_USAGE, "a job's newest snapshot is meant where one by number is needed");
	return 0;
}

int store_discard(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	int whole;

	if (check_id(id, err) < 0)
		return -1;
	whole = folder_is_whole(store, id, err);
	if (whole < 0)
		return -1;
	if (whole)
		return fm_fail(err, FM_BUSY, "snapshot %" PRIu32 ".%" PRIu32 " is whole: it is not discarded",
			       id->job, id->n);
	return dispose(store, id, err);
}

/*
 * From here on it does not exist, also after a crash. Who pins it writes the pin and then looks for the manifest; we take
 * the manifest away and then look for a pin: one of us sees the other.
 */
static int hide_manifest(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *manifest = folder_path(store, id, MANIFEST_NAME, err);
	FM_AUTO_FREE char *removed = folder_path(store, id, REMOVED_NAME, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	int pinned;

	if (!manifest || !removed || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	pinned = pin_is(store, id, err);
	if (pinned == 0 && rename(manifest, removed) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return fm_fail(err, FM_NOT_FOUND, "there is no snapshot %" PRIu32 ".%" PRIu32, id->job, id->n);
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", manifest, strerror(errno));
	}
	if (pinned == 0 && (pinned = pin_is(store, id, err)) == 0)
		return fm_fsync_dir(dir, err);
	if (rename(removed, manifest) < 0 && errno != ENOENT)
		return fm_fail(err, FM_FAILED, "%s is pinned, and cannot be brought back: %s", removed, strerror(errno));
	return pinned > 0 ? pin_refuse(store, id, err) : -1;
}

int store_remove(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	if (check_id(id, err) < 0 || hide_manifest(store, id, err) < 0)
		return -1;
	return dispose(store, id, err);
}

/* A removal that did not come to its end; nor did one that had found a pin come to giving the manifest back. */
static int settle_one(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *manifest = folder_path(store, id, MANIFEST_NAME, err);
	FM_AUTO_FREE char *removed = folder_path(store, id, REMOVED_NAME, err);
	int state = folder_is_removed(store, id, err);

	if (state <= 0 || !manifest || !removed)
		return state;
	state = pin_is(store, id, err);
	if (state <= 0)
		return state < 0 ? -1 : dispose(store, id, err);
	if (rename(removed, manifest) < 0 && errno != ENOENT)
		return fm_fail(err, FM_FAILED, "cannot bring %s back: %s", manifest, strerror(errno));
	return 0;
}

int folder_settle(const char *store, uint32_t job, struct fm_error *err)
{
	FM_AUTO_FREE char *job_dir = folder_job(store, job, err);
	struct folder_numbers numbers;
	int rc;

	if (!job_dir)
		return -1;
	rc = folder_numbers(job_dir, &numbers, err);
	for (size_t i = 0; rc == 0 && i < numbers.count; i++)
		rc = settle_one(store, &(struct fm_snapshot_id){ .job = job, .n = numbers.values[i] }, err);
	folder_numbers_dispose(&numbers);
	return rc < 0 ? -1 : sweep_gone(job_dir, err);
}

int folder_remove_job(const char *store, uint32_t job, struct fm_error *err)
{
	FM_AUTO_FREE char *from = folder_job(store, job, err);
	FM_AUTO_FREE char *to = fm_format("%s/.%" PRIu32 GONE_SUFFIX, store, job);

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (sweep_gone(store, err) < 0) /* an earlier one's, perhaps under the name that we need */
		return -1;
	if (rename(from, to) < 0 && errno != ENOENT)
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", from, strerror(errno));
	if (fm_fsync_dir(store, err) < 0)
		return -1;
	return fm_remove_tree(to, err);
}
