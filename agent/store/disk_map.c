/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_map.c - see disk_map.h. */
#include "config.h"

#include "agent/store/disk_map.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/sweep.h"
#include "common/cleanup.h"
#include "common/io.h"

#define MAGIC "fm-disk\n"
#define DISK_VERSION 1u
#define PIECE ((size_t)1 << 20)
#define PACKS_MOST 128 /* as stream_writer.c */
#define MAP_SUFFIX ".map"

struct skeleton {
	char magic[8];
	uint32_t version;
	uint32_t block;
	uint64_t size;
};
_Static_assert(sizeof(struct skeleton) == 24, "on-disk format");

char *disk_map_name(const char *map, const char *vdev, struct fm_error *err)
{
	size_t length = strlen(map), suffix = strlen(MAP_SUFFIX);
	char *name = NULL;

	if (length > suffix && strcmp(map + length - suffix, MAP_SUFFIX) == 0)
		name = fm_format("%.*s.disk-%s" MAP_SUFFIX, (int)(length - suffix), map, vdev);
	else
		fm_fail(err, FM_USAGE, "\"%s\" is no map of a member", map);
	if (!name && length > suffix)
		fm_fail(err, FM_FAILED, "out of memory");
	return name;
}

static bool stopped(const struct disk_map_options *o)
{
	return o->stop && o->stop(o->data);
}

static struct pages_store *open_store(const struct stream_place *at, struct fm_error *err)
{
	struct pages_store *store = pages_store_open(at->pages, at->job, at->key, err);

	if (!store || !at->also || pages_store_also(store, at->also, err) == 0)
		return store;
	pages_store_close(store);
	return NULL;
}

/* ---- writing ----------------------------------------------------------------------------- */

struct writing {
	int fd;
	uint64_t size;
	const struct disk_map_options *o;
	struct pages_writer *pages;
	unsigned char *piece;
};

static int read_piece(int fd, unsigned char *piece, size_t size, uint64_t at, struct fm_error *err)
{
	while (size > 0) {
		ssize_t n = pread(fd, piece, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fm_fail(err, FM_FAILED, "cannot read the disk at byte %llu: %s", (unsigned long long)at,
				       n < 0 ? strerror(errno) : "it ends there");
		piece += n;
		size -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int put_piece(struct writing *w, size_t size, uint64_t at, struct fm_error *err)
{
	for (size_t i = 0; i < size; i += PAGES_SIZE) {
		uint64_t number = (at + i) / PAGES_SIZE;

		if (memcmp(w->piece + i, pages_zero, PAGES_SIZE) != 0 &&
		    pages_writer_put(w->pages, &number, w->piece + i, 1, err) < 0)
			return -1;
	}
	return 0;
}

/* Where the next data is: a file tells its holes, a device does not. */
static uint64_t next_data(const struct writing *w, uint64_t at)
{
	off_t data = lseek(w->fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? w->size : at;
	return (uint64_t)data / PAGES_SIZE * PAGES_SIZE;
}

static int put_all(struct writing *w, struct fm_error *err)
{
	uint64_t at = next_data(w, 0);

	while (at < w->size) {
		size_t size = w->size - at < PIECE ? (size_t)(w->size - at) : PIECE;

		if (stopped(w->o))
			return 1;
		if (read_piece(w->fd, w->piece, size, at, err) < 0 || put_piece(w, size, at, err) < 0)
			return -1;
		/* the page cache is the guests' hosts', not the copy's */
		posix_fadvise(w->fd, (off_t)at, (off_t)size, POSIX_FADV_DONTNEED);
		at = next_data(w, at + size);
	}
	return 0;
}

static int write_map(const struct stream_place *at, struct writing *w, struct disk_map_saved *saved_r,
		     struct fm_error *err)
{
	const struct skeleton skeleton = { .magic = MAGIC, htole32(DISK_VERSION), htole32(PAGES_SIZE), htole64(w->size) };
	struct pages_saved saved;
	int rc = put_all(w, err);

	if (rc != 0)
		return rc;
	if (pages_writer_finish(fm_steal_ptr(&w->pages), at->map, &skeleton, sizeof(skeleton), &saved, err) < 0) {
		unlink(at->map); /* its name may be there and only its durability in doubt */
		return -1;
	}
	*saved_r = (struct disk_map_saved){ .map = saved.map, .size = w->size, .count = saved.pages,
					    .pages = saved.progress, .stored = saved.bytes };
	return 0;
}

int disk_map_write(const struct stream_place *at, int fd, uint64_t size, const struct disk_map_options *o,
		   struct disk_map_saved *saved_r, struct fm_error *err)
{
	struct pages_writer_options options = { .codec = PAGES_LZ4, .packs_most = PACKS_MOST, .nice = o->nice };
	struct writing w = { .fd = fd, .size = size, .o = o };
	struct pages_store *store = NULL;
	struct pages_map *parent = NULL;
	FM_AUTO_FREE unsigned char *piece = w.piece = malloc(PIECE);
	int rc = -1;

	if (!piece)
		return fm_fail(err, FM_FAILED, "out of memory");
	if (access(at->map, F_OK) == 0)
		return fm_fail(err, FM_FAILED, "%s is there already", at->map);
	store = open_store(at, err);
	if (store && o->parent) /* it only saves time, so none, or a damaged one, is no error */
		parent = pages_map_open(o->parent, at->job, at->key, NULL, &(struct fm_error){ 0 });
	options.parent = parent;
	w.pages = store ? pages_writer_create(store, &options, err) : NULL;
	if (w.pages)
		rc = write_map(at, &w, saved_r, err);
	pages_writer_abort(w.pages);
	pages_map_close(parent);
	pages_store_close(store);
	return rc < 0 ? fm_context(err, "cannot write %s", at->map) : rc;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int check_skeleton(const struct pages_map *map, const struct store_file *expected, uint64_t size,
			  struct fm_error *err)
{
	const struct skeleton *s;
	uint64_t raw;
	size_t n;

	s = pages_map_skeleton(map, &n);
	raw = pages_map_count(map) * PAGES_SIZE + n;
	if (n != sizeof(*s) || memcmp(s->magic, MAGIC, sizeof(s->magic)) != 0)
		return fm_fail(err, FM_CORRUPT, "it is no disk's map");
	if (le32toh(s->version) != DISK_VERSION || le32toh(s->block) != PAGES_SIZE)
		return fm_fail(err, FM_INCOMPATIBLE, "it has format version %u, this Fermata reads %u", le32toh(s->version),
			       DISK_VERSION);
	if (le64toh(s->size) != size || raw != expected->raw_bytes)
		return fm_fail(err, FM_CORRUPT, "it holds %llu bytes of a disk of %llu, its manifest says %llu of %llu",
			       (unsigned long long)raw, (unsigned long long)le64toh(s->size),
			       (unsigned long long)expected->raw_bytes, (unsigned long long)size);
	if (size % PAGES_SIZE || pages_map_pfn_end(map) > size / PAGES_SIZE)
		return fm_fail(err, FM_CORRUPT, "it has blocks behind the end of the disk");
	return 0;
}

static int write_block(int fd, const void *block, uint64_t number, struct fm_error *err)
{
	ssize_t n = pwrite(fd, block, PAGES_SIZE, (off_t)(number * PAGES_SIZE));

	if (n == (ssize_t)PAGES_SIZE)
		return 0;
	return fm_fail(err, FM_FAILED, "cannot write block %llu of the disk: %s", (unsigned long long)number,
		       n < 0 ? strerror(errno) : "it takes less");
}

static int read_all(struct pages_reader *reader, int fd, const struct disk_map_options *o, struct fm_error *err)
{
	struct pages_batch batch;
	int more;

	while ((more = pages_reader_next(reader, &batch, err)) > 0) {
		if (stopped(o))
			return 1;
		for (size_t i = 0; fd >= 0 && i < batch.count; i++)
			if (write_block(fd, batch.page[i], batch.pfn[i], err) < 0)
				return -1;
	}
	return more;
}

/* Checked. Caller closes. */
static struct pages_map *open_map(const struct stream_place *at, const struct store_file *expected, uint64_t size,
				  struct fm_error *err)
{
	struct pages_map *map = pages_map_open(at->map, at->job, at->key, expected->sha256, err);

	if (!map && err->code == FM_NOT_FOUND) /* a file that a manifest names is there, or the snapshot is damaged */
		fm_fail(err, FM_CORRUPT, "%s is missing", at->map);
	if (!map || check_skeleton(map, expected, size, err) == 0)
		return map;
	fm_context(err, "%s", at->map);
	pages_map_close(map);
	return NULL;
}

static int read_map(struct pages_store *store, const struct stream_place *at, const struct store_file *expected,
		    uint64_t size, int fd, const struct disk_map_options *o, struct fm_error *err)
{
	struct pages_map *map = open_map(at, expected, size, err);
	struct pages_reader *reader;
	int rc = -1;

	if (!map)
		return -1;
	reader = pages_reader_create(store, map, &(struct pages_reader_options){ 0 }, err);
	if (reader)
		rc = read_all(reader, fd, o, err);
	pages_reader_destroy(reader);
	pages_map_close(map);
	return rc < 0 ? fm_context(err, "%s", at->map) : rc;
}

int disk_map_check(const struct stream_place *at, const struct store_file *expected, uint64_t size, struct fm_error *err)
{
	struct pages_map *map = open_map(at, expected, size, err);

	pages_map_close(map);
	return map ? 0 : -1;
}

int disk_map_read(const struct stream_place *at, const struct store_file *expected, uint64_t size, int fd,
		  const struct disk_map_options *o, struct fm_error *err)
{
	struct pages_store *store = open_store(at, err);
	int rc = store ? read_map(store, at, expected, size, fd, o, err) : -1;

	pages_store_close(store);
	if (rc < 0)
		store_removed_meanwhile(at->map, err);
	return rc;
}
