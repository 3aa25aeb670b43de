/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep.c - writers and readers share a lock, a sweep has it alone.
 *
 * A sweep takes it without waiting, and gives it back when somebody waits for it: these share a second lock meanwhile,
 * which the sweep tries now and then to take alone. Both go with their processes, on NFS with their nodes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/store_private.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LOCK_NAME "lock"
#define WANT_NAME "lock.want"
#define LOOK_NS 20000000L
#define GIVEN_UP 2

static int lock_open(const char *dir, const char *name, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s", dir, name);
	int fd;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* A file system that cannot be written: FM_INCOMPATIBLE to store_lock_to_read() only. */
	return fm_fail(err, errno == EROFS ? FM_INCOMPATIBLE : FM_FAILED, "cannot open %s: %s", path, strerror(errno));
}

/* 1 taken, 0 somebody else has it, -1. */
static int lock_try(const char *dir, int fd, int how, struct fm_error *err)
{
	if (flock(fd, how | LOCK_NB) == 0)
		return 1;
	if (errno == EWOULDBLOCK || errno == EINTR)
		return 0;
	return fm_fail(err, FM_FAILED, "cannot lock the pages in %s: %s", dir, strerror(errno));
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Who would have it alone waits for a sweep, which gives way; for writers and readers he does not. */
static int lock_try_again(const char *dir, int fd, bool alone, struct fm_error *err)
{
	int rc = lock_try(dir, fd, alone ? LOCK_EX : LOCK_SH, err);

	if (rc != 0 || !alone)
		return rc;
	rc = lock_try(dir, fd, LOCK_SH, err);
	if (rc > 0)
		flock(fd, LOCK_UN);
	return rc > 0 ? GIVEN_UP : rc;
}

/*
 * A sweep has it. Say that it is wanted and look again until it is there, or time is over: as lock_try(). GIVEN_UP: it
 * is somebody else who has it.
 */
static int lock_wait(const char *dir, int64_t wait_ms, int fd, bool alone, struct fm_error *err)
{
	const struct timespec pause = { 0, LOOK_NS };
	int64_t until = now_ms() + wait_ms;
	FM_AUTO_CLOSE int want = -1;
	int rc = 0;

	if (wait_ms <= 0)
		return 0;
	want = lock_open(dir, WANT_NAME, err);
	if (want < 0)
		return -1;
	while (rc == 0 && now_ms() < until) {
		/* In vain only while a sweep looks whether somebody wants it. */
		if (lock_try(dir, want, LOCK_SH, err) < 0)
			return -1;
		nanosleep(&pause, NULL);
		rc = lock_try_again(dir, fd, alone, err);
	}
	return rc;
}

/* alone: as a sweep; else as one who writes or reads. */
static int lock_take(const char *dir, int64_t wait_ms, bool alone, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = lock_open(dir, LOCK_NAME, err);
	int rc;

	if (fd < 0)
		return -1;
	rc = lock_try(dir, fd, alone ? LOCK_EX : LOCK_SH, err);
	if (rc == 0)
		rc = lock_wait(dir, wait_ms, fd, alone, err);
	if (rc == 1)
		return fm_steal_fd(&fd);
	if (rc >= 0)
		fm_fail(err, FM_BUSY, "%s: %s", dir,
			alone ? "pages are being written, read, or swept" : "a sweep is under way");
	return -1;
}

static bool is_there(const char *dir)
{
	return access(dir, F_OK) == 0 || errno != ENOENT;
}

int store_lock(const struct pages_store *s, struct store_locks *locks_r, struct fm_error *err)
{
	int64_t wait_ms = s->wait_ms > 0 ? s->wait_ms : 0;

	*locks_r = (struct store_locks)STORE_UNLOCKED;
	locks_r->dir = lock_take(s->dir, wait_ms, false, err);
	if (locks_r->dir < 0)
		return -1;
	if (!s->also || !is_there(s->also))
		return 0;
	locks_r->also = lock_take(s->also, wait_ms, false, err);
	/* FM_INCOMPATIBLE: it cannot be written, so nobody can sweep it from here; elsewhere that would be a lock we cannot have. */
	if (locks_r->also >= 0 || err->code == FM_INCOMPATIBLE) {
		err->code = FM_OK;
		return 0;
	}
	store_unlock(locks_r);
	return -1;
}

int store_lock_to_read(const struct pages_store *s, struct store_locks *locks_r, struct fm_error *err)
{
	return store_lock(s, locks_r, err) == 0 || err->code == FM_INCOMPATIBLE ? 0 : -1;
}

void store_unlock(struct store_locks *locks)
{
	if (locks->dir >= 0)
		close(fm_steal_fd(&locks->dir));
	if (locks->also >= 0)
		close(fm_steal_fd(&locks->also));
}

void pages_sweep_wait(struct pages_store *s, int64_t ms)
{
	s->sweep_wait_ms = ms;
}

int pages_sweep_begin(struct pages_store *s, struct fm_error *err)
{
	if (s->sweep_fd >= 0)
		return fm_fail(err, FM_BUSY, "%s: a sweep is under way", s->dir);
	s->want_fd = lock_open(s->dir, WANT_NAME, err);
	if (s->want_fd < 0)
		return -1;
	s->sweep_fd = lock_take(s->dir, s->sweep_wait_ms, true, err);
	if (s->sweep_fd >= 0)
		return 0;
	close(fm_steal_fd(&s->want_fd));
	return -1;
}

void pages_sweep_end(struct pages_store *s)
{
	if (s->sweep_fd < 0)
		return;
	close(fm_steal_fd(&s->sweep_fd));
	close(fm_steal_fd(&s->want_fd));
}

bool pages_sweep_wanted(const struct pages_store *s)
{
	if (s->sweep_fd < 0)
		return false;
	if (flock(s->want_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	flock(s->want_fd, LOCK_UN);
	return false;
}

int pages_pack_remove(struct pages_store *s, const char id[65], struct fm_error *err)
{
	FM_AUTO_FREE char *path = NULL;
	uint8_t ignored[32];

	if (s->sweep_fd < 0 || !hash_parse(id, ignored))
		return fm_fail(err, FM_USAGE, "%s: to remove pack %.70s without a sweep, or without its id", s->dir, id);
	path = fm_format("%s/%s" PACK_SUFFIX, s->dir, id);
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (unlink(path) < 0)
		return fm_fail(err, errno == ENOENT ? FM_NOT_FOUND : FM_FAILED, "cannot remove %s: %s", path,
			       strerror(errno));
	return fm_fsync_dir(s->dir, err);
}
