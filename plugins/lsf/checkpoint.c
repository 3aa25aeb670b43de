/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint.c - see checkpoint.h. */
#include "config.h"

#include "plugins/lsf/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

#define FILE_NAME "fermata.snapshot"
#define STARTS_NAME "fermata.starts"
#define FILE_MAX (4u << 20)
#define VERSION_ 1

int lsf_checkpoint_dir(const char *dir, struct fm_error *err)
{
	struct stat st;

	if (stat(dir, &st))
		return fm_fail(err, errno == EACCES ? FM_DENIED : FM_NOT_FOUND, "checkpoint directory %s: %s", dir,
			       strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fm_fail(err, FM_USAGE, "checkpoint directory %s is no directory", dir);
	if (access(dir, W_OK | X_OK))
		return fm_fail(err, FM_DENIED, "checkpoint directory %s: %s", dir, strerror(errno));
	return 0;
}

int lsf_checkpoint_clear(const char *dir, struct fm_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return fm_fail(err, FM_FAILED, "checkpoint directory %s: %s", dir, strerror(errno));
	while (!r && (entry = readdir(d))) {
		if (strncmp(entry->d_name, FILE_NAME, strlen(FILE_NAME)))
			continue;
		if (unlinkat(dirfd(d), entry->d_name, 0) && errno != ENOENT)
			r = fm_fail(err, FM_FAILED, "%s/%s, left by an earlier checkpoint: %s", dir, entry->d_name,
				    strerror(errno));
	}
	closedir(d);
	return r;
}

static struct json_object *names_of(struct json_object *members)
{
	struct json_object *nodes = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(members); i++) {
		struct json_object *member = json_object_array_get_idx(members, i);

		json_object_array_add(nodes, json_object_new_string(fm_json_string_or(member, "node", "")));
	}
	return nodes;
}

static void seal(struct json_object *o, char hex_r[65])
{
	const char *text;

	json_object_object_del(o, "sha256");
	text = fm_json_text(o);
	fm_sha256_hex(text, strlen(text), hex_r);
}

int lsf_checkpoint_write(const char *dir, const struct lsf_job *job, struct json_object *snapshot, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	FM_AUTO_FREE char *path = fm_format("%s/" FILE_NAME, dir);
	FM_AUTO_FREE char *text = NULL;
	struct json_object *members;
	struct fm_snapshot_id id;
	char hex[65];

	if (fm_json_array(snapshot, "members", 1 << 16, &members, err) ||
	    fm_snapshot_id_parse(fm_json_string_or(snapshot, "snapshot", ""), &id, err))
		return fm_context(err, "the agent's answer");
	fm_json_set_int(o, "version", VERSION_);
	fm_json_set_string(o, "job", job->name);
	fm_json_set_int(o, "number", job->number);
	fm_json_set_string(o, "snapshot", fm_json_string_or(snapshot, "snapshot", ""));
	fm_json_set_string(o, "created", fm_json_string_or(snapshot, "created", ""));
	fm_json_set_int(o, "members", (int64_t)json_object_array_length(members));
	fm_json_set_int(o, "bytes", fm_json_int_or(snapshot, "bytes", 0));
	json_object_object_add(o, "nodes", names_of(members));
	seal(o, hex);
	fm_json_set_string(o, "sha256", hex);
	text = fm_format("%s\n", fm_json_text(o));
	if (!path || !text)
		return fm_fail(err, FM_FAILED, "out of memory");
	return fm_file_write(path, 0600, text, strlen(text), err);
}

static int check(struct json_object *o, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	FM_AUTO_FREE char *said = strdup(fm_json_string_or(o, "sha256", ""));
	int64_t version = fm_json_int_or(o, "version", 0);
	char hex[65];

	seal(o, hex);
	if (!said || strcmp(said, hex))
		return fm_fail(err, FM_CORRUPT, "its checksum is wrong");
	if (version != VERSION_)
		return fm_fail(err, FM_INCOMPATIBLE, "it is of version %lld", (long long)version);
	if (fm_snapshot_id_parse(fm_json_string_or(o, "snapshot", ""), id_r, err) || !id_r->n)
		return fm_fail(err, FM_CORRUPT, "it names no snapshot");
	return 0;
}

int lsf_checkpoint_read(const char *dir, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/" FILE_NAME, dir);
	FM_AUTO_JSON struct json_object *o = NULL;
	FM_AUTO_FREE char *text = NULL;
	size_t size;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, FILE_MAX, &size, err);
	if (!text)
		return -1;
	o = fm_json_parse(text, size, err);
	if (!o) {
		err->code = FM_CORRUPT;
		return fm_context(err, "%s", path);
	}
	return check(o, id_r, err) ? fm_context(err, "%s", path) : 0;
}

unsigned lsf_starts_read(const char *dir)
{
	FM_AUTO_FREE char *path = fm_format("%s/" STARTS_NAME, dir);
	FM_AUTO_FREE char *text = NULL;
	struct fm_error none;
	struct stat st;
	long count = 0;
	size_t size;

	if (!path || lstat(path, &st) || !S_ISREG(st.st_mode)) /* a pipe would not let root's programs go */
		return 0;
	text = fm_file_read(path, 64, &size, &none);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text && !lsf_number(text, 0, INT32_MAX - 1, &count) ? (unsigned)count : 0;
}

int lsf_starts_write(const char *dir, unsigned count, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/" STARTS_NAME, dir);
	char text[16];

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	snprintf(text, sizeof text, "%u\n", count);
	return fm_file_write(path, 0600, text, strlen(text), err);
}
