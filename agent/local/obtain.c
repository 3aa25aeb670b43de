/* SPDX-License-Identifier: GPL-2.0-or-later */
/* obtain.c - see obtain.h. reconstruct.c has the parity, verify_local.c what is here. */
#include "config.h"

#include "agent/local/obtain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local/obtain_private.h"
#include "agent/local/place.h"
#include "common/cleanup.h"
#include "common/io.h"

#define LOCK_TRIES 200
#define LOCK_TRY_US 100000

void obtain_note(struct obtain *o, const char *place, const char *why)
{
	FM_AUTO_FREE char *text = fm_format("%s: %.160s; ", place, why);
	size_t used = strlen(o->asked);

	if (text && !strstr(o->asked, text))
		snprintf(o->asked + used, sizeof(o->asked) - used, "%s", text);
}

void obtain_note_level(struct obtain *o, const char *level)
{
	static const char *const levels[] = { "", "local", "shared", "node", "partner", "xor", "rs" };
	size_t was = 0, is = 0;

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		was = strcmp(o->result->level, levels[i]) == 0 ? i : was;
		is = strcmp(level, levels[i]) == 0 ? i : is;
	}
	if (is > was)
		snprintf(o->result->level, sizeof(o->result->level), "%s", level);
}

static void note_from(struct obtain *o, const char *node, const char *level)
{
	size_t used = strlen(o->result->from);

	if (!strstr(o->result->from, node))
		snprintf(o->result->from + used, sizeof(o->result->from) - used, "%s%s", used ? "," : "", node);
	obtain_note_level(o, level);
}

/* ---- what is there ------------------------------------------------------------------------------------ */

static bool there(const char *dir, const char *id)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, dir, id);

	return path && access(path, F_OK) == 0;
}

static int add_missing(struct obtain *o, const char *id, struct fm_error *err)
{
	struct missing *bigger = reallocarray(o->missing, o->missings + 1, sizeof(*bigger));

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	o->missing = bigger;
	bigger[o->missings] = (struct missing){ .got = false };
	memcpy(bigger[o->missings++].id, id, sizeof(bigger->id));
	return 0;
}

static int look_shared(struct obtain *o, const char *id, struct fm_error *err)
{
	struct fm_error why;

	if (pages_pack_check(o->here, id, &why) == 0) {
		o->result->shared++;
		return 0;
	}
	if (why.code != FM_CORRUPT) {
		*err = why;
		return -1;
	}
	if (there(o->access.also, id))
		obtain_note(o, "StoreDir", why.text);
	return add_missing(o, id, err);
}

/* What is on this node's disk is read in full: there may be a better copy. What is in StoreDir by its index. */
static int look(struct obtain *o, const struct pages_map *map, struct fm_error *err)
{
	FM_AUTO_FREE struct missing *here = NULL;
	FM_AUTO_FREE bool *good = NULL;
	size_t count = 0, heres = 0;
	char id[65];

	while (pages_map_pack(map, count, id))
		count++;
	here = calloc(count + 1, sizeof(*here));
	good = calloc(count + 1, sizeof(*good));
	if (!here || !good)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; pages_map_pack(map, i, id); i++)
		if (there(o->access.pages, id))
			memcpy(here[heres++].id, id, sizeof(id));
		else if (look_shared(o, id, err))
			return -1;
	if (obtain_verify(o, here, heres, good, err))
		return -1;
	for (size_t i = 0; i < heres; i++)
		if (good[i])
			o->result->local++;
		else if (add_missing(o, here[i].id, err))
			return -1;
	obtain_note_level(o, o->result->shared ? "shared" : "local");
	return 0;
}

/* ---- a place for what comes ------------------------------------------------------------------------------ */

static int clear(const char *dir, const struct obtain *o)
{
	for (size_t i = 0; i < o->missings; i++) {
		FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, dir, o->missing[i].id);

		if (path)
			unlink(path);
	}
	return 0;
}

/* One at a time for a job: two would write the same files. */
static int claim(struct obtain *o, struct fm_error *err)
{
	FM_AUTO_FREE char *lock = NULL;

	o->incoming = local_path(o->conf, o->job, "incoming");
	lock = o->incoming ? fm_format("%s/lock", o->incoming) : NULL;
	if (!lock)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (fm_mkdir_all(o->incoming, 0700, err) || fm_mkdir_all(o->access.pages, 0700, err))
		return -1;
	o->lock_fd = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (o->lock_fd < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s: %s", lock, strerror(errno));
	for (int i = 0; flock(o->lock_fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES)
			return fm_fail(err, FM_BUSY, "%s: packs are being fetched by somebody else", o->incoming);
		usleep(LOCK_TRY_US);
	}
	clear(o->incoming, o);
	o->arrived = pages_store_open(o->incoming, o->job, o->access.key, err);
	o->remotes = o->arrived ? remotes_create(o->conf, err) : NULL;
	return o->remotes ? 0 : -1;
}

int obtain_admit(struct obtain *o, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *from = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->incoming, id);
	FM_AUTO_FREE char *to = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->access.pages, id);
	struct pages_verdict verdict;
	int rc;

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = pages_pack_verify(o->arrived, id, &verdict, err);
	if (rc == 0 && rename(from, to) < 0)
		rc = fm_fail(err, FM_FAILED, "cannot rename %s: %s", from, strerror(errno));
	if (rc) {
		unlink(from);
		return -1;
	}
	o->result->bytes += verdict.bytes;
	return fm_fsync_dir(o->access.pages, err);
}

/* ---- from other nodes' disks -------------------------------------------------------------------------------- */

static int download(struct obtain *o, const char *node, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->incoming, id);
	FM_AUTO_FREE char *name = fm_format("%s" LOCAL_PACK_SUFFIX, id);
	FM_AUTO_FREE char *piece = malloc(REMOTE_PIECE);
	FM_AUTO_CLOSE int fd = -1;
	uint64_t size;

	if (!path || !name || !piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (remote_size(o->remotes, node, o->job, "pages", name, &size, err))
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "cannot make %s: %s", path, strerror(errno));
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < REMOTE_PIECE ? (size_t)(size - at) : REMOTE_PIECE;

		if (remote_read(o->remotes, node, o->job, "pages", name, at, piece, n, err))
			return -1;
		if (fm_write_all(fd, piece, n) < 0)
			return fm_fail(err, FM_FAILED, "cannot write %s: %s", path, strerror(errno));
		at += n;
	}
	if (fsync(fd) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s: %s", path, strerror(errno));
	return obtain_admit(o, id, err);
}

static bool had(const struct placement_member *m, const char *id)
{
	return placement_packs_find(&m->packs, id) || placement_packs_find(&m->needs, id);
}

static void fetch(struct obtain *o, struct missing *missing)
{
	for (size_t i = 0; !missing->got && i < o->records; i++)
		for (size_t j = 0; !missing->got && j < o->record[i].members; j++) {
			const struct placement_member *m = &o->record[i].member[j];
			struct fm_error err;

			if (!had(m, missing->id) || strcmp(m->node, o->conf->node_name) == 0)
				continue;
			if (download(o, m->node, missing->id, &err)) {
				obtain_note(o, m->node, err.text);
				continue;
			}
			missing->got = true;
			o->result->fetched++;
			note_from(o, m->node, "node");
		}
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

static int records_read(struct obtain *o, struct fm_error *err)
{
	struct folder_numbers numbers;
	struct fm_error why;
	int rc = placement_numbers(o->conf->store_dir, o->job, &numbers, err);

	if (rc == 0 && !(o->record = calloc(numbers.count + 1, sizeof(*o->record))))
		rc = fm_fail(err, FM_FAILED, "out of memory");
	for (size_t i = 0; rc == 0 && i < numbers.count; i++)
		if (placement_read(o->conf->store_dir, o->job, numbers.values[i], &o->record[o->records], &why) == 0)
			o->records++;
		else
			obtain_note(o, "record", why.text);
	folder_numbers_dispose(&numbers);
	return rc;
}

static int get_missing(struct obtain *o, struct fm_error *err)
{
	if (records_read(o, err) || claim(o, err))
		return -1;
	for (size_t i = 0; i < o->missings; i++)
		fetch(o, &o->missing[i]);
	for (size_t i = 0; i < o->records; i++)
		if (o->record[i].k)
			obtain_rebuild(o, &o->record[i]);
	for (size_t i = 0; i < o->missings; i++)
		if (!o->missing[i].got)
			return fm_fail(err, FM_CORRUPT, "pack %.16s… is on no level that can be reached: not in %s, nor in %s; %s",
				       o->missing[i].id, o->access.pages, o->access.also,
				       *o->asked ? o->asked : "no node is known to have had it");
	return 0;
}

static void obtain_dispose(struct obtain *o)
{
	for (size_t i = 0; i < o->records; i++)
		placement_dispose(&o->record[i]);
	free(o->record);
	free(o->missing);
	remotes_destroy(o->remotes);
	pages_store_close(o->arrived);
	pages_store_close(o->here);
	if (o->lock_fd >= 0)
		close(o->lock_fd);
	free(o->incoming);
	store_access_close(&o->access);
}

int local_obtain(const struct fm_conf *conf, const struct fm_snapshot_id *id, const char *map_path, const char *sha256,
		 struct obtained *obtained, struct fm_error *err)
{
	struct obtain o = { .conf = conf, .job = id->job, .lock_fd = -1, .result = obtained };
	FM_AUTO_FREE char *folder = fm_format("%s/%" PRIu32, conf->store_dir, id->job);
	FM_AUTO_FREE char *local = local_job(conf, id->job);
	struct pages_map *map;
	int rc;

	if (!folder || !local)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = store_access_local(&o.access, folder, id->job, local, conf->key_file, false, err);
	if (rc == 0 && (!(o.here = pages_store_open(o.access.pages, id->job, o.access.key, err)) ||
			pages_store_also(o.here, o.access.also, err)))
		rc = -1;
	map = rc == 0 ? pages_map_open(map_path, id->job, o.access.key, sha256, err) : NULL;
	rc = map ? look(&o, map, err) : -1;
	pages_map_close(map);
	if (rc == 0 && o.missings)
		rc = get_missing(&o, err);
	obtain_dispose(&o);
	return rc;
}
