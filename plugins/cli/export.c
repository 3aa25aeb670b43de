/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export.c - fermata export JOB.N RANK FILE: a member's domain as the file that `xl restore` reads; with --disk=xvdb the
 * content of that disk of its, at the same instant.
 *
 * For the day on which nothing else of Fermata works: it reads the store itself and asks no agent, so it must run as
 * root where the store is.  Every page is verified before it is written; FILE is there, whole and durable, or not.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/access.h"
#include "agent/store/disk_map.h"
#include "agent/store/stream.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"
#include "plugins/cli/progress.h"
#include "plugins/cli/text.h"

#define PIECE ((size_t)1 << 20)

static int parse_rank(const char *text, unsigned *rank_r, struct fm_error *err)
{
	char *end;
	unsigned long rank;

	errno = 0;
	rank = strtoul(text, &end, 10);
	if (!*text || *end || *text == '-' || errno || rank > 65535)
		return fm_fail(err, FM_USAGE, "\"%.40s\" is no member's rank (0, 1, ...)", text);
	*rank_r = (unsigned)rank;
	return 0;
}

struct source {
	struct stream_reader *reader;
	uint64_t all; /* bytes of its memory, about what is copied */
	char name[24], what[24]; /* "12.3", "member 0" */
	bool quiet;
};

static int copy(const struct source *c, struct progress *progress, int fd, const char *file, uint64_t *bytes_r,
		struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	long n;

	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	while ((n = stream_read(c->reader, piece, PIECE, err)) > 0) {
		if (fm_write_all(fd, piece, (size_t)n) < 0)
			return fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno));
		*bytes_r += (uint64_t)n;
		progress_bytes(progress, c->what, *bytes_r, c->all);
	}
	return n < 0 ? -1 : stream_reader_finish(c->reader, err);
}

static int write_file(const struct source *c, struct progress *progress, const char *file, uint64_t *bytes_r,
		      struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = progress_create(progress, file, 0600); /* it holds a user's memory */

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno));
	if (copy(c, progress, fd, file, bytes_r, err) == 0 &&
	    (fsync(fd) == 0 || fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno)) == 0))
		return 0;
	unlink(file);
	return -1;
}

static int find_disk(struct json_object *manifest, unsigned rank, const char *vdev, struct store_disk *disk_r,
		     struct fm_error *err)
{
	for (size_t i = 0; store_manifest_disk(manifest, rank, i, disk_r); i++)
		if (strcmp(disk_r->vdev, vdev) == 0)
			return 0;
	return fm_fail(err, FM_NOT_FOUND, "member %u has no disk %s in the snapshot", rank, vdev);
}

/* Where it has zeros nothing is written: the file has holes there. */
static int write_disk(const struct stream_place *at, const struct store_disk *disk, struct progress *progress,
		      const char *file, struct fm_error *err)
{
	const struct disk_map_options o = { 0 };
	FM_AUTO_CLOSE int fd = progress_create(progress, file, 0600);

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno));
	if ((ftruncate(fd, (off_t)disk->size) == 0 || fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno)) == 0) &&
	    disk_map_read(at, &disk->map, disk->size, fd, &o, err) == 0 &&
	    (fsync(fd) == 0 || fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno)) == 0))
		return 0;
	unlink(file);
	return -1;
}

static int export_disk(const struct cli *cli, struct fm_snapshot_id *id, unsigned rank, uint64_t *bytes_r,
		       struct fm_error *err)
{
	const char *store = cli->conf.store_dir;
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, id, err);
	FM_AUTO_FREE char *dir = store_snapshot_dir(store, id);
	FM_AUTO_FREE char *path = NULL, *local = fm_format("%s/%u/pages", cli->conf.local_dir, id->job);
	struct progress *progress;
	struct store_access access;
	struct store_disk disk;
	int rc;

	if (!strcmp(cli->operands[2], "-"))
		return fm_fail(err, FM_USAGE, "a disk has holes: it is written to a file only");
	if (!manifest || find_disk(manifest, rank, cli->disk, &disk, err) < 0)
		return -1;
	path = dir ? fm_format("%s/%s", dir, disk.map.name) : NULL;
	if (!path || !local)
		return fm_fail(err, FM_FAILED, "out of memory");
	progress = progress_begin(&(struct progress_options){ 0 }, true); /* takes the file away when interrupted */
	rc = store_access_job(&access, store, id->job, cli->conf.key_file, false, err);
	if (rc == 0)
		rc = write_disk(&(struct stream_place){ path, access.pages, id->job, access.key, *cli->conf.local_dir ? local : NULL },
				&disk, progress, cli->operands[2], err);
	progress_end(progress);
	store_access_close(&access);
	*bytes_r = disk.size;
	return rc;
}

static int export(const struct cli *cli, struct fm_snapshot_id *id, unsigned rank, uint64_t *bytes_r, struct fm_error *err)
{
	const char *store = cli->conf.store_dir, *file = cli->operands[2];
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, id, err);
	FM_AUTO_FREE char *dir = NULL, *map_path = NULL, *local = NULL;
	struct store_access access;
	struct store_file map, held;
	struct source source = { .quiet = cli->quiet || cli->json };
	struct progress *progress;
	int rc = -1;

	if (!manifest || store_manifest_member(manifest, rank, &map, &held, err) < 0)
		return -1;
	dir = store_snapshot_dir(store, id);
	map_path = dir ? fm_format("%s/%s", dir, map.name) : NULL;
	local = fm_format("%s/%u/pages", cli->conf.local_dir, id->job);
	if (!map_path || !local)
		return fm_fail(err, FM_FAILED, "out of memory");
	source.all = map.raw_bytes;
	fm_snapshot_id_format(id, source.name);
	snprintf(source.what, sizeof(source.what), "member %u", rank);
	progress = progress_begin(&(struct progress_options){ .name = source.name }, source.quiet); /* before there are threads */
	if (store_access_job(&access, store, id->job, cli->conf.key_file, false, err) == 0)
		source.reader = stream_reader_open(&(struct stream_place){ map_path, access.pages, id->job, access.key,
								     *cli->conf.local_dir ? local : NULL }, &map, err);
	if (source.reader)
		rc = strcmp(file, "-") ? write_file(&source, progress, file, bytes_r, err) :
					 copy(&source, progress, STDOUT_FILENO, "standard output", bytes_r, err);
	stream_reader_close(source.reader);
	progress_end(progress);
	store_access_close(&access);
	return rc;
}

static int report(const struct cli *cli, const struct fm_snapshot_id *id, unsigned rank, uint64_t bytes, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *o = json_object_new_object();
	FM_AUTO_FREE char *size = text_size((int64_t)bytes);
	char name[24];

	if (!strcmp(cli->operands[2], "-"))
		return 0;
	fm_snapshot_id_format(id, name);
	if (!cli->json) {
		printf("%s%smember %u of %s is in %s (%s)\n", cli->disk ? cli->disk : "", cli->disk ? " of " : "", rank, name,
		       cli->operands[2], size ? size : "?");
		return 0;
	}
	fm_json_set_string(o, "snapshot", name);
	fm_json_set_int(o, "rank", rank);
	fm_json_set_string(o, "disk", cli->disk);
	fm_json_set_string(o, "file", cli->operands[2]);
	fm_json_set_int(o, "bytes", (int64_t)bytes);
	return print_json(o, err);
}

int cli_export(struct cli *cli, struct fm_error *err)
{
	struct fm_snapshot_id id;
	uint64_t bytes = 0;
	unsigned rank = 0;

	if (fm_snapshot_id_parse(cli->operands[0], &id, err) < 0 || parse_rank(cli->operands[1], &rank, err) < 0)
		return -1;
	if (!strcmp(cli->operands[2], "-") && isatty(STDOUT_FILENO))
		return fm_fail(err, FM_USAGE, "a guest's memory is not written to a terminal");
	if (access(cli->conf.store_dir, R_OK | X_OK) < 0)
		return fm_fail(err, errno == EACCES ? FM_DENIED : FM_NOT_FOUND, "StoreDir %s: %s", cli->conf.store_dir,
			       strerror(errno));
	if (cli->disk)
		return export_disk(cli, &id, rank, &bytes, err) < 0 ? -1 : report(cli, &id, rank, bytes, err);
	return export(cli, &id, rank, &bytes, err) < 0 ? -1 : report(cli, &id, rank, bytes, err);
}
