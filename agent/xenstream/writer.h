/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer.h - the parser's opposite: parts verbatim and pages to a stream.
 *
 * Given what a parser handed over, in its order and with its batches, the bytes are those
 * the parser was fed.  Batches may be others: any that have the same pages in an order in
 * which each pfn's last one is still its last.  No memory, no buffering: what is given goes to
 * the sink at once.  One thread at a time.
 */
#ifndef FM_XENSTREAM_WRITER_H
#define FM_XENSTREAM_WRITER_H

#include "agent/xenstream/format.h"
#include "common/error.h"

typedef int (*xenstream_sink_fn)(void *data, const void *bytes, size_t size, struct fm_error *err);

struct xenstream_writer {
	xenstream_sink_fn sink;
	void *data;
	size_t missing; /* pages with content that the batch still has to get; 0 at the start */
};

/* The first bytes of a PAGE_DATA record of so many entries, of which `full` have content: 16 bytes. */
#define XENSTREAM_BATCH_HEADER ((size_t)16)
void xenstream_batch_header(unsigned char header_r[XENSTREAM_BATCH_HEADER], size_t count, size_t full);

/* Each: -1 with the sink's error, or FM_USAGE when it is called out of turn or the entries cannot be written. */
int xenstream_write_part(struct xenstream_writer *w, const void *bytes, size_t size, struct fm_error *err);
int xenstream_write_batch(struct xenstream_writer *w, const uint64_t *entries, size_t count, struct fm_error *err);
/* One call for each entry of the batch that has content, in order. */
int xenstream_write_page(struct xenstream_writer *w, const void *page, struct fm_error *err);
/* Was the last batch given in full? */
int xenstream_writer_finish(const struct xenstream_writer *w, struct fm_error *err);

#endif
