/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shard_write.c - a parity shard's file, written in order; see shard.h. */
#include "config.h"

#include <string.h>

#include "agent/store/parity/shard.h"
#include "common/hex.h"

static int put(struct shard_writer *w, const void *data, size_t size, struct fm_error *err)
{
	if (size == 0)
		return 0;
	if (digest_add(w->digest, data, size, err) < 0)
		return -1;
	w->bytes += size;
	return w->sink ? w->sink->write(w->sink->arg, data, size, err) : 0;
}

int shard_writer_begin(struct shard_writer *w, const struct parity_sink *sink, const struct parity_meta *meta,
		       unsigned index, struct fm_error *err)
{
	unsigned char head[SHARD_HEAD_MAX];

	*w = (struct shard_writer){ .sink = sink, .index = index, .digest = digest_create(err) };
	if (!w->digest)
		return -1;
	return put(w, head, shard_head(meta, index, head), err);
}

int shard_writer_stripe(struct shard_writer *w, const struct parity_meta *meta, uint64_t t, const uint64_t *checksum,
			const void *payload, struct fm_error *err)
{
	unsigned char record[SHARD_RECORD_MAX];

	if (put(w, record, shard_record(meta, w->index, t, checksum, record), err) < 0)
		return -1;
	return put(w, payload, meta_bytes(meta, w->index, t), err);
}

int shard_writer_end(struct shard_writer *w, const struct parity_meta *meta, char sha256_r[65], uint8_t *inner_r,
		     struct fm_error *err)
{
	unsigned char head[SHARD_HEAD_MAX], tail[SHARD_TAIL_MAX];
	struct disk_parity_trailer trailer = { .zero = { 0 } };
	size_t hashes = (size_t)32 * meta->k;
	uint8_t whole[32];

	memcpy(trailer.magic, DISK_PARITY_END_MAGIC, sizeof(trailer.magic));
	for (unsigned i = 0; i < meta->k; i++)
		memcpy(tail + (size_t)32 * i, meta->data[i].sha256, 32);
	memcpy(tail + hashes, &trailer, sizeof(trailer));
	if (shard_digest(head, shard_head(meta, w->index, head), tail, hashes, trailer.digest, err) < 0)
		return -1;
	memcpy(tail + hashes, &trailer, sizeof(trailer));
	if (put(w, tail, hashes + offsetof(struct disk_parity_trailer, sha256), err) < 0)
		return -1;
	if (digest_so_far(w->digest, trailer.sha256, err) < 0 || put(w, trailer.sha256, 32, err) < 0 ||
	    digest_so_far(w->digest, whole, err) < 0)
		return -1;
	if (inner_r)
		memcpy(inner_r, trailer.sha256, 32);
	fm_hex(whole, 32, sha256_r);
	return 0;
}

void shard_writer_dispose(struct shard_writer *w)
{
	digest_destroy(w->digest);
	w->digest = NULL;
}
