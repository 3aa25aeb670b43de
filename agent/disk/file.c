/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.c - see file.h. */
#include "config.h"

#include "agent/disk/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

int disk_file_open(struct disk_place *p, struct fm_error *err)
{
	struct stat st;

	if (*p->where != '/')
		return fm_fail(err, FM_USAGE, "\"%s\" is not an absolute path", p->where);
	if (mkdir(p->where, 0700) < 0 && errno != EEXIST)
		return fm_fail(err, FM_INCOMPATIBLE, "%s: %s", p->where, strerror(errno));
	if (lstat(p->where, &st) < 0 || !S_ISDIR(st.st_mode))
		return fm_fail(err, FM_INCOMPATIBLE, "%s is no folder", p->where);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return fm_fail(err, FM_DENIED, "%s belongs to others, or they may write there", p->where);
	return 0;
}

char *disk_file_path(const struct disk_place *p, const char *name, bool cut, struct fm_error *err)
{
	char *path = fm_format("%s/%s%s", p->where, name, cut ? DISK_CUT : "");

	if (!path)
		fm_fail(err, FM_FAILED, "out of memory");
	return path;
}

int disk_file_create(struct disk_place *p, const char *name, uint64_t size, int *fd_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);
	FM_AUTO_CLOSE int fd = -1;

	if (!path)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fm_fail(err, errno == EEXIST ? FM_BUSY : FM_FAILED, "%s: %s", path, strerror(errno));
	if (ftruncate(fd, (off_t)size) < 0) {
		fm_fail(err, FM_FAILED, "%s: %llu bytes: %s", path, (unsigned long long)size, strerror(errno));
		unlink(path);
		return -1;
	}
	*fd_r = fm_steal_fd(&fd);
	return 0;
}

int disk_file_open_cut(struct disk_place *p, const char *name, uint64_t *size_r, int *fd_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, true, err);
	FM_AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	struct stat st;

	if (!path)
		return -1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	*size_r = (uint64_t)st.st_size;
	*fd_r = fm_steal_fd(&fd);
	return 0;
}

static int remove_one(struct disk_place *p, const char *name, bool cut, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, cut, err);

	if (!path)
		return -1;
	return unlink(path) == 0 || errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
}

int disk_file_drop_cut(struct disk_place *p, const char *name, struct fm_error *err)
{
	return remove_one(p, name, true, err);
}

/* The cut first: as long as there is the disk, what is left of it is found. */
int disk_file_remove(struct disk_place *p, const char *name, struct fm_error *err)
{
	return remove_one(p, name, true, err) < 0 ? -1 : remove_one(p, name, false, err);
}

/* A cut without its disk: somebody removed that by hand; it is told of as the disk. */
static int tell(struct disk_place *p, const char *file, disk_each_fn each, void *data, struct fm_error *err)
{
	size_t length = strlen(file), ending = strlen(DISK_CUT);
	bool cut = length > ending && strcmp(file + length - ending, DISK_CUT) == 0;
	FM_AUTO_FREE char *name = strndup(file, cut ? length - ending : length);
	FM_AUTO_FREE char *path = name ? disk_file_path(p, name, !cut, err) : NULL;
	char domain[DISK_NAME_SIZE];
	const char *vdev;
	bool other;

	if (!name || !path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (!disk_name_parse(name, domain, sizeof(domain), &vdev))
		return 0;
	other = access(path, F_OK) == 0;
	return cut && other ? 0 : each(name, cut || other, data, err);
}

int disk_file_list(struct disk_place *p, disk_each_fn each, void *data, struct fm_error *err)
{
	struct dirent **entry;
	int n = scandir(p->where, &entry, NULL, alphasort), rc = 0;

	if (n < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", p->where, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = tell(p, entry[i]->d_name, each, data, err);
		free(entry[i]);
	}
	free(entry);
	return rc;
}

int disk_file_room(struct disk_place *p, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = disk_file_path(p, name, false, err);
	struct statvfs fs;
	struct stat st;
	uint64_t need, free_bytes;

	if (!path)
		return -1;
	if (stat(path, &st) < 0 || statvfs(path, &fs) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	need = (uint64_t)st.st_blocks * 512;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (need <= free_bytes)
		return 0;
	return fm_fail(err, FM_FAILED,
		       "No space left for a copy of disk %s: %llu MiB are free in %s, and %llu MiB may be needed until the copy is stored",
		       name, (unsigned long long)(free_bytes >> 20), p->where, (unsigned long long)(need >> 20));
}
