/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * level.c - what all places have in common: names are checked, errors say where,
 * and a check is made of the other calls.
 */
#include "config.h"

#include "agent/store/levels/level.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/store/levels/driver.h"
#include "common/cleanup.h"
#include "common/io.h"

#define PROBE_BYTES ((size_t)64 << 10)

static bool component_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

/* Also of a prefix: then the last component may be empty. */
static bool name_is_valid(const char *name, bool prefix)
{
	size_t length = 0;
	char before = '/';

	for (const char *p = name; *p; before = *p, p++, length++) {
		if (before == '/' && (*p == '/' || *p == '.'))
			return false;
		if (*p != '/' && !component_char(*p))
			return false;
	}
	return length <= LEVEL_NAME_MAX && (prefix || before != '/');
}

bool level_name_is_valid(const char *name)
{
	return name_is_valid(name, false);
}

static int check_name(const char *name, struct fm_error *err)
{
	if (!name_is_valid(name, false))
		return fm_fail(err, FM_USAGE, "\"%.80s\" is not the name of an object", name);
	return 0;
}

static bool sha256_is_valid(const char *hex)
{
	return strspn(hex, "0123456789abcdef") == 64 && !hex[64];
}

const char *level_where(const struct level *level)
{
	return level->where;
}

int level_put(struct level *level, const char *name, const char *path, const struct level_object *object,
	      const struct level_transfer *transfer, enum level_put_result *result_r, struct fm_error *err)
{
	enum level_put_result result = LEVEL_STORED;
	struct outgoing out;
	int r;

	if (check_name(name, err) < 0)
		return -1;
	if (!sha256_is_valid(object->sha256))
		return fm_fail(err, FM_USAGE, "%s: an object is put with its SHA-256", name);
	r = outgoing_open(&out, path, object, transfer, err);
	if (!r)
		r = level->ops->put(level, name, &out, &result, err);
	outgoing_close(&out);
	if (r < 0)
		return fm_context(err, "%s: %s", level->where, name);
	if (result_r)
		*result_r = result;
	return 0;
}

int level_get(struct level *level, const char *name, const char *path, const struct level_object *expected,
	      const struct level_transfer *transfer, struct level_object *got_r, struct fm_error *err)
{
	struct level_object got;
	struct incoming in;
	int r;

	if (check_name(name, err) < 0)
		return -1;
	if (expected && !sha256_is_valid(expected->sha256))
		return fm_fail(err, FM_USAGE, "%s: an object is expected with its SHA-256, or not at all", name);
	r = incoming_create(&in, path, expected, transfer, err);
	if (!r)
		r = level->ops->get(level, name, &in, err);
	if (!r)
		r = incoming_finish(&in, &got, err);
	incoming_dispose(&in);
	if (r < 0)
		return fm_context(err, "%s: %s", level->where, name);
	if (got_r)
		*got_r = got;
	return 0;
}

int level_head(struct level *level, const char *name, struct level_object *object_r, struct fm_error *err)
{
	if (check_name(name, err) < 0)
		return -1;
	if (level->ops->head(level, name, object_r, err) < 0)
		return fm_context(err, "%s: %s", level->where, name);
	return 0;
}

int level_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err)
{
	if (!name_is_valid(prefix, true))
		return fm_fail(err, FM_USAGE, "\"%.80s\" is not the beginning of an object's name", prefix);
	if (level->ops->list(level, prefix, each, arg, err) < 0)
		return fm_context(err, "%s: listing %s*", level->where, prefix);
	return 0;
}

int level_remove(struct level *level, const char *name, struct fm_error *err)
{
	if (check_name(name, err) < 0)
		return -1;
	if (level->ops->remove(level, name, err) < 0)
		return fm_context(err, "%s: removing %s", level->where, name);
	return 0;
}

static int add_to_usage(void *arg, const char *name, uint64_t bytes)
{
	struct level_usage *usage = arg;

	(void)name;
	usage->objects++;
	usage->bytes += bytes;
	return 0;
}

int level_usage(struct level *level, const char *prefix, struct level_usage *usage_r, struct fm_error *err)
{
	struct level_usage usage = { .free_bytes = -1 };

	if (level_list(level, prefix, add_to_usage, &usage, err) < 0)
		return -1;
	if (level->ops->free_bytes)
		usage.free_bytes = level->ops->free_bytes(level);
	*usage_r = usage;
	return 0;
}

int level_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err)
{
	unsigned removed = 0;

	if (level->ops->sweep(level, age_s, &removed, err) < 0)
		return fm_context(err, "%s: removing what was left", level->where);
	if (removed_r)
		*removed_r = removed;
	return 0;
}

struct probe {
	char name[160];
	char path[32];
	struct level_object object;
	bool listed;
};

static int find_probe(void *arg, const char *name, uint64_t bytes)
{
	struct probe *probe = arg;

	if (!strcmp(name, probe->name) && bytes == probe->object.bytes)
		probe->listed = true;
	return probe->listed;
}

/* A local file of random bytes, and the name it will have: of a host's own characters only those a name may have. */
static int probe_create(struct probe *probe, struct fm_error *err)
{
	FM_AUTO_FREE unsigned char *data = malloc(PROBE_BYTES);
	FM_AUTO_CLOSE int fd = -1;
	char host[64] = "host";
	uint32_t tag = 0;

	*probe = (struct probe){ .path = "/tmp/fermata-probe.XXXXXX" };
	if (!data)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; i < PROBE_BYTES; i += 256) /* the most that comes in one piece, always */
		if (getrandom(data + i, 256, 0) != 256)
			return fm_fail(err, FM_FAILED, "no random bytes");
	memcpy(&tag, data, sizeof(tag));
	gethostname(host, sizeof(host) - 1);
	for (char *p = host; *p; p++)
		if (!component_char(*p))
			*p = '_';
	snprintf(probe->name, sizeof(probe->name), "probe/%s-%ld-%08x", *host == '.' ? "host" : host,
		 (long)getpid(), tag);
	fd = mkstemp(probe->path);
	if (fd < 0 || fm_write_all(fd, data, PROBE_BYTES) < 0) {
		fm_fail(err, FM_FAILED, "cannot write %s: %m", probe->path);
		if (fd >= 0)
			unlink(probe->path);
		return -1;
	}
	return level_object_of_file(probe->path, &probe->object, err);
}

static int probe_verify(struct level *level, struct probe *probe, struct fm_error *err)
{
	if (level_list(level, "probe/", find_probe, probe, err) < 0)
		return fm_context(err, "a probe was written, but cannot be listed");
	if (!probe->listed)
		return fm_fail(err, FM_FAILED, "%s: %s was written, but is not listed", level->where, probe->name);
	if (level_get(level, probe->name, probe->path, &probe->object, NULL, NULL, err) < 0)
		return fm_context(err, "a probe was written, but cannot be read back");
	return 0;
}

int level_check(struct level *level, struct fm_error *err)
{
	struct fm_error ignored;
	struct probe probe;
	int r;

	if (probe_create(&probe, err) < 0)
		return -1;
	if (level_put(level, probe.name, probe.path, &probe.object, NULL, NULL, err) < 0) {
		unlink(probe.path);
		return fm_context(err, "a probe could not be written");
	}
	r = probe_verify(level, &probe, err);
	unlink(probe.path);
	if (level_remove(level, probe.name, r ? &ignored : err) < 0 && !r)
		return fm_context(err, "a probe was written and read, but cannot be removed");
	return r;
}

void level_close(struct level *level)
{
	char *where;

	if (!level)
		return;
	where = level->where;
	level->ops->close(level);
	free(where);
}
