/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenstream_shop.h - a page store of the simplest kind, for the tests of folding: a slot a content, in memory. */
#ifndef FM_TEST_XENSTREAM_SHOP_H
#define FM_TEST_XENSTREAM_SHOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/xenstream/image.h"
#include "tests/unit/xenstream_sample.h"

/* Bytes; {0} at the start, the caller frees data. */
struct out {
	unsigned char *data;
	size_t size, room;
};

/* A sink: xenstream_sink_fn. */
int out_add(void *data, const void *bytes, size_t size, struct fm_error *err);

struct shop {
	unsigned char (*pages)[4096];
	uint64_t *pfns; /* whose it is */
	bool *gone;
	size_t used, dropped, room;
	struct xenstream_fold *fold;
	size_t most; /* places given at a time */
	size_t largest_fetch;
};

void shop_open(struct shop *s);
void shop_close(struct shop *s);

/* A keeper that checks that what is dropped was kept, for that pfn, and once. */
int shop_keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err);
void shop_drop(void *data, uint64_t pfn, uint64_t ref);

/* Into the shop's fold; not to the end of the stream. */
int shop_fold(struct shop *s, const unsigned char *data, size_t size, struct fm_error *err);
/* The fold's image; no page that was dropped may be asked for. */
void shop_image(struct shop *s, struct out *o);

/* A whole stream to its image. */
void shop_fold_whole(const unsigned char *data, size_t size, struct out *o, struct xenstream_counts *counts_r);
/* Folded, it makes the same domain, is hardly larger at worst, and folded again it stays as it is. */
void assert_folds_well(const struct sample *s);

#endif
