/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * directory_tree.c - the folders of a directory level.
 *
 * Several hosts put and remove at the same time: a folder found empty may be
 * removed between the making of it and the move into it, so that is done again.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/levels/directory_private.h"
#include "common/cleanup.h"

#define MOVE_TRIES 16
#define DEPTH_MAX 32

int directory_temp(struct directory *d, char temp_r[DIRECTORY_TEMP_MAX], struct fm_error *err)
{
	char host[65] = "";
	uint64_t tag;

	if (getrandom(&tag, sizeof(tag), 0) != (ssize_t)sizeof(tag))
		return fm_fail(err, FM_FAILED, "no random bytes");
	gethostname(host, sizeof(host) - 1);
	if (mkdirat(d->fd, DIRECTORY_INCOMING, 0700) < 0 && errno != EEXIST)
		return directory_fail(err, "cannot create", DIRECTORY_INCOMING);
	snprintf(temp_r, DIRECTORY_TEMP_MAX, DIRECTORY_INCOMING "/%s-%ld-%016" PRIx64, host, (long)getpid(), tag);
	return 0;
}

/* The folder that holds `name`, "." for none. */
static int sync_folder(struct directory *d, const char *folder, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = openat(d->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0; /* gone with its last object */
	/* EINVAL: a file system that has no such call for folders, as some FUSE ones. */
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return directory_fail(err, "cannot make durable", folder);
	return 0;
}

/* "a" of "a/b", "." of "a"; in place: the caller's copy. */
static const char *parent_of(char *name)
{
	char *slash = strrchr(name, '/');

	if (!slash)
		return ".";
	*slash = '\0';
	return name;
}

static int sync_parent(struct directory *d, const char *name, struct fm_error *err)
{
	char copy[LEVEL_NAME_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", name);
	return sync_folder(d, parent_of(copy), err);
}

/* All folders above `name`; a new one is durable in its own. */
static int make_folders(struct directory *d, const char *name, struct fm_error *err)
{
	char folder[LEVEL_NAME_MAX + 1];

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - name), name);
		if (!mkdirat(d->fd, folder, 0700)) {
			if (sync_parent(d, folder, err) < 0)
				return -1;
		} else if (errno != EEXIST && errno != ENOENT) { /* ENOENT: as in directory_move() */
			return directory_fail(err, "cannot create the folder", folder);
		}
	}
	return 0;
}

int directory_move(struct directory *d, const char *temp, const char *name, struct fm_error *err)
{
	for (int i = 0; i < MOVE_TRIES; i++) {
		if (make_folders(d, name, err) < 0)
			return -1;
		if (!renameat(d->fd, temp, d->fd, name))
			return sync_parent(d, name, err);
		if (errno != ENOENT)
			break;
	}
	return directory_fail(err, "cannot rename to it", temp);
}

int directory_remove(struct level *level, const char *name, struct fm_error *err)
{
	struct directory *d = (struct directory *)level;
	char folder[LEVEL_NAME_MAX + 1];
	const char *parent;

	if (unlinkat(d->fd, name, 0) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return directory_fail(err, "cannot remove it", "");
	}
	if (sync_parent(d, name, err) < 0)
		return -1;
	snprintf(folder, sizeof(folder), "%s", name);
	/* Only an empty folder goes; that it is not is no error, nor that another host was faster. */
	while (strcmp(parent = parent_of(folder), ".") != 0)
		if (unlinkat(d->fd, parent, AT_REMOVEDIR) < 0)
			break;
	return 0;
}

struct walk {
	const char *prefix;
	level_each each;
	void *arg;
};

/* Whether what begins with `path` and what begins with `prefix` can be the same. */
static bool may_match(const char *path, const char *prefix)
{
	size_t a = strlen(path), b = strlen(prefix);

	return !strncmp(path, prefix, a < b ? a : b);
}

static int walk_folder(const struct walk *w, int parent_fd, const char *entry, const char *path, int depth,
		       struct fm_error *err);

/* One entry, named `path` from the top: 1 when the listing is to end. */
static int walk_entry(const struct walk *w, int fd, const char *entry, const char *path, int depth,
		      struct fm_error *err)
{
	struct stat st;

	if (!may_match(path, w->prefix) || !level_name_is_valid(path))
		return 0;
	if (fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : directory_fail(err, "cannot look at", path);
	if (S_ISDIR(st.st_mode))
		return walk_folder(w, fd, entry, path, depth + 1, err);
	if (!S_ISREG(st.st_mode) || strncmp(path, w->prefix, strlen(w->prefix)) != 0)
		return 0;
	return w->each(w->arg, path, (uint64_t)st.st_size) ? 1 : 0;
}

static int walk_folder(const struct walk *w, int parent_fd, const char *entry, const char *path, int depth,
		       struct fm_error *err)
{
	int fd = openat(parent_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	char sub[LEVEL_NAME_MAX + 300];
	struct dirent *e;
	DIR *dir;

	if (fd < 0 && errno == ENOENT && depth)
		return 0; /* went while we looked */
	dir = fd < 0 || depth > DEPTH_MAX ? NULL : fdopendir(fd);
	if (!dir) {
		directory_fail(err, "cannot list", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (!r && (errno = 0, e = readdir(dir))) {
		if (*e->d_name == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s%s%s", path, *path ? "/" : "", e->d_name);
		r = walk_entry(w, dirfd(dir), e->d_name, sub, depth, err);
	}
	if (!r && errno)
		r = directory_fail(err, "cannot list", path);
	closedir(dir);
	return r;
}

int directory_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err)
{
	struct walk w = { .prefix = prefix, .each = each, .arg = arg };

	return walk_folder(&w, ((struct directory *)level)->fd, ".", "", 0, err) < 0 ? -1 : 0;
}

/* What time it is where the files are: another host's clock may differ. */
static int place_now(struct directory *d, time_t *now_r, struct fm_error *err)
{
	char temp[DIRECTORY_TEMP_MAX];
	FM_AUTO_CLOSE int fd = -1;
	struct stat st;

	if (directory_temp(d, temp, err) < 0)
		return -1;
	fd = openat(d->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return directory_fail(err, "cannot create", temp);
	unlinkat(d->fd, temp, 0);
	*now_r = st.st_mtime;
	return 0;
}

int directory_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err)
{
	struct directory *d = (struct directory *)level;
	struct dirent *e;
	struct stat st;
	time_t now = 0;
	DIR *dir;
	int fd;

	if (place_now(d, &now, err) < 0)
		return -1;
	fd = openat(d->fd, DIRECTORY_INCOMING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		directory_fail(err, "cannot list", DIRECTORY_INCOMING);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(dir)))
		if (!fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
		    now - st.st_mtime >= age_s && !unlinkat(dirfd(dir), e->d_name, 0))
			++*removed_r;
	closedir(dir);
	return 0;
}
