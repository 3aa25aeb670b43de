/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.c - small files of a snapshot: a member's held frames.
 *
 * A name is one plain path component, whoever gave it: a manifest that names
 * "../../etc/x" must not lead anywhere.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/schema.h"
#include "agent/store/store.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"

static int check_name(const char *name, struct fm_error *err)
{
	if (!schema_component(name))
		return fm_fail(err, FM_USAGE, "\"%.80s\" is not the name of a file in a snapshot", name);
	return 0;
}

int store_file_write(const char *dir, const char *name, const void *data, size_t size,
		     struct store_file *file_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s", dir, name);

	if (check_name(name, err) < 0)
		return -1;
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (size > STORE_SMALL_MAX)
		return fm_fail(err, FM_FAILED, "%s: %zu bytes are more than the %llu it may have", path, size,
			       (unsigned long long)STORE_SMALL_MAX);
	if (fm_file_write(path, 0600, data, size, err) < 0)
		return -1;
	memset(file_r, 0, sizeof(*file_r));
	snprintf(file_r->name, sizeof(file_r->name), "%s", name);
	file_r->bytes = file_r->raw_bytes = size;
	fm_sha256_hex(data, size, file_r->sha256);
	return 0;
}

/* All `bytes` of the open file, and no more; one NUL behind them. */
static char *read_exactly(int fd, const char *path, uint64_t bytes, struct fm_error *err)
{
	FM_AUTO_FREE char *data = malloc((size_t)bytes + 1);
	ssize_t n;

	if (!data) {
		fm_fail(err, FM_FAILED, "%s: out of memory", path);
		return NULL;
	}
	n = fm_read_all(fd, data, (size_t)bytes + 1);
	if (n < 0) {
		fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	if ((uint64_t)n != bytes) {
		fm_fail(err, FM_CORRUPT, "%s does not have the %llu bytes its manifest says", path,
			(unsigned long long)bytes);
		return NULL;
	}
	data[n] = '\0';
	return fm_steal_ptr(&data);
}

static int open_regular(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return fm_fail(err, FM_CORRUPT, "%s is missing", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fm_fail(err, FM_CORRUPT, "%s is not a regular file", path);
	return fm_steal_fd(&fd);
}

int store_file_read(const char *dir, const struct store_file *expected, size_t max, void **data_r,
		    size_t *size_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s", dir, expected->name), *data = NULL;
	FM_AUTO_CLOSE int fd = -1;
	char hex[65];

	if (check_name(expected->name, err) < 0)
		return -1;
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (expected->bytes > max || expected->bytes > STORE_SMALL_MAX)
		return fm_fail(err, FM_CORRUPT, "%s: %llu bytes are more than it may have", path,
			       (unsigned long long)expected->bytes);
	fd = open_regular(path, err);
	if (fd < 0)
		return -1;
	data = read_exactly(fd, path, expected->bytes, err);
	if (!data)
		return -1;
	fm_sha256_hex(data, (size_t)expected->bytes, hex);
	if (strcmp(hex, expected->sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, its manifest says %.12s…",
			       path, hex, expected->sha256);
	*data_r = fm_steal_ptr(&data);
	*size_r = (size_t)expected->bytes;
	return 0;
}
