/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidy.c - see tidy.h. */
#include "config.h"

#include "agent/local/tidy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local/place.h"
#include "agent/local/placement.h"
#include "agent/store/access.h"
#include "agent/store/pages/pages.h"
#include "agent/store/parity/file.h"
#include "common/cleanup.h"
#include "common/io.h"

struct tidy {
	const struct fm_conf *conf;
	uint32_t job;
	struct store_access access; /* pages: here */
	char *folder;               /* the job's, in StoreDir */
	struct placement_packs needed; /* by a snapshot */
	struct placement_packs kept;   /* of this node's, for others' parity */
	uint32_t *living;           /* records */
	size_t livings;
	struct tidied *result;
};

/* ---- mark ------------------------------------------------------------------------------------------- */

static int need(struct placement_packs *list, const char *id, struct fm_error *err)
{
	return placement_packs_find(list, id) ? 0 : placement_packs_add(list, id, 0, err);
}

static int need_map(struct tidy *t, const char *path, struct fm_error *err)
{
	struct pages_map *map = pages_map_open(path, t->job, t->access.key, NULL, err);
	char id[65];
	int rc = 0;

	if (!map) /* gone by now: it went with its snapshot */
		return err->code == FM_NOT_FOUND ? 0 : fm_context(err, "what %s needs is not known", path);
	for (size_t i = 0; rc == 0 && pages_map_pack(map, i, id); i++)
		rc = need(&t->needed, id, err);
	pages_map_close(map);
	return rc;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && *name != '.' && strcmp(name + length - tail, suffix) == 0;
}

/* A snapshot without a record. */
static int need_folder(struct tidy *t, uint32_t n, struct fm_error *err)
{
	FM_AUTO_FREE char *dir = fm_format("%s/%" PRIu32, t->folder, n);
	struct dirent *e;
	DIR *d = dir ? opendir(dir) : NULL;
	int rc = 0;

	if (!d)
		return dir && errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot open %s: %s", dir, strerror(errno));
	while (rc == 0 && (errno = 0, e = readdir(d))) {
		FM_AUTO_FREE char *path = NULL;

		if (!ends_in(e->d_name, ".map"))
			continue;
		path = fm_format("%s/%s", dir, e->d_name);
		rc = path ? need_map(t, path, err) : fm_fail(err, FM_FAILED, "out of memory");
		errno = 0;
	}
	if (rc == 0 && errno)
		rc = fm_fail(err, FM_FAILED, "cannot read %s: %s", dir, strerror(errno));
	closedir(d);
	return rc;
}

static int need_snapshot(struct tidy *t, uint32_t n, struct fm_error *err)
{
	struct fm_snapshot_id id = { .job = t->job, .n = n };
	int removed = folder_is_removed(t->conf->store_dir, &id, err);
	struct placement r;
	int rc = 0;

	if (removed)
		return removed < 0 ? -1 : 0;
	if (placement_read(t->conf->store_dir, t->job, n, &r, err))
		return err->code == FM_NOT_FOUND ? need_folder(t, n, err) : -1;
	/* A number whose snapshot is gone keeps its empty folder while it is the highest. */
	removed = folder_is_whole(t->conf->store_dir, &id, err) == 0;
	for (size_t i = 0; !removed && rc == 0 && i < r.members; i++)
		for (size_t j = 0; rc == 0 && j < r.member[i].needs.count; j++)
			rc = need(&t->needed, r.member[i].needs.pack[j].id, err);
	placement_dispose(&r);
	return rc;
}

static bool is_needed(const struct tidy *t, const struct placement *r)
{
	for (size_t i = 0; i < r->members; i++)
		for (size_t j = 0; j < r->member[i].packs.count; j++)
			if (placement_packs_find(&t->needed, r->member[i].packs.pack[j].id))
				return true;
	return false;
}

static int keep_record(struct tidy *t, const struct placement *r, struct fm_error *err)
{
	uint32_t *bigger = reallocarray(t->living, t->livings + 1, sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	t->living = bigger;
	bigger[t->livings++] = r->n;
	for (size_t i = 0; i < r->members; i++)
		for (size_t j = 0; strcmp(r->member[i].node, t->conf->node_name) == 0 && j < r->member[i].packs.count; j++)
			if (need(&t->kept, r->member[i].packs.pack[j].id, err))
				return -1;
	return 0;
}

/* A record of a snapshot that is there, or with a needed pack; else it goes. */
static int judge_record(struct tidy *t, uint32_t n, struct fm_error *err)
{
	struct fm_snapshot_id id = { .job = t->job, .n = n };
	FM_AUTO_FREE char *dir = placement_path(t->conf->store_dir, t->job, n, NULL);
	int whole = folder_is_whole(t->conf->store_dir, &id, err);
	struct placement r;
	bool living;
	int rc;

	if (whole < 0 || !dir)
		return whole < 0 ? -1 : fm_fail(err, FM_FAILED, "out of memory");
	if (placement_read(t->conf->store_dir, t->job, n, &r, err) == 0) {
		living = whole || is_needed(t, &r);
		rc = living ? keep_record(t, &r, err) : 0;
		placement_dispose(&r);
		if (rc || living)
			return rc;
	} else if (err->code != FM_NOT_FOUND) {
		return -1;
	}
	t->result->records++;
	return fm_remove_tree(dir, err);
}

static int mark(struct tidy *t, struct fm_error *err)
{
	struct folder_numbers snapshots = { 0 }, records = { 0 };
	int rc = folder_numbers(t->folder, &snapshots, err);

	for (size_t i = 0; rc == 0 && i < snapshots.count; i++)
		rc = need_snapshot(t, snapshots.values[i], err);
	if (rc == 0)
		rc = placement_numbers(t->conf->store_dir, t->job, &records, err);
	for (size_t i = 0; rc == 0 && i < records.count; i++)
		rc = judge_record(t, records.values[i], err);
	folder_numbers_dispose(&snapshots);
	folder_numbers_dispose(&records);
	return rc ? fm_context(err, "nothing of job %" PRIu32 " is removed here", t->job) : 0;
}

/* ---- sweep -------------------------------------------------------------------------------------------- */

static bool pack_goes(const struct tidy *t, const char *name)
{
	char id[65];

	if (!local_name_ok("pages", name))
		return false;
	snprintf(id, sizeof(id), "%.64s", name);
	return !placement_packs_find(&t->needed, id) && !placement_packs_find(&t->kept, id);
}

static bool shard_goes(const struct tidy *t, const char *name)
{
	uint32_t n = (uint32_t)strtoul(name, NULL, 10);

	if (!local_name_ok("parity", name))
		return false;
	for (size_t i = 0; i < t->livings; i++)
		if (t->living[i] == n)
			return false;
	return true;
}

static int sweep(struct tidy *t, const char *what, bool (*goes)(const struct tidy *t, const char *name), uint64_t *count,
		 struct fm_error *err)
{
	FM_AUTO_FREE char *dir = local_path(t->conf, t->job, what);
	struct dirent *e;
	DIR *d = dir ? opendir(dir) : NULL;
	int rc = 0;

	if (!d)
		return dir && errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot open %s: %s", what, strerror(errno));
	while (rc == 0 && (e = readdir(d))) {
		struct stat st;

		if (!goes(t, e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT) {
			rc = fm_fail(err, FM_FAILED, "cannot remove %s/%s: %s", dir, e->d_name, strerror(errno));
			break;
		}
		++*count;
		t->result->bytes += (uint64_t)st.st_size;
	}
	closedir(d);
	return rc;
}

static bool arrived_goes(const struct tidy *t, const char *name)
{
	(void)t;
	return local_name_ok("pages", name);
}

/* What a fetch that was killed has left; one under way holds the lock. */
static int sweep_incoming(struct tidy *t, struct fm_error *err)
{
	FM_AUTO_FREE char *path = local_path(t->conf, t->job, "incoming/lock");
	FM_AUTO_CLOSE int fd = path ? open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
	uint64_t ignored = 0;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	return sweep(t, "incoming", arrived_goes, &ignored, err);
}

static int sweep_all(struct tidy *t, struct pages_store *pages, struct fm_error *err)
{
	FM_AUTO_FREE char *parity = local_path(t->conf, t->job, "parity");
	unsigned parts;

	if (!parity)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (sweep(t, "pages", pack_goes, &t->result->packs, err) || sweep(t, "parity", shard_goes, &t->result->shards, err) ||
	    sweep_incoming(t, err))
		return -1;
	if (pages && pages_store_sweep(pages, &parts, err))
		return -1;
	return access(parity, F_OK) == 0 ? parity_out_sweep(parity, &parts, err) : 0;
}

static int run(struct tidy *t, struct fm_error *err)
{
	FM_AUTO_FREE char *here = local_job(t->conf, t->job);
	struct pages_store *pages = NULL;
	int rc;

	if (!here)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (access(t->access.pages, F_OK) == 0) { /* opening would make it */
		pages = pages_store_open(t->access.pages, t->job, t->access.key, err);
		if (!pages || pages_sweep_begin(pages, err)) {
			pages_store_close(pages);
			return -1;
		}
	}
	if (access(t->folder, F_OK) < 0 && errno == ENOENT)
		rc = fm_remove_tree(here, err); /* the job is gone from the store */
	else
		rc = mark(t, err) ? -1 : sweep_all(t, pages, err);
	pages_store_close(pages);
	return rc;
}

int local_tidy(const struct fm_conf *conf, uint32_t job, struct tidied *tidied_r, struct fm_error *err)
{
	FM_AUTO_FREE char *local = local_job(conf, job);
	struct tidy t = { .conf = conf, .job = job, .result = tidied_r };
	int rc;

	memset(tidied_r, 0, sizeof(*tidied_r));
	t.folder = fm_format("%s/%" PRIu32, conf->store_dir, job);
	rc = local && t.folder ? local_check(conf, err) : fm_fail(err, FM_FAILED, "out of memory");
	if (rc == 0 && access(local, F_OK) == 0) {
		rc = store_access_local(&t.access, t.folder, job, local, conf->key_file, false, err);
		rc = rc == 0 ? run(&t, err) : -1;
	}
	store_access_close(&t.access);
	placement_packs_dispose(&t.needed);
	placement_packs_dispose(&t.kept);
	free(t.living);
	free(t.folder);
	return rc;
}
