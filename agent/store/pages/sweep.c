/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep.c - writers share a lock, a sweep has it alone.
 *
 * Taken without waiting: who finds it taken says so, and the caller knows what is more urgent.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/store_private.h"
#include "common/cleanup.h"
#include "common/io.h"

int store_lock(const struct pages_store *s, bool alone, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/lock", s->dir);
	FM_AUTO_CLOSE int fd = -1;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", path, strerror(errno));
	if (flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return fm_steal_fd(&fd);
	if (errno == EWOULDBLOCK)
		return fm_fail(err, FM_BUSY, "%s: %s", s->dir,
			       alone ? "pages are being written, or swept" : "a sweep is under way");
	return fm_fail(err, FM_FAILED, "cannot lock %s: %s", path, strerror(errno));
}

int pages_sweep_begin(struct pages_store *s, struct fm_error *err)
{
	if (s->sweep_fd >= 0)
		return fm_fail(err, FM_BUSY, "%s: a sweep is under way", s->dir);
	s->sweep_fd = store_lock(s, true, err);
	return s->sweep_fd < 0 ? -1 : 0;
}

void pages_sweep_end(struct pages_store *s)
{
	if (s->sweep_fd >= 0)
		close(fm_steal_fd(&s->sweep_fd));
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
