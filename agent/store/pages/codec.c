/* SPDX-License-Identifier: GPL-2.0-or-later */
/* codec.c - lz4 and zstd, one block a frame. */
#include "config.h"

#include "agent/store/pages/codec.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

size_t codec_bound(size_t size)
{
	size_t lz4 = (size_t)LZ4_compressBound((int)size), zstd = ZSTD_compressBound(size);

	return lz4 > zstd ? lz4 : zstd;
}

static long pack_lz4(struct codec *c, int level, const void *data, size_t size, void *out_r, struct fm_error *err)
{
	if (!c->lz4)
		c->lz4 = malloc((size_t)LZ4_sizeofState());
	if (!c->lz4)
		return fm_fail(err, FM_FAILED, "lz4: out of memory");
	/* 0 when it would not get smaller: then it is copied. */
	return LZ4_compress_fast_extState(c->lz4, data, out_r, (int)size, (int)size - 1, level);
}

static long pack_zstd(struct codec *c, int level, const void *data, size_t size, void *out_r, struct fm_error *err)
{
	size_t r;

	if (!c->zstd)
		c->zstd = ZSTD_createCCtx();
	if (!c->zstd)
		return fm_fail(err, FM_FAILED, "zstd: out of memory");
	r = ZSTD_compressCCtx(c->zstd, out_r, codec_bound(size), data, size, level);
	if (ZSTD_isError(r))
		return fm_fail(err, FM_FAILED, "zstd: %s", ZSTD_getErrorName(r));
	return r < size ? (long)r : 0;
}

long codec_pack(struct codec *c, enum pages_codec codec, int level, const void *data, size_t size, void *out_r,
		enum pages_codec *codec_r, struct fm_error *err)
{
	long stored = 0;

	if (codec == PAGES_LZ4)
		stored = pack_lz4(c, level, data, size, out_r, err);
	else if (codec == PAGES_ZSTD)
		stored = pack_zstd(c, level, data, size, out_r, err);
	if (stored != 0) {
		*codec_r = codec;
		return stored;
	}
	memcpy(out_r, data, size);
	*codec_r = PAGES_RAW;
	return (long)size;
}

int codec_unpack(struct codec *c, unsigned codec, const void *data, size_t stored, void *out_r, size_t size,
		 struct fm_error *err)
{
	size_t r;

	if (codec == PAGES_RAW && stored == size) {
		memcpy(out_r, data, size);
		return 0;
	}
	if (codec == PAGES_LZ4 &&
	    LZ4_decompress_safe(data, out_r, (int)stored, (int)size) == (int)size)
		return 0;
	if (codec == PAGES_ZSTD) {
		if (!c->unzstd)
			c->unzstd = ZSTD_createDCtx();
		if (!c->unzstd)
			return fm_fail(err, FM_FAILED, "zstd: out of memory");
		r = ZSTD_decompressDCtx(c->unzstd, out_r, size, data, stored);
		if (!ZSTD_isError(r) && r == size)
			return 0;
	}
	return fm_fail(err, FM_CORRUPT, "cannot be decompressed (codec %u, %zu bytes for %zu)", codec, stored, size);
}

uint64_t codec_checksum(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

void codec_dispose(struct codec *c)
{
	free(c->lz4);
	ZSTD_freeCCtx(c->zstd);
	ZSTD_freeDCtx(c->unzstd);
	memset(c, 0, sizeof(*c));
}
