/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.c - see image.h.
 *
 *	HEAD ─▶ (BATCH ─▶ CONTENT)* ─▶ TAIL ─▶ OVER
 *
 * Places wait in a window of one batch; what a batch leaves of it is moved to its
 * front and topped up.
 */
#include "config.h"

#include "agent/xenstream/image.h"

#include <stdlib.h>

#include "agent/xenstream/writer.h"

#define WINDOW XENSTREAM_BATCH_USUAL
#define SUPERPAGE 512 /* pfns: 2 MiB */

enum step { HEAD, BATCH, CONTENT, TAIL, OVER };

struct xenstream_image {
	struct xenstream_skeleton skeleton;
	struct xenstream_shelf shelf;
	struct fm_error broken; /* FM_OK while all is well */
	enum step step;
	struct xenstream_place window[WINDOW];
	size_t filled, batch; /* of the window: places; of them in the batch at hand */
	size_t turn_end;      /* of the window: places of the first turn */
	struct xenstream_place full[WINDOW]; /* of the batch: those with content */
	size_t full_count;
	bool empty;       /* the shelf is */
	bool any, second; /* a place has come; one of the second turn */
	uint64_t last;    /* pfn */
	unsigned char header[XENSTREAM_BATCH_HEADER + WINDOW * 8];
	unsigned char *pages; /* their contents */
	size_t pages_room;    /* pages */
	const unsigned char *rest; /* of xenstream_image_read() */
	size_t rest_size;
};

static int check_place(struct xenstream_image *i, const struct xenstream_place *p, struct fm_error *err)
{
	uint64_t pfn = xenstream_pfn(p->entry);
	bool full = xenstream_type_content(xenstream_type(p->entry));
	bool turn = !i->second && i->any && !full && pfn <= i->last;

	if (p->entry & XENSTREAM_RESERVED_MASK || !xenstream_type_known(xenstream_type(p->entry)))
		return fm_fail(err, FM_CORRUPT, "0x%016llx is no page's pfn and type", (unsigned long long)p->entry);
	if ((i->any && !turn && pfn <= i->last) || (i->second && full))
		return fm_fail(err, FM_CORRUPT, "pfn 0x%llx is out of order behind 0x%llx", (unsigned long long)pfn,
			       (unsigned long long)i->last);
	i->any = true;
	i->second = i->second || turn;
	i->last = pfn;
	return 0;
}

static int fill_window(struct xenstream_image *i, struct fm_error *err)
{
	memmove(i->window, i->window + i->batch, (i->filled - i->batch) * sizeof(i->window[0]));
	i->filled -= i->batch;
	i->turn_end = i->turn_end > i->batch ? i->turn_end - i->batch : 0;
	i->batch = 0;
	while (!i->empty && i->filled < WINDOW) {
		size_t n = 0;

		if (i->shelf.next(i->shelf.data, i->window + i->filled, WINDOW - i->filled, &n, err) < 0)
			return -1;
		i->empty = n == 0;
		for (; n > 0; n--) {
			if (check_place(i, &i->window[i->filled++], err) < 0)
				return -1;
			if (!i->second)
				i->turn_end = i->filled;
		}
	}
	return 0;
}

static uint64_t place_superpage(const struct xenstream_place *p)
{
	return xenstream_pfn(p->entry) / SUPERPAGE;
}

/* How many of the window go into one record. */
static size_t batch_size(const struct xenstream_image *i)
{
	size_t n = i->turn_end ? i->turn_end : i->filled, whole;

	if (n < WINDOW || i->empty || (xenstream_pfn(i->window[n - 1].entry) + 1) % SUPERPAGE == 0)
		return n;
	/* The last superpage may go on behind the window: keep it for the next record. */
	for (whole = n; whole > 0 && place_superpage(&i->window[whole - 1]) == place_superpage(&i->window[n - 1]); )
		whole--;
	return whole ? whole : n;
}

static int next_batch(struct xenstream_image *i, const void **bytes_r, size_t *size_r, struct fm_error *err)
{
	if (fill_window(i, err) < 0)
		return -1;
	i->batch = batch_size(i);
	*bytes_r = i->header;
	*size_r = 0;
	i->step = TAIL;
	if (i->batch == 0)
		return 0;
	i->full_count = 0;
	for (size_t k = 0; k < i->batch; k++) {
		xenstream_put_le64(i->header + XENSTREAM_BATCH_HEADER + k * 8, i->window[k].entry);
		if (xenstream_type_content(xenstream_type(i->window[k].entry)))
			i->full[i->full_count++] = i->window[k];
	}
	xenstream_batch_header(i->header, i->batch, i->full_count);
	*size_r = XENSTREAM_BATCH_HEADER + i->batch * 8;
	i->step = i->full_count ? CONTENT : BATCH;
	return 0;
}

static int next_content(struct xenstream_image *i, const void **bytes_r, size_t *size_r, struct fm_error *err)
{
	if (i->full_count > i->pages_room) {
		free(i->pages);
		i->pages = malloc(i->full_count * XENSTREAM_PAGE_SIZE);
		i->pages_room = i->pages ? i->full_count : 0;
	}
	if (!i->pages)
		return fm_fail(err, FM_FAILED, "out of memory");
	*bytes_r = i->pages;
	*size_r = i->full_count * XENSTREAM_PAGE_SIZE;
	i->step = BATCH;
	return i->shelf.fetch(i->shelf.data, i->full, i->full_count, i->pages, err);
}

static int next(struct xenstream_image *i, const void **bytes_r, size_t *size_r, struct fm_error *err)
{
	switch (i->step) {
	case HEAD:
		*bytes_r = i->skeleton.head;
		*size_r = i->skeleton.head_size;
		i->step = BATCH;
		return 0;
	case BATCH: return next_batch(i, bytes_r, size_r, err);
	case CONTENT: return next_content(i, bytes_r, size_r, err);
	case TAIL:
		*bytes_r = i->skeleton.tail;
		*size_r = i->skeleton.tail_size;
		i->step = OVER;
		return 0;
	case OVER: break;
	}
	return 0;
}

int xenstream_image_next(struct xenstream_image *i, const void **bytes_r, size_t *size_r, struct fm_error *err)
{
	*bytes_r = NULL;
	*size_r = 0;
	while (i->broken.code == FM_OK && *size_r == 0 && i->step != OVER)
		if (next(i, bytes_r, size_r, &i->broken) < 0)
			break;
	if (i->broken.code == FM_OK)
		return 0;
	*size_r = 0;
	*err = i->broken;
	return -1;
}

long xenstream_image_read(struct xenstream_image *i, void *data, size_t size, struct fm_error *err)
{
	const void *bytes;
	size_t n;

	if (i->rest_size == 0) {
		if (xenstream_image_next(i, &bytes, &i->rest_size, err) < 0)
			return -1;
		i->rest = bytes;
	}
	n = size < i->rest_size ? size : i->rest_size;
	if (n == 0)
		return 0;
	memcpy(data, i->rest, n);
	i->rest += n;
	i->rest_size -= n;
	return (long)n;
}

struct xenstream_image *xenstream_image_open(const struct xenstream_skeleton *skeleton,
					     const struct xenstream_shelf *shelf, struct fm_error *err)
{
	struct xenstream_image *i = calloc(1, sizeof(*i));

	if (!i) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	i->skeleton = *skeleton;
	i->shelf = *shelf;
	return i;
}

void xenstream_image_close(struct xenstream_image *i)
{
	if (!i)
		return;
	free(i->pages);
	free(i);
}
