/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export.c - fermata export JOB.N RANK FILE: a member's domain as the file that `xl restore` reads.
 *
 * For the day on which nothing else of Fermata works: it reads the store itself and asks no agent, so it must run as
 * root where the store is.  Every page is verified before it is written; FILE is there, whole and durable, or not.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/access.h"
#include "agent/store/stream.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "plugins/cli/cli.h"
#include "plugins/cli/print.h"
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

static int copy(struct stream_reader *reader, int fd, const char *file, uint64_t *bytes_r, struct fm_error *err)
{
	FM_AUTO_FREE char *piece = malloc(PIECE);
	long n;

	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	while ((n = stream_read(reader, piece, PIECE, err)) > 0) {
		if (fm_write_all(fd, piece, (size_t)n) < 0)
			return fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno));
		*bytes_r += (uint64_t)n;
	}
	return n < 0 ? -1 : stream_reader_finish(reader, err);
}

static int write_file(struct stream_reader *reader, const char *file, uint64_t *bytes_r, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* it holds a user's memory */

	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno));
	if (copy(reader, fd, file, bytes_r, err) == 0 &&
	    (fsync(fd) == 0 || fm_fail(err, FM_FAILED, "%s: %s", file, strerror(errno)) == 0))
		return 0;
	unlink(file);
	return -1;
}

static int export(const struct cli *cli, struct fm_snapshot_id *id, unsigned rank, uint64_t *bytes_r, struct fm_error *err)
{
	const char *store = cli->conf.store_dir, *file = cli->operands[2];
	FM_AUTO_JSON struct json_object *manifest = store_manifest(store, id, err);
	FM_AUTO_FREE char *dir = NULL, *map_path = NULL, *local = NULL;
	struct store_access access;
	struct store_file map, held;
	struct stream_reader *reader = NULL;
	int rc = -1;

	if (!manifest || store_manifest_member(manifest, rank, &map, &held, err) < 0)
		return -1;
	dir = store_snapshot_dir(store, id);
	map_path = dir ? fm_format("%s/%s", dir, map.name) : NULL;
	local = fm_format("%s/%u/pages", cli->conf.local_dir, id->job);
	if (!map_path || !local)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (store_access_job(&access, store, id->job, cli->conf.key_file, false, err) == 0)
		reader = stream_reader_open(&(struct stream_place){ map_path, access.pages, id->job, access.key,
								     *cli->conf.local_dir ? local : NULL }, &map, err);
	if (reader)
		rc = strcmp(file, "-") ? write_file(reader, file, bytes_r, err) :
					 copy(reader, STDOUT_FILENO, "standard output", bytes_r, err);
	stream_reader_close(reader);
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
		printf("member %u of %s is in %s (%s)\n", rank, name, cli->operands[2], size ? size : "?");
		return 0;
	}
	fm_json_set_string(o, "snapshot", name);
	fm_json_set_int(o, "rank", rank);
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
	return export(cli, &id, rank, &bytes, err) < 0 ? -1 : report(cli, &id, rank, bytes, err);
}
