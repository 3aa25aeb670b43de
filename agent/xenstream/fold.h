/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fold.h - a stream folded to one image: of each pfn only its last content, and all
 * that is not a page in two small pieces.
 *
 *	parser ─▶ fold ─keep(content)▶ a page store, which gives it a name ("ref")
 *	          └─▶ skeleton: head, tail; places: pfn, type, ref
 *	image.h: head + PAGE_DATA of all places + tail = a stream that `xl restore` reads
 *
 * The promise: that stream makes the very domain that the whole one makes.  By Xen's rules of restoring
 * (tools/libs/guest/xg_sr_restore*.c, 4.17 and later):
 * - A pfn gets memory at its first entry whose type has any and keeps it; its content is its last.
 *   An entry without content that comes later (a page ballooned out during the pre-copy) takes neither away.
 * - Its type matters to a PV guest only, and the last one does: a pfn whose last type is not that which gave it its
 *   memory or content is in the places twice.
 * - Of an HVM guest, holes (XTAB) and BROKEN have no effect, so they are not kept: a PVH guest of any size has
 *   a million of them.  Of a PV guest they are, once each.  A domain of nothing else cannot be folded.
 * - After VERIFY, pages are only compared with what came before: neither they nor VERIFY are kept.
 * - HVM_PARAMS clears the pages it names, so pages after it, in the same state, cannot be folded: FM_INCOMPATIBLE.
 *   (Xen writes it last.)
 *
 * Checkpoints: a fold is whole at the stream's end, and at each CHECKPOINT_END before that: what is taken from it then
 * is that checkpoint, as a plain stream.  Records of the end of an older checkpoint are forgotten when a newer one's
 * begin to come (one that lacks a type of record that the older had is FM_INCOMPATIBLE; Xen always writes all); CHECKPOINT and
 * CHECKPOINT_END are in no skeleton.
 *
 * Memory: 9 bytes for each pfn in 2 MiB of the guest that hold any page (0.2 % of them), and the skeleton.
 * One thread at a time.
 */
#ifndef FM_XENSTREAM_FOLD_H
#define FM_XENSTREAM_FOLD_H

#include "agent/xenstream/parser.h"

#define XENSTREAM_SKELETON_MAX ((size_t)64 << 20)

struct xenstream_keeper {
	/* A page's content has come: put it somewhere, *ref_r is its name. It may be an older content's, of whatever pfn. */
	int (*keep)(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err);
	/* A newer content of pfn is kept: the older one is no longer needed for it. NULL: do nothing. */
	void (*drop)(void *data, uint64_t pfn, uint64_t ref);
	void *data;
};

/* All of a stream but its pages. */
struct xenstream_skeleton {
	const void *head; /* up to where the pages belong */
	size_t head_size;
	const void *tail; /* from there to the stream's last byte */
	size_t tail_size;
};

struct xenstream_place {
	uint64_t entry; /* pfn and type: format.h */
	uint64_t ref;   /* the content's, if its type has content; else 0 */
};

struct xenstream_counts {
	uint64_t entries; /* that came */
	uint64_t pages;   /* of them with content */
	uint64_t kept;    /* places with content */
	uint64_t bare;    /* places without, as far as xenstream_fold_next() gave them */
};

struct xenstream_fold;

/* A bound for a domain of so many bytes: twice what it needs when its memory lies together, and 16 MiB. */
size_t xenstream_fold_table(uint64_t memory);

/* table_max: the most bytes of memory for what is known of the pfns, taken as they come; a stream that needs more is
 * FM_INCOMPATIBLE. NULL: out of memory. */
struct xenstream_fold *xenstream_fold_create(const struct xenstream_keeper *keeper, size_t table_max,
					     struct fm_error *err);
void xenstream_fold_destroy(struct xenstream_fold *f); /* NULL is fine */

/* For a parser: xenstream_parser_create(&xenstream_fold_calls, fold, err). */
extern const struct xenstream_calls xenstream_fold_calls;

/* Is it at the stream's end or just behind a checkpoint? What follows is to be asked only then; FM_FAILED otherwise. */
bool xenstream_fold_whole(const struct xenstream_fold *f);
/* Good until more is parsed. */
int xenstream_fold_skeleton(const struct xenstream_fold *f, struct xenstream_skeleton *skeleton_r, struct fm_error *err);
/*
 * From the first place.  In two turns, each by pfn: all that have memory, with their content or XALLOC; then
 * (PV) those whose last type is another, or who have no memory: no content.
 */
int xenstream_fold_rewind(struct xenstream_fold *f, struct fm_error *err);
/* The next ones, at most `most`; 0 when there are no more. Rewind first, and after more is parsed. */
size_t xenstream_fold_next(struct xenstream_fold *f, struct xenstream_place *places_r, size_t most);
struct xenstream_counts xenstream_fold_counts(const struct xenstream_fold *f);

#endif
