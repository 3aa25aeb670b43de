/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.c - see pin.h. How a removal minds it: folder.c. */
#include "config.h"

#include "agent/store/pin.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/folder.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PIN_SIZE_MAX ((size_t)16 << 10)

static int no_snapshot(const struct fm_snapshot_id *id, struct fm_error *err)
{
	return fm_fail(err, FM_NOT_FOUND, "there is no snapshot %" PRIu32 ".%" PRIu32, id->job, id->n);
}

static void add_user(struct json_object *o, uid_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	fm_json_set_int(o, "uid", uid);
	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found)
		fm_json_set_string(o, "by", pw.pw_name);
}

static char *pin_text(uid_t uid, const char *comment)
{
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	time_t now = time(NULL);
	char when[32];
	struct tm tm;

	add_user(o, uid);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fm_json_set_string(o, "when", when);
	if (comment && *comment)
		fm_json_set_string(o, "comment", comment);
	return strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

int store_pin(const char *store, const struct fm_snapshot_id *id, uid_t uid, const char *comment, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, PIN_NAME, err);
	FM_AUTO_FREE char *text = pin_text(uid, comment);
	struct stat st;
	int whole;

	if (comment && strlen(comment) > PIN_COMMENT_MAX)
		return fm_fail(err, FM_USAGE, "the comment is longer than %d bytes", PIN_COMMENT_MAX);
	if (!path || !text)
		return fm_fail(err, FM_FAILED, "out of memory");
	whole = folder_is_whole(store, id, err);
	if (whole <= 0)
		return whole < 0 ? -1 : no_snapshot(id, err);
	if (fm_file_write(path, 0600, text, strlen(text), err) < 0) {
		struct fm_error why;

		return folder_is_whole(store, id, &why) == 0 ? no_snapshot(id, err) : -1;
	}
	/* A removal hides the manifest and then looks for a pin; we pin and then look for the manifest. */
	whole = folder_is_whole(store, id, err);
	if (whole > 0)
		return 0;
	if (whole == 0 && lstat(path, &st) == 0)
		unlink(path);
	return whole < 0 ? -1 : no_snapshot(id, err);
}

int store_unpin(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, PIN_NAME, err);
	FM_AUTO_FREE char *dir = folder_path(store, id, "", err);
	int whole = folder_is_whole(store, id, err);

	if (whole <= 0)
		return whole < 0 ? -1 : no_snapshot(id, err);
	if (!path || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (unlink(path) == 0)
		return fm_fsync_dir(dir, err);
	return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot remove %s: %s", path, strerror(errno));
}

int pin_is(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = folder_path(store, id, PIN_NAME, err);
	struct stat st;

	if (!path)
		return -1;
	if (lstat(path, &st) == 0)
		return 1;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return fm_fail(err, FM_FAILED, "cannot stat %s: %s", path, strerror(errno));
}

struct json_object *pin_read(const char *store, const struct fm_snapshot_id *id)
{
	struct fm_error err;
	FM_AUTO_FREE char *path = folder_path(store, id, PIN_NAME, &err);
	FM_AUTO_FREE char *text = NULL;
	struct json_object *o;
	size_t size;

	if (pin_is(store, id, &err) <= 0)
		return NULL;
	text = path ? fm_file_read(path, PIN_SIZE_MAX, &size, &err) : NULL;
	o = text ? fm_json_parse(text, size, &err) : NULL;
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	return json_object_new_object();
}

int pin_refuse(const char *store, const struct fm_snapshot_id *id, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *pin = pin_read(store, id);
	const char *by = fm_json_string_or(pin, "by", ""), *comment = fm_json_string_or(pin, "comment", "");

	return fm_fail(err, FM_BUSY, "snapshot %" PRIu32 ".%" PRIu32 " is pinned%s%s%s%s: unpin it first", id->job, id->n,
		       *by ? " by " : "", by, *comment ? ", " : "", comment);
}
