/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record.c - see record.h. */
#include "config.h"

#include "agent/store/copies/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/manifest.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LOCK_TRIES 10
#define LOCK_NAME "levels.lock"
#define RECORD_NAME "levels.json"
#define RECORD_SIZE_MAX ((size_t)1 << 20)
#define REMOVED_PREFIX "removed."
#define STAGE_PREFIX ".stage."
#define STAGE_AGE_S 60 /* made, and not yet locked */

/* ---- the lock ------------------------------------------------------------------------- */

int record_lock(const char *store, uint32_t job, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/" LOCK_NAME, store, job);
	const struct timespec pause = { 0, 20000000 };
	FM_AUTO_CLOSE int fd = -1;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "cannot open %s: %s", path, strerror(errno));
	for (int i = 0; i < LOCK_TRIES; i++) { /* who only looks has it for a moment */
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fm_steal_fd(&fd);
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == EWOULDBLOCK)
		return fm_fail(err, FM_BUSY, "job %" PRIu32 " is being copied to its levels, or removed from them", job);
	return fm_fail(err, FM_FAILED, "cannot lock %s: %s", path, strerror(errno));
}

/* Is nobody at work? Not whether it may be locked: looking must not keep others from it. */
static bool at_work(const char *store, uint32_t job)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/" LOCK_NAME, store, job);
	FM_AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* ---- what was copied -------------------------------------------------------------------- */

struct json_object *record_read(const char *store, const struct fm_snapshot_id *id)
{
	struct fm_error ignored;
	FM_AUTO_FREE char *path = folder_path(store, id, RECORD_NAME, &ignored);
	FM_AUTO_FREE char *text = NULL;
	struct json_object *o;
	size_t size;

	text = path ? fm_file_read(path, RECORD_SIZE_MAX, &size, &ignored) : NULL;
	o = text ? fm_json_parse(text, size, &ignored) : NULL;
	return o ? o : json_object_new_object();
}

static struct json_object *levels_of(struct json_object *record)
{
	struct json_object *list = json_object_object_get(record, "levels");

	return json_object_is_type(list, json_type_array) ? list : NULL;
}

struct json_object *record_entry(struct json_object *record, const char *name, const char *where)
{
	struct json_object *list = levels_of(record);

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (strcmp(fm_json_string_or(o, "name", ""), name))
			continue;
		return where && strcmp(fm_json_string_or(o, "where", ""), where) ? NULL : o;
	}
	return NULL;
}

int record_write(const char *store, const struct fm_snapshot_id *id, struct json_object *entry, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *taken = entry, *record = record_read(store, id);
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	FM_AUTO_FREE char *path = folder_path(store, id, RECORD_NAME, err);
	struct json_object *old = levels_of(record), *list = json_object_new_array();
	const char *text, *name = fm_json_string_or(taken, "name", "");
	int whole = folder_is_whole(store, id, err);

	json_object_object_add(o, "levels", list);
	if (!path || whole < 0)
		return -1;
	if (!whole)
		return fm_fail(err, FM_NOT_FOUND, "there is no snapshot %" PRIu32 ".%" PRIu32, id->job, id->n);
	for (size_t i = 0; old && i < json_object_array_length(old); i++) {
		struct json_object *other = json_object_array_get_idx(old, i);

		if (strcmp(fm_json_string_or(other, "name", ""), name))
			json_object_array_add(list, json_object_get(other));
	}
	json_object_array_add(list, json_object_get(taken));
	text = fm_json_text(o);
	return fm_file_write(path, 0600, text, strlen(text), err);
}

struct json_object *record_new(const struct site *site, size_t i, const char *state)
{
	struct json_object *o = json_object_new_object();
	FM_AUTO_FREE char *where = site_where(site, i);
	time_t now = time(NULL);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fm_json_set_string(o, "name", site_name(site, i));
	fm_json_set_string(o, "where", where);
	fm_json_set_string(o, "state", state);
	fm_json_set_string(o, "since", text);
	return o;
}

/* One whose copier is not there any more waits for the next. */
static struct json_object *describe(const struct site *site, size_t i, struct json_object *record, bool busy)
{
	FM_AUTO_FREE char *where = site_where(site, i);
	struct json_object *entry = record_entry(record, site_name(site, i), where), *copy = NULL;

	if (!entry || json_object_deep_copy(entry, &copy, NULL) < 0) {
		copy = record_new(site, i, "waiting");
		json_object_object_del(copy, "since");
	} else if (!strcmp(fm_json_string_or(copy, "state", ""), "copying") && !busy) {
		fm_json_set_string(copy, "state", "waiting");
	}
	return copy;
}

struct json_object *record_describe(const struct fm_conf *conf, const struct fm_snapshot_id *id)
{
	FM_AUTO_JSON struct json_object *record = NULL;
	struct json_object *list = NULL;
	struct fm_error ignored;
	struct site site;

	if (site_init_conf(&site, conf, SITE_IMPATIENT, &ignored) == 0 && site.count) {
		bool busy = at_work(conf->store_dir, id->job);

		record = record_read(conf->store_dir, id);
		list = json_object_new_array();
		for (size_t i = 0; i < site.count; i++)
			json_object_array_add(list, describe(&site, i, record, busy));
	}
	site_dispose(&site);
	return list;
}

/* ---- what was removed ---------------------------------------------------------------------- */

static char *removed_path(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	char *path = fm_format("%s/%" PRIu32 "/" REMOVED_PREFIX "%" PRIu32, store, id->job, id->n);

	if (!path)
		fm_fail(err, FM_FAILED, "out of memory");
	return path;
}

int record_removing(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = removed_path(store, id, err);
	FM_AUTO_FREE char *dir = folder_job(store, id->job, err);

	if (!path || !dir || fm_mkdir_all(dir, 0700, err) < 0)
		return -1;
	return fm_file_write(path, 0600, "", 0, err);
}

int record_is_removed(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = removed_path(store, id, err);
	int whole = folder_is_whole(store, id, err);
	struct stat st;

	if (!path || whole)
		return !path || whole < 0 ? -1 : 0;
	if (lstat(path, &st) == 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR ? 0 : fm_fail(err, FM_FAILED, "cannot stat %s: %s", path, strerror(errno));
}

static int add_removed(const char *store, const struct fm_snapshot_id *id, struct folder_numbers *numbers, struct fm_error *err)
{
	int removed = record_is_removed(store, id, err);
	uint32_t *values;

	if (removed <= 0)
		return removed < 0 ? -1 : record_removed_done(store, id, err);
	values = reallocarray(numbers->values, numbers->count + 1, sizeof(*values));
	if (!values)
		return fm_fail(err, FM_FAILED, "out of memory");
	values[numbers->count++] = id->n;
	numbers->values = values;
	return 0;
}

int record_removed(const char *store, uint32_t job, struct folder_numbers *numbers_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_job(store, job, err);
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;
	int rc = 0;

	memset(numbers_r, 0, sizeof(*numbers_r));
	if (!path)
		return -1;
	if (!dir)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	while (rc == 0 && (entry = readdir(dir))) {
		struct fm_snapshot_id id = { .job = job };
		char rest;

		if (sscanf(entry->d_name, REMOVED_PREFIX "%" SCNu32 "%c", &id.n, &rest) == 1 && id.n)
			rc = add_removed(store, &id, numbers_r, err);
	}
	closedir(dir);
	return rc;
}

int record_removed_done(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = removed_path(store, id, err);

	if (path && unlink(path) < 0 && errno != ENOENT)
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", path, strerror(errno));
	return path ? 0 : -1;
}

/* ---- a folder of work ------------------------------------------------------------------------- */

static bool is_left(int dir, const char *name)
{
	FM_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
	       time(NULL) - st.st_mtime >= STAGE_AGE_S;
}

static void remove_left(const char *job_dir)
{
	DIR *dir = opendir(job_dir);
	struct fm_error ignored;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		FM_AUTO_FREE char *path = NULL;

		if (strncmp(entry->d_name, STAGE_PREFIX, strlen(STAGE_PREFIX)) || !is_left(dirfd(dir), entry->d_name))
			continue;
		path = fm_format("%s/%s", job_dir, entry->d_name);
		if (path)
			fm_remove_tree(path, &ignored);
	}
	if (dir)
		closedir(dir);
}

int stage_make(struct stage *stage, const char *store, uint32_t job, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = folder_job(store, job, err);

	*stage = (struct stage){ .fd = -1 };
	if (!dir)
		return -1;
	remove_left(dir);
	stage->path = fm_format("%s/" STAGE_PREFIX "XXXXXX", dir);
	if (!stage->path || !mkdtemp(stage->path)) {
		fm_fail(err, FM_FAILED, "cannot make a folder in %s: %s", dir, strerror(errno));
		free(fm_steal_ptr(&stage->path));
		return -1;
	}
	stage->fd = open(stage->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (stage->fd >= 0 && flock(stage->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	fm_fail(err, FM_FAILED, "cannot lock %s: %s", stage->path, strerror(errno));
	stage_remove(stage);
	return -1;
}

void stage_remove(struct stage *stage)
{
	struct fm_error ignored;

	if (!stage->path)
		return;
	fm_remove_tree(stage->path, &ignored);
	free(fm_steal_ptr(&stage->path));
	if (stage->fd >= 0)
		close(fm_steal_fd(&stage->fd));
}
