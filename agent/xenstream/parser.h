/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parser.h - a saved domain's stream taken apart as it comes, in pieces of any size.
 *
 * Each page is handed over by itself; all other bytes verbatim, in order: what is
 * given to part() and the PAGE_DATA records made of what is given to batch() and
 * page() (writer.h) are, put together, the bytes that went in.
 *
 * Nothing handed over is to be believed before xenstream_parser_finish() has said yes.  Memory is bounded whatever the bytes say: at most 8 bytes for each
 * of XENSTREAM_BATCH_MAX entries, one page, and a header.
 *
 * Errors: FM_CORRUPT: no stream, cut short, damaged, out of order, or going on after its end. FM_INCOMPATIBLE: of a
 * kind or version this one does not read. The text names the byte and the record. An error stays: every
 * later call gives it again.  One thread at a time.
 */
#ifndef FM_XENSTREAM_PARSER_H
#define FM_XENSTREAM_PARSER_H

#include "agent/xenstream/format.h"
#include "common/error.h"

/* A header, or a record that is not PAGE_DATA. */
struct xenstream_part {
	enum xenstream_layer layer;
	bool header;   /* the layer's header (xl's with the configuration), else a record */
	uint32_t type; /* of a record */
	uint64_t at;   /* its first byte in the stream */
	uint64_t size; /* with its header and padding */
};

/* Each returns 0, or -1 with err, which ends the parsing. Pointers are good during the call. All must be there. */
struct xenstream_calls {
	/* The next `size` bytes of a part, `done` came before: the first piece has done == 0, the last done + size == part->size.
	 * A header that is libxl's or libxc's comes in one piece, and so does a record's own. */
	int (*part)(void *data, const struct xenstream_part *part, uint64_t done, const void *bytes, size_t size,
		    struct fm_error *err);
	/* A PAGE_DATA record begins at byte `at` of the stream. */
	int (*batch)(void *data, uint64_t at, const uint64_t *entries, size_t count, struct fm_error *err);
	/* Each of its entries, in order; page: XENSTREAM_PAGE_SIZE bytes, or NULL when its type has no content. */
	int (*page)(void *data, uint64_t entry, const void *page, struct fm_error *err);
};

/* What the headers said; zero as long as they did not come. */
struct xenstream_about {
	bool hvm;
	unsigned version; /* of the libxc stream */
	unsigned xen_major, xen_minor;
};

struct xenstream_parser;

/* NULL: out of memory. data is handed to the calls. */
struct xenstream_parser *xenstream_parser_create(const struct xenstream_calls *calls, void *data, struct fm_error *err);
int xenstream_parse(struct xenstream_parser *p, const void *bytes, size_t size, struct fm_error *err);
/* No more will come: -1 when the stream is not at its end. */
int xenstream_parser_finish(struct xenstream_parser *p, struct fm_error *err);
struct xenstream_about xenstream_parser_about(const struct xenstream_parser *p);
void xenstream_parser_destroy(struct xenstream_parser *p); /* NULL is fine */

#endif
