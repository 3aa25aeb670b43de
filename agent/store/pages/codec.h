/* SPDX-License-Identifier: GPL-2.0-or-later */
/* codec.h - frames compressed and back; a codec is one thread's (page store only). */
#ifndef FM_STORE_PAGES_CODEC_H
#define FM_STORE_PAGES_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "agent/store/pages/pages.h"

struct codec {
	void *lz4;  /* made when first needed */
	void *zstd, *unzstd;
};

/* How much room the output may need. */
size_t codec_bound(size_t size);

/* data to out_r (room codec_bound(size)). Where it does not get smaller it is copied; *codec_r is what it became.
 * The size, or -1. */
long codec_pack(struct codec *c, enum pages_codec codec, int level, const void *data, size_t size, void *out_r,
		enum pages_codec *codec_r, struct fm_error *err);

/* Exactly size bytes to out_r, or -1: FM_CORRUPT. */
int codec_unpack(struct codec *c, unsigned codec, const void *data, size_t stored, void *out_r, size_t size,
		 struct fm_error *err);

uint64_t codec_checksum(const void *data, size_t size); /* XXH3, 64 bits */

void codec_dispose(struct codec *c);

#endif
