/* SPDX-License-Identifier: GPL-2.0-or-later */
/* access.c - see access.h. */
#include "config.h"

#include "agent/store/access.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/folder.h"
#include "agent/store/pages/pack.h"
#include "common/cleanup.h"
#include "common/io.h"

/* 1: there are packs, or some are being written; 0; -1. */
static int has_packs(const char *pages, struct fm_error *err)
{
	DIR *d = opendir(pages);
	struct dirent *e;
	int found = 0;

	if (!d)
		return errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot open %s: %s", pages, strerror(errno));
	for (errno = 0; !found && (e = readdir(d)); errno = 0)
		found = strstr(e->d_name, PACK_SUFFIX) || strstr(e->d_name, PACK_PART_SUFFIX);
	if (!found && errno)
		found = fm_fail(err, FM_FAILED, "cannot read %s: %s", pages, strerror(errno));
	closedir(d);
	return found;
}

static int has_map(const char *folder, uint32_t n, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%u", folder, n);
	DIR *d = path ? opendir(path) : NULL;
	struct dirent *e;
	int found = 0;

	if (!d)
		return path && errno == ENOENT ? 0 : fm_fail(err, FM_FAILED, "cannot open %s: %s", path, strerror(errno));
	for (errno = 0; !found && (e = readdir(d)); errno = 0)
		found = strstr(e->d_name, ".map") != NULL;
	if (!found && errno)
		found = fm_fail(err, FM_FAILED, "cannot read %s: %s", path, strerror(errno));
	closedir(d);
	return found;
}

/* The same by the snapshots: their packs may be on other nodes' own disks. */
static int has_maps(const char *folder, struct fm_error *err)
{
	struct folder_numbers numbers;
	int found = folder_numbers(folder, &numbers, err);

	for (size_t i = 0; found == 0 && i < numbers.count; i++)
		found = has_map(folder, numbers.values[i], err);
	folder_numbers_dispose(&numbers);
	return found;
}

static int open_key(struct store_access *a, const struct site_key *site, bool writer, struct fm_error *err)
{
	int packs;

	if (pages_key_open(a->folder, a->job, site, &a->key, err) < 0)
		return -1;
	if (a->key || !site || !writer)
		return 0;
	packs = has_packs(a->pages, err);
	if (packs == 0 && a->also)
		packs = has_packs(a->also, err);
	if (packs == 0)
		packs = has_maps(a->folder, err);
	if (packs > 0) /* of a job without a key, or of a writer who made one since we looked */
		return pages_key_open(a->folder, a->job, site, &a->key, err);
	if (packs < 0)
		return -1;
	return pages_key_make(a->folder, a->job, site, a->pages, &a->key, err);
}

int store_access_open(struct store_access *a, const char *folder, uint32_t job, const char *key_file, bool writer,
		      struct fm_error *err)
{
	return store_access_local(a, folder, job, NULL, key_file, writer, err);
}

int store_access_local(struct store_access *a, const char *folder, uint32_t job, const char *local, const char *key_file,
		       bool writer, struct fm_error *err)
{
	struct site_key *site = NULL;
	bool here = local && *local;
	int rc;

	*a = (struct store_access){ .folder = strdup(folder), .pages = fm_format("%s/pages", here ? local : folder), .job = job };
	a->also = here ? fm_format("%s/pages", folder) : NULL;
	if (!a->folder || !a->pages || (here && !a->also))
		return fm_fail(err, FM_FAILED, "out of memory");
	if (key_file && *key_file && !(site = site_key_load(key_file, err)))
		return -1;
	rc = open_key(a, site, writer, err);
	site_key_free(site);
	return rc;
}

int store_access_job(struct store_access *a, const char *store, uint32_t job, const char *key_file, bool writer,
		     struct fm_error *err)
{
	FM_AUTO_FREE char *folder = fm_format("%s/%u", store, job);

	*a = (struct store_access){ 0 };
	if (!folder)
		return fm_fail(err, FM_FAILED, "out of memory");
	return store_access_open(a, folder, job, key_file, writer, err);
}

void store_access_close(struct store_access *a)
{
	pages_key_free(a->key);
	free(a->folder);
	free(a->pages);
	free(a->also);
	*a = (struct store_access){ 0 };
}

/* Bound to what is sealed: "77/3/member-0.held". */
static char *place_of(const struct store_access *a, const char *dir, const char *name)
{
	const char *slash = strrchr(dir, '/');

	return fm_format("%u/%s/%s", a->job, slash ? slash + 1 : dir, name);
}

int store_sealed_write(const struct store_access *a, const char *dir, const char *name, const void *data, size_t size,
		       struct store_file *file_r, struct fm_error *err)
{
	FM_AUTO_FREE char *place = place_of(a, dir, name);
	FM_AUTO_FREE void *sealed = NULL;
	size_t sealed_size;

	if (!place)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (blob_seal(a->key, place, data, size, &sealed, &sealed_size, err) < 0 ||
	    store_file_write(dir, name, sealed, sealed_size, file_r, err) < 0)
		return -1;
	file_r->raw_bytes = size;
	return 0;
}

int store_sealed_read(const struct store_access *a, const char *dir, const struct store_file *expected, size_t max,
		      void **data_r, size_t *size_r, struct fm_error *err)
{
	FM_AUTO_FREE char *place = place_of(a, dir, expected->name);
	FM_AUTO_FREE void *sealed = NULL;
	size_t sealed_size;

	if (!place)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (store_file_read(dir, expected, max, &sealed, &sealed_size, err) < 0)
		return -1;
	if (blob_open(a->key, place, sealed, sealed_size, data_r, size_r, err) < 0)
		return fm_context(err, "%s/%s", dir, expected->name);
	if (*size_r == expected->raw_bytes)
		return 0;
	free(*data_r);
	*data_r = NULL;
	return fm_fail(err, FM_CORRUPT, "%s/%s holds %zu bytes, its manifest says %llu", dir, expected->name, *size_r,
		       (unsigned long long)expected->raw_bytes);
}
