/* SPDX-License-Identifier: GPL-2.0-or-later */
/* place.c - see place.h. */
#include "config.h"

#include "agent/local/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/store/folder.h"
#include "common/cleanup.h"
#include "common/hex.h"
#include "common/io.h"

#define ID_NAME "store.id"
#define ID_SIZE 32 /* hex digits */

char *local_job(const struct fm_conf *conf, uint32_t job)
{
	return fm_format("%s/%u", conf->local_dir, job);
}

char *local_path(const struct fm_conf *conf, uint32_t job, const char *what)
{
	return fm_format("%s/%u/%s", conf->local_dir, job, what);
}

/* The id in dir, "" where there is none. */
static int id_read(const char *dir, char id_r[ID_SIZE + 1], struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/" ID_NAME, dir);
	FM_AUTO_FREE char *text = NULL;
	size_t size;

	*id_r = '\0';
	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	text = fm_file_read(path, 4096, &size, err);
	if (!text)
		return err->code == FM_NOT_FOUND ? 0 : -1;
	if (size < ID_SIZE || strspn(text, "0123456789abcdef") != ID_SIZE)
		return fm_fail(err, FM_CORRUPT, "%s is damaged", path);
	memcpy(id_r, text, ID_SIZE);
	id_r[ID_SIZE] = '\0';
	return 0;
}

/* Of any number of nodes that make one at once the first wins: link(2). */
static int id_make(const char *dir, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/" ID_NAME, dir);
	FM_AUTO_FREE char *temp = NULL;
	unsigned char bytes[ID_SIZE / 2];
	char id[ID_SIZE + 2];
	int rc;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return fm_fail(err, FM_FAILED, "no random numbers: %s", strerror(errno));
	fm_hex(bytes, sizeof(bytes), id);
	temp = fm_format("%s/." ID_NAME ".%s", dir, id);
	if (!path || !temp)
		return fm_fail(err, FM_FAILED, "out of memory");
	id[ID_SIZE] = '\n';
	if (fm_mkdir_all(dir, 0700, err) || fm_file_write(temp, 0600, id, ID_SIZE + 1, err))
		return -1;
	rc = link(temp, path) == 0 || errno == EEXIST ? 0 : fm_fail(err, FM_FAILED, "cannot make %s: %s", path, strerror(errno));
	unlink(temp);
	return rc ? -1 : fm_fsync_dir(dir, err);
}

static int compare(const struct fm_conf *conf, const char *store, const char *local, struct fm_error *err)
{
	if (*store && strcmp(store, local) == 0)
		return 0;
	return fm_fail(err, FM_INCOMPATIBLE, "%s belongs to another store than %s, or that is not mounted", conf->local_dir,
		       conf->store_dir);
}

int local_check(const struct fm_conf *conf, struct fm_error *err)
{
	char store[ID_SIZE + 1], local[ID_SIZE + 1];

	if (id_read(conf->store_dir, store, err) || id_read(conf->local_dir, local, err))
		return -1;
	return compare(conf, store, local, err);
}

int local_claim(const struct fm_conf *conf, struct fm_error *err)
{
	char store[ID_SIZE + 1], local[ID_SIZE + 1];
	FM_AUTO_FREE char *path = fm_format("%s/" ID_NAME, conf->local_dir);

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_mkdir_all(conf->local_dir, 0700, err) || id_read(conf->local_dir, local, err) ||
	    id_read(conf->store_dir, store, err))
		return -1;
	if (*local)
		return compare(conf, store, local, err);
	if (!*store && (id_make(conf->store_dir, err) || id_read(conf->store_dir, store, err)))
		return -1;
	store[ID_SIZE] = '\n'; /* the NUL is not needed any more */
	return fm_file_write(path, 0600, store, ID_SIZE + 1, err);
}

int local_jobs(const struct fm_conf *conf, uint32_t **jobs_r, size_t *count_r, struct fm_error *err)
{
	struct folder_numbers numbers;
	int rc = folder_numbers(conf->local_dir, &numbers, err);

	*jobs_r = numbers.values;
	*count_r = numbers.count;
	return rc;
}

static int ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && strcmp(name + length - tail, suffix) == 0;
}

int local_name_ok(const char *what, const char *name)
{
	size_t length = strlen(name);

	if (strcmp(what, "pages") == 0)
		return length == 64 + strlen(LOCAL_PACK_SUFFIX) && strspn(name, "0123456789abcdef") == 64 &&
		       ends_in(name, LOCAL_PACK_SUFFIX);
	return strcmp(what, "parity") == 0 && length < 64 && ends_in(name, LOCAL_SHARD_SUFFIX) &&
	       strspn(name, "0123456789-") == length - strlen(LOCAL_SHARD_SUFFIX);
}
