/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream_reader.c - a saved domain read back as the stream that makes it again.
 *
 * The image (agent/xenstream) asks for places, then for their contents in the same order: the places come from the map
 * and the skeleton merged by pfn, the contents from the page reader, which is ahead with them.
 */
#include "config.h"

#include "agent/store/stream.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/skeleton.h"
#include "agent/store/sweep.h"
#include "agent/xenstream/image.h"
#include "common/cleanup.h"

struct stream_reader {
	char *map_path;
	struct pages_store *store;
	struct pages_map *map;
	struct pages_reader *pages;
	struct skeleton skeleton;
	struct xenstream_image *image;
	/* places */
	uint64_t from;    /* of the map: where its next pfn is looked for */
	uint64_t pfn;     /* that one; PAGES_PFN_END: there is none */
	size_t first, second; /* of the skeleton's places: given out */
	/* contents */
	struct pages_batch batch;
	size_t taken; /* of the batch */
};

static void map_advance(struct stream_reader *r)
{
	if (pages_map_next(r->map, &r->from, &r->pfn, 1) == 0)
		r->pfn = PAGES_PFN_END;
}

/* The next place of the first turn: the map's, the skeleton's, or both's. 0: there is none. */
static int first_turn(struct stream_reader *r, uint64_t *entry_r, struct fm_error *err)
{
	uint64_t odd, pfn;

	if (r->first == r->skeleton.first_count) {
		*entry_r = xenstream_entry(r->pfn, XENSTREAM_NOTAB);
		return r->pfn < PAGES_PFN_END;
	}
	odd = xenstream_le64(r->skeleton.first + 8 * r->first);
	pfn = xenstream_pfn(odd);
	if (r->pfn < pfn) {
		*entry_r = xenstream_entry(r->pfn, XENSTREAM_NOTAB);
		return 1;
	}
	if (xenstream_type_content(xenstream_type(odd)) != (r->pfn == pfn))
		return fm_fail(err, FM_CORRUPT, "pfn %#llx is of type %u and has %s content", (unsigned long long)pfn,
			       xenstream_type(odd), r->pfn == pfn ? "a" : "no");
	*entry_r = odd;
	r->first++;
	return 1;
}

static int next_place(struct stream_reader *r, uint64_t *entry_r, struct fm_error *err)
{
	int n = first_turn(r, entry_r, err);

	if (n > 0 && xenstream_pfn(*entry_r) == r->pfn)
		map_advance(r);
	if (n != 0 || r->second == r->skeleton.second_count)
		return n;
	*entry_r = xenstream_le64(r->skeleton.second + 8 * r->second++);
	return 1;
}

static int shelf_next(void *data, struct xenstream_place *places_r, size_t most, size_t *count_r, struct fm_error *err)
{
	struct stream_reader *r = data;
	int more = 1;

	*count_r = 0;
	while (*count_r < most && (more = next_place(r, &places_r[*count_r].entry, err)) > 0)
		places_r[(*count_r)++].ref = 0;
	return more < 0 ? -1 : 0;
}

static int shelf_fetch(void *data, const struct xenstream_place *places, size_t count, unsigned char *pages_r,
		       struct fm_error *err)
{
	struct stream_reader *r = data;

	for (size_t i = 0; i < count; i++, pages_r += PAGES_SIZE) {
		int n = 1;

		if (r->taken == r->batch.count) {
			r->taken = 0;
			n = pages_reader_next(r->pages, &r->batch, err);
		}
		if (n <= 0 || r->batch.pfn[r->taken] != xenstream_pfn(places[i].entry)) {
			r->batch.count = r->taken = 0;
			return n < 0 ? -1 : fm_fail(err, FM_CORRUPT, "no content for pfn %#llx",
						    (unsigned long long)xenstream_pfn(places[i].entry));
		}
		memcpy(pages_r, r->batch.page[r->taken++], PAGES_SIZE);
	}
	return 0;
}

void stream_reader_close(struct stream_reader *r)
{
	if (!r)
		return;
	xenstream_image_close(r->image);
	pages_reader_destroy(r->pages);
	pages_map_close(r->map);
	pages_store_close(r->store);
	free(r->map_path);
	free(r);
}

static int open_map(struct stream_reader *r, const struct stream_place *at, const struct store_file *expected,
		    struct fm_error *err)
{
	const void *skeleton;
	uint64_t raw;
	size_t size;

	r->map = pages_map_open(at->map, at->job, at->key, expected->sha256, err);
	if (!r->map) /* a file that a manifest names is there, or the snapshot is damaged */
		return err->code == FM_NOT_FOUND ? fm_fail(err, FM_CORRUPT, "%s is missing", at->map) : -1;
	skeleton = pages_map_skeleton(r->map, &size);
	raw = pages_map_count(r->map) * PAGES_SIZE + size;
	if (raw != expected->raw_bytes)
		return fm_fail(err, FM_CORRUPT, "%s holds %llu bytes of state, its manifest says %llu", at->map,
			       (unsigned long long)raw, (unsigned long long)expected->raw_bytes);
	return skeleton_decode(skeleton, size, &r->skeleton, err) < 0 ? fm_context(err, "%s", at->map) : 0;
}

static int prepare(struct stream_reader *r, const struct stream_place *at, const struct store_file *expected,
		   const struct pages_reader_options *options, struct fm_error *err)
{
	const struct xenstream_shelf shelf = { shelf_next, shelf_fetch, r };

	r->map_path = strdup(at->map);
	r->store = pages_store_open(at->pages, at->job, at->key, err);
	if (!r->map_path || !r->store)
		return r->map_path ? -1 : fm_fail(err, FM_FAILED, "out of memory");
	if (at->also && pages_store_also(r->store, at->also, err) < 0)
		return -1;
	if (open_map(r, at, expected, err) < 0)
		return -1;
	r->pages = pages_reader_create(r->store, r->map, options, err);
	if (!r->pages)
		return fm_context(err, "%s", at->map);
	map_advance(r);
	r->image = xenstream_image_open(&r->skeleton.parts, &shelf, err);
	return r->image ? 0 : -1;
}

struct stream_reader *stream_reader_open_with(const struct stream_place *at, const struct store_file *expected,
					      const struct pages_reader_options *options, struct fm_error *err)
{
	struct stream_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (prepare(r, at, expected, options, err) == 0)
		return r;
	store_removed_meanwhile(at->map, err); /* from here on no sweep takes anything from us; before, one may have */
	stream_reader_close(r);
	return NULL;
}

struct stream_reader *stream_reader_open(const struct stream_place *at, const struct store_file *expected,
					 struct fm_error *err)
{
	return stream_reader_open_with(at, expected, &(struct pages_reader_options){ 0 }, err);
}

long stream_read(struct stream_reader *r, void *data, size_t size, struct fm_error *err)
{
	long n = xenstream_image_read(r->image, data, size, err);

	return n < 0 ? fm_context(err, "%s", r->map_path) : n;
}

int stream_reader_finish(struct stream_reader *r, struct fm_error *err)
{
	const void *bytes;
	size_t size = 1;

	while (size > 0)
		if (xenstream_image_next(r->image, &bytes, &size, err) < 0)
			return fm_context(err, "%s", r->map_path);
	return 0;
}
