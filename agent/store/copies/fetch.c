/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetch.c - see fetch.h: one file. fetch_snapshot.c has what of a snapshot is fetched. */
#include "config.h"

#include "agent/store/copies/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/copies/fetch_private.h"
#include "agent/store/folder.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LOCK_NAME "fetch.lock"
#define LOOK_NS 100000000L

const char *fetched_from(const struct site *site, const struct fetched *f)
{
	return f->far ? site_name(site, f->far - 1) : LEVEL_SPEC_STORE;
}

/* ---- one at a time ------------------------------------------------------------------------- */

/* Where in the lock's file: a name has a byte. Two that share one wait for each other, no more (FNV-1a). */
static off_t place_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	return (off_t)(h >> 2);
}

/* A descriptor that holds it; *waited_r: somebody else had it, and may have done the work. */
static int lock_file(struct site *site, uint32_t job, const char *object, bool *waited_r, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%" PRIu32 "/" LOCK_NAME, site->store, job);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = place_of(object), .l_len = 1 };
	const struct timespec pause = { 0, LOOK_NS };
	FM_AUTO_CLOSE int fd = path ? open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

	*waited_r = false;
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", path ? path : LOCK_NAME, strerror(errno));
	while (fcntl(fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES || errno == EINTR)) {
		*waited_r = true;
		if (site->moved) /* for somebody else */
			site->moved(site->arg);
		if (site->stop && site->stop(site->arg))
			return fm_fail(err, FM_FAILED, "stopped while %s was being fetched", object);
		nanosleep(&pause, NULL);
	}
	return fm_steal_fd(&fd); /* a file system without such locks: then two may fetch it */
}

/* ---- from the nearest --------------------------------------------------------------------------- */

void fetch_blame(struct blame *b, const char *name, const struct fm_error *why)
{
	size_t used = strlen(b->text);
	bool known = why->code == FM_NOT_FOUND || why->code == FM_CORRUPT;

	if (b->code == FM_OK || b->code == FM_NOT_FOUND || (b->code == FM_CORRUPT && !known))
		b->code = why->code;
	snprintf(b->text + used, sizeof(b->text) - used, "%s%s: %.*s", used ? "; " : "", name, BLAME_EACH, why->text);
}

/* Of "directory /x: 7/pages/y.pack: …/y.pack: no such object" the last part: the rest is said once for all levels. */
static void shorten(struct fm_error *why, const char *object)
{
	const char *name = strrchr(object, '/') + 1, *rest = NULL;

	for (const char *at = strstr(why->text, name); at; at = strstr(at + 1, name))
		if (!strncmp(at + strlen(name), ": ", 2))
			rest = at + strlen(name) + 2;
	if (rest && *rest)
		memmove(why->text, rest, strlen(rest) + 1);
}

/* A file into the stage, from level i, verified by `check`. */
static int get_one(struct site *site, size_t i, const struct want *w, const char *path, struct level_object *got_r,
		   struct fm_error *err)
{
	const struct level_transfer transfer = site_down(site);
	struct level *level = site_open(site, i, err);

	if (!level || level_get(level, w->object, path, w->expected, &transfer, got_r, err) < 0)
		return -1;
	if (!w->check || w->check(w->arg, path, err) == 0)
		return 0;
	unlink(path);
	return fm_context(err, "%s: %s", level_where(level), w->object);
}

int fetch_to(struct site *site, const struct want *w, const char *path, struct fetched *f, struct fm_error *err)
{
	struct blame blame = { .code = FM_OK };

	for (size_t i = 0; i < site->count; i++) {
		struct level_object got = { 0 };
		struct fm_error why;

		if (get_one(site, i, w, path, &got, &why) == 0) {
			f->files++;
			f->bytes += got.bytes;
			f->far = f->far > i + 1 ? f->far : i + 1;
			return 0;
		}
		shorten(&why, w->object);
		fetch_blame(&blame, site_name(site, i), &why);
	}
	if (!site->count)
		return fm_fail(err, FM_NOT_FOUND, "%s: there is no level (Level=) to fetch it from", w->object);
	return fm_fail(err, blame.code, "%s cannot be fetched: %s", w->object, blame.text);
}

/* Into the stage, then by rename, or by link (FM_BUSY when there is one by now), to its place. */
static int fetch_into(struct site *site, uint32_t job, const struct want *w, struct fetched *f, struct fm_error *err)
{
	FM_AUTO_FREE char *place = fm_format("%s/%s", site->store, w->object), *path = NULL;
	FM_AUTO_FREE char *dir = place ? strndup(place, (size_t)(strrchr(place, '/') - place)) : NULL;
	struct fetched now = *f;
	struct stage stage;
	int rc;

	if (!dir)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (stage_make(&stage, site->store, job, err) < 0)
		return -1;
	/* A pack verifies under its own name. */
	path = fm_format("%s/%s", stage.path, strrchr(place, '/') + 1);
	rc = path ? fetch_to(site, w, path, &now, err) : fm_fail(err, FM_FAILED, "out of memory");
	if (rc == 0)
		rc = fm_mkdir_all(dir, 0700, err);
	if (rc == 0 && (w->new_only ? link(path, place) : rename(path, place)) < 0 && !(w->new_only && errno == EEXIST))
		rc = fm_fail(err, FM_FAILED, "cannot put %s in its place: %s", place, strerror(errno));
	if (rc == 0)
		rc = fm_fsync_dir(dir, err);
	stage_remove(&stage);
	if (rc == 0)
		*f = now;
	return rc;
}

int fetch_once(struct site *site, uint32_t job, const struct want *w, struct fetched *f, struct fm_error *err)
{
	FM_AUTO_FREE char *place = fm_format("%s/%s", site->store, w->object);
	FM_AUTO_CLOSE int lock = -1;
	struct fm_error ignored;
	bool waited;

	if (!place)
		return fm_fail(err, FM_FAILED, "out of memory");
	lock = lock_file(site, job, w->object, &waited, err);
	if (lock < 0)
		return -1;
	if (waited && w->is_fine && w->is_fine(w, place, &ignored) == 0)
		return 0;
	return fetch_into(site, job, w, f, err);
}

/* ---- files ------------------------------------------------------------------------------------------ */

static int is_expected(const struct want *w, const char *path, struct fm_error *err)
{
	struct level_object is;

	if (level_object_of_file(path, &is, err) < 0)
		return -1;
	if (is.bytes != w->expected->bytes || strcmp(is.sha256, w->expected->sha256))
		return fm_fail(err, FM_CORRUPT, "%s is damaged: its SHA-256 is %.12s…, its manifest says %.12s…", path, is.sha256,
			       w->expected->sha256);
	return 0;
}

int fetch_file(struct site *site, uint32_t job, const char *object, const struct level_object *expected,
	       struct fetched *f, struct fm_error *err)
{
	const struct want w = { .object = object, .expected = expected, .is_fine = expected ? is_expected : NULL };

	return fetch_once(site, job, &w, f, err);
}

/* ---- packs -------------------------------------------------------------------------------------------- */

static int verify_pack(const struct store_access *access, const char *dir, const char *id, struct fm_error *err)
{
	struct pages_store *s = pages_store_open(dir, access->job, access->key, err);
	struct pages_verdict verdict;
	int rc = s ? pages_pack_verify(s, id, &verdict, err) : -1;

	pages_store_close(s);
	return rc;
}

/* "<dir>/<id>.pack" */
static int check_pack(void *arg, const char *path, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = strndup(path, (size_t)(strrchr(path, '/') - path));
	char id[65];

	snprintf(id, sizeof(id), "%s", strrchr(path, '/') + 1);
	return dir ? verify_pack(arg, dir, id, err) : fm_fail(err, FM_FAILED, "out of memory");
}

static int pack_is_fine(const struct want *w, const char *path, struct fm_error *err)
{
	return check_pack(w->arg, path, err);
}

int fetch_pack(struct site *site, const struct store_access *access, const char id[65], struct fetched *f,
	       struct fm_error *err)
{
	FM_AUTO_FREE char *object = fm_format("%" PRIu32 "/pages/%s.pack", access->job, id);
	const struct want w = { .object = object, .check = check_pack, .is_fine = pack_is_fine,
				.arg = (void *)(uintptr_t)access };

	return object ? fetch_once(site, access->job, &w, f, err) : fm_fail(err, FM_FAILED, "out of memory");
}
