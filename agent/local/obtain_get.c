/* SPDX-License-Identifier: GPL-2.0-or-later */
/* obtain_get.c - obtain_missing(): from StoreDir, from other nodes' disks; reconstruct.c has the parity. */
#include "config.h"

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

static void note_from(struct obtain *o, const char *node, const char *level)
{
	size_t used = strlen(o->result->from);

	if (!strstr(o->result->from, node))
		snprintf(o->result->from + used, sizeof(o->result->from) - used, "%s%s", used ? "," : "", node);
	obtain_note_level(o, level);
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

/* A pack of other bytes would be good, but the parity that was made of these would be of nothing. */
static int check_exact(const struct obtain *o, const char *id, const char *path, struct fm_error *err)
{
	struct stat st;

	for (size_t i = 0; i < o->missings; i++)
		if (strcmp(o->missing[i].id, id) == 0 && o->missing[i].exact && lstat(path, &st) == 0 &&
		    (uint64_t)st.st_size != o->missing[i].exact)
			return fm_fail(err, FM_INCOMPATIBLE, "it has %lld bytes there, and not the %" PRIu64 " of which there is parity",
				       (long long)st.st_size, o->missing[i].exact);
	return 0;
}

int obtain_admit(struct obtain *o, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *from = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->incoming, id);
	FM_AUTO_FREE char *to = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->access.pages, id);
	struct pages_verdict verdict;
	int rc;

	if (!from || !to)
		return fm_fail(err, FM_FAILED, "out of memory");
	rc = check_exact(o, id, from, err);
	if (rc == 0)
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

/* ---- from StoreDir --------------------------------------------------------------------------------------- */

static int copy_bytes(int from, int to)
{
	FM_AUTO_FREE char *piece = malloc(REMOTE_PIECE);
	ssize_t n;

	if (!piece)
		return -1;
	while ((n = read(from, piece, REMOTE_PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || fm_write_all(to, piece, (size_t)n) < 0)
			return -1;
	}
	return fsync(to);
}

static int copy_shared(struct obtain *o, const char *id, struct fm_error *err)
{
	FM_AUTO_FREE char *from = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->access.also, id);
	FM_AUTO_FREE char *to = fm_format("%s/%s" LOCAL_PACK_SUFFIX, o->incoming, id);
	FM_AUTO_CLOSE int in = from ? open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	FM_AUTO_CLOSE int out = to && in >= 0 ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

	if (in < 0 || out < 0)
		return fm_fail(err, FM_FAILED, "cannot open %s or %s: %s", from, to, strerror(errno));
	if (copy_bytes(in, out) < 0) {
		fm_fail(err, FM_FAILED, "cannot copy %s: %s", from, strerror(errno));
		unlink(to);
		return -1;
	}
	return obtain_admit(o, id, err);
}

/* It was damaged here, or looks good there by its index only. */
static void take_shared(struct obtain *o, struct missing *missing)
{
	struct fm_error err;

	if (missing->got || !obtain_there(o->access.also, missing->id))
		return;
	if (copy_shared(o, missing->id, &err)) {
		obtain_note(o, "StoreDir", err.text);
		return;
	}
	missing->got = true;
	snprintf(missing->from, sizeof(missing->from), "store");
	o->result->shared++;
	obtain_note_level(o, "shared");
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
			snprintf(missing->from, sizeof(missing->from), "%s", m->node);
			o->result->fetched++;
			note_from(o, m->node, "node");
		}
}

/* ---- nearest first ------------------------------------------------------------------------------------------- */

static int read_records(struct obtain *o, struct fm_error *err)
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

/* Packs of this node's of which there is parity. */
static void set_exact(struct obtain *o)
{
	for (size_t i = 0; i < o->records; i++)
		for (size_t j = 0; o->record[i].k && j < o->record[i].members; j++)
			for (size_t l = 0; l < o->missings; l++) {
				const struct placement_member *m = &o->record[i].member[j];
				const struct placement_pack *pack = placement_packs_find(&m->packs, o->missing[l].id);

				if (pack && strcmp(m->node, o->conf->node_name) == 0)
					o->missing[l].exact = pack->bytes;
			}
}

/* Nearest first. false: something is missing still. */
static bool seek(struct obtain *o)
{
	bool all = true;

	for (size_t i = 0; i < o->missings; i++)
		take_shared(o, &o->missing[i]);
	for (size_t i = 0; i < o->missings; i++)
		fetch(o, &o->missing[i]);
	for (size_t i = 0; i < o->records; i++)
		if (o->record[i].k)
			obtain_rebuild(o, &o->record[i]);
	for (size_t i = 0; i < o->missings; i++)
		all = all && o->missing[i].got;
	return all;
}

int obtain_missing(struct obtain *o, bool exact_only, struct fm_error *err)
{
	if (read_records(o, err) || claim(o, err))
		return -1;
	set_exact(o);
	if (seek(o) || exact_only)
		return 0;
	for (size_t i = 0; i < o->missings; i++)
		o->missing[i].exact = 0;
	seek(o);
	return 0;
}
