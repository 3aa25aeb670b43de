/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faultfs - a folder, mounted once more, in which calls fail as on a disk that breaks (FUSE).
 *
 *	faultfs FOLDER MOUNT RULES      absolute paths; stays in the foreground until MOUNT is unmounted
 *
 * RULES is a file that may change at any time (by rename); missing or empty: all goes well. It has one line:
 *
 *	CALL PART ACTION AFTER
 *
 * CALL   create write fsync rename unlink mkdir rmdir truncate read; "change": any of these but read
 * PART   the path has this in it; "-": whatever the path
 * ACTION EIO, ENOSPC: it fails, and so does each that matches from then on: what has broken stays broken;
 *        KILL: the process that calls gets SIGKILL, and the call fails, once
 * AFTER  so many calls that match still work, counted from when RULES appeared
 *
 * "RULES.struck" gets a line for the first call that was struck. Reads of mapped files are reads: the process gets SIGBUS.
 * Nothing is cached longer than the kernel likes, so that whatever is changed below is seen.
 */
#define FUSE_USE_VERSION 31
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *folder, *rules;
static int top; /* folder, opened */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule {
	struct timespec since; /* of the file: another is another rule */
	ino_t file;
	char call[16], part[64], action[16];
	long after;
	bool told, done;
} rule;

/* With the lock. */
static void rule_read(void)
{
	FILE *f = fopen(rules, "re");
	struct rule r = { 0 };
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0) {
		rule = r;
	} else if (st.st_ino != rule.file || st.st_mtim.tv_sec != rule.since.tv_sec || st.st_mtim.tv_nsec != rule.since.tv_nsec) {
		if (fscanf(f, "%15s %63s %15s %ld", r.call, r.part, r.action, &r.after) != 4)
			*r.call = '\0';
		r.file = st.st_ino;
		r.since = st.st_mtim;
		rule = r;
	}
	if (f)
		fclose(f);
}

/* With the lock. */
static void rule_tell(const char *call, const char *path)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.struck", rules);
	f = rule.told ? NULL : fopen(name, "ae");
	rule.told = true;
	if (!f)
		return;
	fprintf(f, "%s %s\n", call, path ? path : "?");
	fclose(f);
}

/* 0: it may go on; else the negative errno. */
static int struck(const char *call, const char *path)
{
	bool change = strcmp(call, "read") != 0;
	int r = 0;

	pthread_mutex_lock(&lock);
	rule_read();
	if ((strcmp(rule.call, call) == 0 || (change && strcmp(rule.call, "change") == 0)) && !rule.done &&
	    (strcmp(rule.part, "-") == 0 || (path && strstr(path, rule.part))) && rule.after-- <= 0) {
		r = strcmp(rule.action, "ENOSPC") == 0 ? -ENOSPC : -EIO;
		rule.after = 0;
		rule_tell(call, path);
		if (strcmp(rule.action, "KILL") == 0) {
			rule.done = true;
			kill(fuse_get_context()->pid, SIGKILL);
		}
	}
	pthread_mutex_unlock(&lock);
	return r;
}

/* Of an open file: it may have been renamed, or removed. */
static int struck_file(const char *call, const struct fuse_file_info *fi)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", (int)fi->fh);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return struck(call, path);
}

static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return result(fi ? fstat((int)fi->fh, st) : fstatat(top, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int on_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int r = struck("create", path), fd;

	if (r)
		return r;
	fd = openat(top, below(path), fi->flags | O_CLOEXEC, mode);
	fi->fh = (uint64_t)fd;
	return result(fd < 0 ? -1 : 0);
}

static int on_open(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(top, below(path), fi->flags | O_CLOEXEC);

	fi->fh = (uint64_t)fd;
	return result(fd < 0 ? -1 : 0);
}

static int on_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	close((int)fi->fh);
	return 0;
}

static int on_read(const char *path, char *data, size_t size, off_t at, struct fuse_file_info *fi)
{
	int r = struck_file("read", fi);

	(void)path;
	return r ? r : result(pread((int)fi->fh, data, size, at));
}

static int on_write(const char *path, const char *data, size_t size, off_t at, struct fuse_file_info *fi)
{
	int r = struck_file("write", fi);

	(void)path;
	return r ? r : result(pwrite((int)fi->fh, data, size, at));
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	int r = struck_file("fsync", fi);

	(void)path, (void)data_only;
	return r ? r : result(fsync((int)fi->fh));
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int r = fi ? struck_file("truncate", fi) : struck("truncate", path), fd;

	if (r || fi)
		return r ? r : result(ftruncate((int)fi->fh, size));
	fd = openat(top, below(path), O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : result(ftruncate(fd, size));
	if (fd >= 0)
		close(fd);
	return r;
}

static int on_rename(const char *from, const char *to, unsigned flags)
{
	int r = struck("rename", to);

	return r ? r : result(renameat2(top, below(from), top, below(to), flags));
}

static int on_unlink(const char *path)
{
	int r = struck("unlink", path);

	return r ? r : result(unlinkat(top, below(path), 0));
}

static int on_mkdir(const char *path, mode_t mode)
{
	int r = struck("mkdir", path);

	return r ? r : result(mkdirat(top, below(path), mode));
}

static int on_rmdir(const char *path)
{
	int r = struck("rmdir", path);

	return r ? r : result(unlinkat(top, below(path), AT_REMOVEDIR));
}

static int on_link(const char *from, const char *to)
{
	int r = struck("create", to);

	return r ? r : result(linkat(top, below(from), top, below(to), 0));
}

static int on_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fi ? fchmod((int)fi->fh, mode) : fchmodat(top, below(path), mode, 0));
}

static int on_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return result(fi ? fchown((int)fi->fh, uid, gid) : fchownat(top, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int on_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	return result(fi ? futimens((int)fi->fh, times) : utimensat(top, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int on_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return result(fstatvfs(top, st));
}

static int on_opendir(const char *path, struct fuse_file_info *fi)
{
	return on_open(path, fi);
}

static int on_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *fi,
		      enum fuse_readdir_flags flags)
{
	int fd = openat((int)fi->fh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	(void)path, (void)at, (void)flags;
	if (!dir)
		return -errno;
	while ((d = readdir(dir)))
		if (fill(buffer, d->d_name, NULL, 0, 0))
			break;
	closedir(dir);
	return 0;
}

static void *on_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->use_ino = 1;
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = on_init,	 .getattr = on_getattr, .create = on_create,	 .open = on_open,	.release = on_release,
	.read = on_read,	 .write = on_write,	.fsync = on_fsync,	 .truncate = on_truncate, .rename = on_rename,
	.unlink = on_unlink,	 .mkdir = on_mkdir,	.rmdir = on_rmdir,	 .link = on_link,	.chmod = on_chmod,
	.chown = on_chown,	 .utimens = on_utimens, .statfs = on_statfs,	 .opendir = on_opendir, .releasedir = on_release,
	.readdir = on_readdir,	 .fsyncdir = on_fsync,
};

int main(int argc, char **argv)
{
	static char foreground[] = "-f", option[] = "-o", name[] = "fsname=faultfs";
	char *more[] = { argv[0], foreground, option, name, argc > 2 ? argv[2] : NULL, NULL };

	if (argc != 4) {
		fprintf(stderr, "usage: faultfs FOLDER MOUNT RULES\n");
		return 2;
	}
	folder = argv[1];
	rules = argv[3];
	top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0) {
		perror(folder);
		return 1;
	}
	umask(0);
	return fuse_main(5, more, &operations, NULL);
}
