/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.c - see io.h. */
#include "config.h"

#include "common/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

int fm_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t fm_read_all(int fd, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

char *fm_file_read(const char *path, size_t max, size_t *size_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	FM_AUTO_FREE char *data = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st)) {
		fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if ((size_t)st.st_size > max) {
		fm_fail(err, FM_CORRUPT, "%s: %lld bytes, more than the %zu it may have", path,
			(long long)st.st_size, max);
		return NULL;
	}
	/* A file in /proc says 0: then read up to max. */
	size_t room = st.st_size ? (size_t)st.st_size : max;

	if (!(data = malloc(room + 1))) {
		fm_fail(err, FM_FAILED, "%s: out of memory", path);
		return NULL;
	}
	if ((n = fm_read_all(fd, data, room)) < 0) {
		fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
		return NULL;
	}
	data[n] = '\0';
	if (size_r)
		*size_r = (size_t)n;
	return fm_steal_ptr(&data);
}

/* "dir" of "dir/name"; "." when there is no slash. Caller frees. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int fm_fsync_dir(const char *path, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	return 0;
}

int fm_file_write(const char *path, mode_t mode, const void *data, size_t size, struct fm_error *err)
{
	FM_AUTO_FREE char *temp = fm_format("%s.tmp.XXXXXX", path), *dir = parent_of(path);
	FM_AUTO_CLOSE int fd = -1;

	if (!temp || !dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if ((fd = mkostemp(temp, O_CLOEXEC)) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", temp, strerror(errno));
	if (fchmod(fd, mode) || fm_write_all(fd, data, size) || fsync(fd) || rename(temp, path)) {
		fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
		unlink(temp);
		return -1;
	}
	return fm_fsync_dir(dir, err);
}

int fm_mkdir_all(const char *path, mode_t mode, struct fm_error *err)
{
	FM_AUTO_FREE char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) && errno != EEXIST)
			return fm_fail(err, FM_FAILED, "%s: %s", copy, strerror(errno));
		*p = '/';
	}
	if (mkdir(copy, mode) && errno != EEXIST)
		return fm_fail(err, FM_FAILED, "%s: %s", copy, strerror(errno));
	if (stat(copy, &st) || !S_ISDIR(st.st_mode))
		return fm_fail(err, FM_FAILED, "%s: not a directory", copy);
	return 0;
}

/* Empty the folder behind fd (closed here). */
static int empty_dir(int fd, int depth)
{
	DIR *dir = depth > 32 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!dir) {
		close(fd);
		return -1;
	}
	while (!r && (errno = 0, e = readdir(dir))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(dir), e->d_name, 0) || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			r = -1;
			break;
		}
		sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = sub < 0 ? -1 : empty_dir(sub, depth + 1);
		if (!r)
			r = unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
	}
	if (errno)
		r = -1;
	closedir(dir);
	return r;
}

int fm_remove_tree(const char *path, struct fm_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || empty_dir(fd, 0) || (rmdir(path) && errno != ENOENT))
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}

char *fm_format(const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : text;
}
