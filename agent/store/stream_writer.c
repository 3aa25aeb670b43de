/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream_writer.c - a saved domain on its way to the disk.
 *
 * The page store takes each content of a pfn as it comes, so the ref that the fold wants is the pfn itself.  The first
 * error is kept: a caller that overlooks one cannot finish a stream with a hole.
 *
 * Over several snapshots parser and fold stay, and know of every pfn whether it has a page; each snapshot has a page
 * writer of its own, that inherits. So check_complete() compares two counts that came about in different ways.
 */
#include "config.h"

#include "agent/store/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/skeleton.h"
#include "common/cleanup.h"
#include "common/io.h"

/* So many packs are searched for what is alike at other members: all of those of a group of some dozens. */
#define PACKS_MOST 128

struct stream_writer {
	char *map;
	uint32_t job;
	const struct pages_key *key;
	int nice;
	enum pages_codec codec;
	const struct pages_claims *claims; /* of the first map */
	char sha256[65]; /* of the last map that was finished */
	struct pages_store *store;
	struct pages_map *parent;
	struct pages_writer *pages;
	struct xenstream_fold *fold;
	struct xenstream_parser *parser;
	struct fm_error broken; /* code FM_OK while all is well */
};

static void writer_free(struct stream_writer *w)
{
	pages_writer_abort(w->pages);
	xenstream_parser_destroy(w->parser);
	xenstream_fold_destroy(w->fold);
	pages_map_close(w->parent);
	pages_store_close(w->store);
	free(w->map);
	free(w);
}

static int keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
{
	struct stream_writer *w = data;

	*ref_r = pfn;
	return pages_writer_put(w->pages, &pfn, page, 1, err);
}

/* It only saves time, so none, or a damaged one, is no error. */
static void open_parent(struct stream_writer *w, const char *path, const struct stream_place *at)
{
	struct fm_error ignored;

	if (path)
		w->parent = pages_map_open(path, at->job, at->key, NULL, &ignored);
}

static int begin_pages(struct stream_writer *w, const char *map, bool inherit, struct fm_error *err)
{
	const struct pages_writer_options options = { .codec = w->codec, .packs_most = PACKS_MOST, .nice = w->nice,
						      .parent = w->parent, .inherit = inherit, .claims = inherit ? NULL : w->claims };

	if (access(map, F_OK) == 0)
		return fm_fail(err, FM_FAILED, "it is there already");
	w->map = strdup(map);
	if (!w->map)
		return fm_fail(err, FM_FAILED, "out of memory");
	w->pages = pages_writer_create(w->store, &options, err);
	return w->pages ? 0 : -1;
}

static int prepare(struct stream_writer *w, const struct stream_place *at, const struct stream_options *o,
		   struct fm_error *err)
{
	w->job = at->job;
	w->key = at->key;
	w->nice = o->nice;
	w->codec = o->zstd ? PAGES_ZSTD : PAGES_LZ4;
	w->claims = o->claims;
	w->store = pages_store_open(at->pages, at->job, at->key, err);
	if (!w->store)
		return -1;
	if (at->also && pages_store_also(w->store, at->also, err) < 0)
		return -1;
	open_parent(w, o->parent, at);
	if (begin_pages(w, at->map, false, err) < 0)
		return -1;
	w->fold = xenstream_fold_create(&(struct xenstream_keeper){ .keep = keep, .data = w },
					xenstream_fold_table(PAGES_PFN_END * PAGES_SIZE), err);
	w->parser = w->fold ? xenstream_parser_create(&xenstream_fold_calls, w->fold, err) : NULL;
	return w->parser ? 0 : -1;
}

struct stream_writer *stream_writer_create(const struct stream_place *at, const struct stream_options *o,
					   struct fm_error *err)
{
	struct stream_writer *w = calloc(1, sizeof(*w));

	if (!w) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (prepare(w, at, o, err) == 0)
		return w;
	fm_context(err, "cannot begin %s", at->map);
	writer_free(w);
	return NULL;
}

static int writer_break(struct stream_writer *w, struct fm_error *err)
{
	fm_context(err, "cannot write %s", w->map);
	w->broken = *err;
	return -1;
}

static int is_broken(const struct stream_writer *w, struct fm_error *err)
{
	if (w->broken.code == FM_OK)
		return 0;
	*err = w->broken;
	return -1;
}

int stream_write(struct stream_writer *w, const void *data, size_t size, struct fm_error *err)
{
	if (is_broken(w, err) < 0)
		return -1;
	return xenstream_parse(w->parser, data, size, err) < 0 ? writer_break(w, err) : 0;
}

int stream_writer_check(const struct stream_writer *w, struct fm_error *err)
{
	return pages_writer_check(w->pages, err) < 0 ? fm_context(err, "cannot write %s", w->map) : 0;
}

void stream_writer_pause(struct stream_writer *w)
{
	pages_writer_pause(w->pages);
}

struct pages_progress stream_writer_progress(const struct stream_writer *w)
{
	struct pages_progress p = { 0 };

	if (w->pages)
		pages_writer_progress(w->pages, &p);
	return p;
}

/* What went into the page store is what the fold will ask for: else it is not said to be saved. */
static int check_complete(const struct stream_writer *w, const struct pages_saved *saved, struct fm_error *err)
{
	struct xenstream_counts c = xenstream_fold_counts(w->fold);

	if (saved->pages == c.kept)
		return 0;
	return fm_fail(err, FM_FAILED, "%llu pages are in the map, %llu in the stream", (unsigned long long)saved->pages,
		       (unsigned long long)c.kept);
}

int stream_writer_settle(struct stream_writer *w, struct fm_error *err)
{
	int rc = is_broken(w, err);

	if (rc == 0)
		rc = pages_writer_settle(w->pages, err);
	return rc < 0 && w->broken.code == FM_OK ? writer_break(w, err) : rc;
}

/* The fold must be whole. */
static int finish(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err)
{
	FM_AUTO_FREE void *skeleton = NULL;
	struct pages_saved saved;
	size_t size;

	skeleton = skeleton_encode(w->fold, &size, err);
	if (!skeleton || pages_writer_finish(fm_steal_ptr(&w->pages), w->map, skeleton, size, &saved, err) < 0 ||
	    check_complete(w, &saved, err) < 0)
		return -1;
	*saved_r = (struct stream_saved){ .map = saved.map, .count = saved.pages, .pages = saved.progress, .stored = saved.bytes,
					     .others = saved.others };
	return 0;
}

static int finish_map(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err)
{
	if (finish(w, saved_r, err) == 0)
		return 0;
	fm_context(err, "cannot write %s", w->map);
	unlink(w->map); /* its name may be there and only its durability in doubt */
	return -1;
}

int stream_writer_finish(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err)
{
	int rc = is_broken(w, err);

	if (rc == 0)
		rc = xenstream_parser_finish(w->parser, err) < 0 ? fm_context(err, "cannot write %s", w->map) :
								   finish_map(w, saved_r, err);
	writer_free(w);
	return rc;
}

int stream_writer_checkpoint(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err)
{
	if (is_broken(w, err) < 0)
		return -1;
	if (finish_map(w, saved_r, err) < 0) { /* also where this is no checkpoint */
		w->broken = *err;
		return -1;
	}
	memcpy(w->sha256, saved_r->map.sha256, sizeof(w->sha256));
	return 0;
}

int stream_writer_continue(struct stream_writer *w, const char *map, struct fm_error *err)
{
	FM_AUTO_FREE char *last = NULL;

	if (is_broken(w, err) < 0)
		return -1;
	last = fm_steal_ptr(&w->map);
	pages_map_close(w->parent);
	w->parent = pages_map_open(last, w->job, w->key, w->sha256, err);
	if (w->parent && begin_pages(w, map, true, err) == 0)
		return 0;
	fm_context(err, "cannot go on from %s", last);
	w->broken = *err;
	return -1;
}

void stream_writer_abort(struct stream_writer *w)
{
	if (w)
		writer_free(w);
}
