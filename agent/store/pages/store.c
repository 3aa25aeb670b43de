/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - a job's folder of packs: which there are, and what is left of dead writers. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/pages/hash.h"
#include "agent/store/pages/store_private.h"
#include "common/cleanup.h"
#include "common/io.h"

const unsigned char pages_zero[4096];

struct pages_store *pages_store_open(const char *dir, uint32_t job, const struct pages_key *key, struct fm_error *err)
{
	struct pages_store *s;

	if (key && key->job != job) {
		fm_fail(err, FM_USAGE, "%s: the key is job %u's, not job %u's", dir, key->job, job);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s) {
		s->sweep_fd = s->want_fd = -1;
		s->wait_ms = PAGES_WAIT_MS;
		s->dir = strdup(dir);
	}
	if (!s || !s->dir) {
		fm_fail(err, FM_FAILED, "%s: out of memory", dir);
	} else if (fm_mkdir_all(dir, 0700, err) == 0) {
		s->job = job;
		s->key = key;
		return s;
	}
	pages_store_close(s);
	return NULL;
}

int pages_store_also(struct pages_store *s, const char *place, struct fm_error *err)
{
	if (s->also)
		return fm_fail(err, FM_USAGE, "%s: it has a further place already, %s", s->dir, s->also);
	s->also = strdup(place);
	return s->also ? 0 : fm_fail(err, FM_FAILED, "%s: out of memory", place);
}

static bool has(const char *dir, const uint8_t id[32])
{
	FM_AUTO_FREE char *path = NULL;
	char hex[65];

	hash_hex(id, hex);
	path = fm_format("%s/%s" PACK_SUFFIX, dir, hex);
	return path && access(path, F_OK) == 0;
}

struct pack *store_pack_open(const struct pages_store *s, const uint8_t id[32], bool keep_fd, struct fm_error *err)
{
	struct pack *p = pack_open(s->dir, id, s->job, s->key, keep_fd, err);
	struct fm_error why;

	if (p || !s->also || err->code != FM_CORRUPT)
		return p;
	p = pack_open(s->also, id, s->job, s->key, keep_fd, &why);
	if (!p && (has(s->also, id) || why.code != FM_CORRUPT) && !has(s->dir, id))
		*err = why; /* that it is missing in dir is no news then */
	else if (!p && !has(s->dir, id))
		fm_context(err, "nor is it in %s", s->also);
	return p;
}

int pages_pack_check(struct pages_store *s, const char id[65], struct fm_error *err)
{
	uint8_t bytes[32];
	struct pack *p;

	if (!hash_parse(id, bytes))
		return fm_fail(err, FM_USAGE, "%s: \"%.70s\" is no pack's id", s->dir, id);
	p = store_pack_open(s, bytes, false, err);
	pack_close(p);
	return p ? 0 : -1;
}

int store_sync_name(const struct pages_store *s, struct fm_error *err)
{
	FM_AUTO_FREE char *parent = fm_format("%s/..", s->dir);

	return parent ? fm_fsync_dir(parent, err) : fm_fail(err, FM_FAILED, "out of memory");
}

void pages_store_close(struct pages_store *s)
{
	if (!s)
		return;
	pages_sweep_end(s);
	for (size_t i = 0; i < s->packs; i++)
		pack_close(s->pack[i]);
	free(s->pack);
	free(s->dir);
	free(s->also);
	free(s);
}

long store_index(const struct pages_store *s, const uint8_t id[32])
{
	for (size_t i = 0; i < s->packs; i++)
		if (memcmp(s->pack[i]->id, id, 32) == 0)
			return (long)i;
	return -1;
}

static int room_make(struct pages_store *s, struct fm_error *err)
{
	size_t room = s->room ? 2 * s->room : 16;
	struct pack **bigger;

	if (s->packs < s->room)
		return 0;
	bigger = realloc(s->pack, room * sizeof(*bigger));
	if (!bigger)
		return fm_fail(err, FM_FAILED, "%s: out of memory", s->dir);
	s->pack = bigger;
	s->room = room;
	return 0;
}

long store_add(struct pages_store *s, const uint8_t id[32], struct fm_error *err)
{
	struct pack *p;

	if (room_make(s, err) < 0)
		return -1;
	p = store_pack_open(s, id, false, err);
	if (!p)
		return -1;
	s->pack[s->packs] = p;
	return (long)s->packs++;
}

/* "<64 hex>.pack" to an id. */
static bool name_parse(const char *name, uint8_t id_r[32])
{
	char hex[65];

	if (strlen(name) != 64 + strlen(PACK_SUFFIX) || strcmp(name + 64, PACK_SUFFIX) != 0)
		return false;
	memcpy(hex, name, 64);
	hex[64] = '\0';
	return hash_parse(hex, id_r);
}

static bool is_part(const char *name)
{
	size_t length = strlen(name), suffix = strlen(PACK_PART_SUFFIX);

	return length > suffix && strcmp(name + length - suffix, PACK_PART_SUFFIX) == 0;
}

int store_each(const char *dir, int (*each)(void *data, const uint8_t id[32]), void *data, uint64_t *parts_r,
	       struct fm_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint8_t id[32];
	int rc = 0;

	if (!d)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", dir, strerror(errno));
	for (errno = 0; rc == 0 && (e = readdir(d)); errno = 0) {
		if (name_parse(e->d_name, id))
			rc = each(data, id);
		else if (parts_r && is_part(e->d_name))
			++*parts_r;
	}
	if (rc == 0 && errno != 0)
		rc = fm_fail(err, FM_FAILED, "cannot read %s: %s", dir, strerror(errno));
	closedir(d);
	return rc;
}

int store_each_place(const struct pages_store *s, int (*each)(void *data, const uint8_t id[32]), void *data,
		     uint64_t *parts_r, struct fm_error *err)
{
	int rc = store_each(s->dir, each, data, parts_r, err);

	if (rc != 0 || !s->also || (access(s->also, F_OK) < 0 && errno == ENOENT))
		return rc;
	return store_each(s->also, each, data, NULL, err);
}

struct scan {
	struct pages_store *store;
	struct pack **had; /* before; an entry goes NULL when it is still there */
	size_t had_count;
	const struct pages_map *first; /* its packs in any case; may be NULL */
	size_t most;                   /* of others; 0: all */
	struct fm_error *err;
};

static bool wanted(const struct scan *scan, const uint8_t id[32])
{
	if (!scan->most || scan->store->packs < scan->most)
		return true;
	for (size_t i = 0; scan->first && i < scan->first->packs; i++)
		if (memcmp(scan->first->pack[i].id, id, 32) == 0)
			return true;
	return false;
}

static int scan_one(void *data, const uint8_t id[32])
{
	struct scan *scan = data;
	struct pages_store *s = scan->store;
	struct fm_error why;
	long at;

	if (!wanted(scan, id) || (s->also && store_index(s, id) >= 0))
		return 0;
	for (size_t i = 0; i < scan->had_count; i++)
		if (scan->had[i] && memcmp(scan->had[i]->id, id, 32) == 0 && pack_is_current(scan->had[i])) {
			if (room_make(s, scan->err) < 0)
				return -1;
			s->pack[s->packs++] = fm_steal_ptr(&scan->had[i]);
			return 0;
		}
	at = store_add(s, id, &why);
	if (at >= 0)
		return 0;
	if (why.code != FM_CORRUPT && why.code != FM_INCOMPATIBLE) {
		*scan->err = why;
		return -1;
	}
	if (s->found.damaged++ == 0)
		snprintf(s->found.damaged_text, sizeof(s->found.damaged_text), "%s", why.text);
	return 0;
}

int pages_store_scan(struct pages_store *s, struct fm_error *err)
{
	return store_scan(s, NULL, 0, err);
}

int store_scan(struct pages_store *s, const struct pages_map *first, size_t most, struct fm_error *err)
{
	struct scan scan = { .store = s, .had_count = s->packs, .first = first, .most = most, .err = err };
	int rc;

	scan.had = s->pack;
	s->pack = NULL;
	s->room = s->packs = 0;
	memset(&s->found, 0, sizeof(s->found));
	rc = store_each_place(s, scan_one, &scan, &s->found.parts, err);
	for (size_t i = 0; i < scan.had_count; i++)
		pack_close(scan.had[i]); /* gone from the folder: nothing new may refer to it */
	free(scan.had);
	return rc;
}

void pages_store_usage(const struct pages_store *s, struct pages_usage *usage_r)
{
	*usage_r = s->found;
	usage_r->packs = s->packs;
	for (size_t i = 0; i < s->packs; i++) {
		usage_r->pages += s->pack[i]->present;
		usage_r->bytes += s->pack[i]->bytes;
		usage_r->index_mapped += s->pack[i]->mapping_size;
		usage_r->index_private += sizeof(*s->pack[i]) + strlen(s->pack[i]->path) + 1;
	}
	usage_r->index_private += s->room * sizeof(*s->pack);
}

bool pages_store_pack(const struct pages_store *s, size_t i, char id_r[65])
{
	if (i >= s->packs)
		return false;
	hash_hex(s->pack[i]->id, id_r);
	return true;
}

void pages_store_wait(struct pages_store *s, int64_t ms)
{
	s->wait_ms = ms;
}

/* 1 removed, 0 its writer lives (or it is gone by now), -1. */
static int part_sweep(int dirfd_, const char *name, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = openat(dirfd_, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat ours, named;

	if (fd < 0)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot open %s: %s", name, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : fm_fail(err, FM_FAILED, "cannot lock %s: %s", name, strerror(errno));
	/* A writer that finished meanwhile has renamed it. */
	if (fstat(fd, &ours) < 0 || fstatat(dirfd_, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ours.st_ino != named.st_ino)
		return 0;
	/* Made, and not yet locked: it has not a byte then. */
	if (ours.st_size == 0 && time(NULL) - ours.st_mtime < 60)
		return 0;
	if (unlinkat(dirfd_, name, 0) < 0)
		return fm_fail(err, FM_FAILED, "cannot remove %s: %s", name, strerror(errno));
	return 1;
}

int pages_store_sweep(struct pages_store *s, unsigned *removed_r, struct fm_error *err)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;
	int rc = 0;

	*removed_r = 0;
	if (!d)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", s->dir, strerror(errno));
	while (rc >= 0 && (e = readdir(d))) {
		if (!is_part(e->d_name))
			continue;
		rc = part_sweep(dirfd(d), e->d_name, err);
		*removed_r += rc > 0;
	}
	closedir(d);
	return rc < 0 ? fm_context(err, "%s", s->dir) : 0;
}
