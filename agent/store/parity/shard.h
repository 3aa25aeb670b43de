/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shard.h - one parity shard's file: where what is in it, reading and writing of it (parity only). */
#ifndef FM_STORE_PARITY_SHARD_H
#define FM_STORE_PARITY_SHARD_H

#include "common/digest.h"
#include "agent/store/parity/format.h"
#include "agent/store/parity/parity.h"

/* What all shards of a set have in common. Compared as bytes: make it of zeros. */
struct parity_meta {
	uint8_t id[16];
	unsigned k, m;
	uint32_t stripe;
	uint64_t stripes;
	uint64_t length; /* of the longest data file */
	struct {
		char name[PARITY_NAME_MAX + 1];
		uint64_t offset, length;
		uint8_t sha256[32];
	} data[PARITY_K_MAX];
};

/* FM_USAGE when hex is not 2 * size lower-case digits. */
int meta_unhex(const char *hex, uint8_t *bytes_r, size_t size, struct fm_error *err);
/* Is this the name of a data file? */
bool meta_name_valid(const char *name, size_t size);
bool meta_stripe_valid(uint32_t stripe);
uint64_t meta_stripes(uint64_t length, uint32_t stripe);
/* Bytes that shard s has in stripe t; a data file that has ended: 0. */
size_t meta_bytes(const struct parity_meta *meta, unsigned s, uint64_t t);
/* Bytes of stripe t to calculate with: the payload's, rounded up to what code_run() takes. */
size_t meta_padded(const struct parity_meta *meta, uint64_t t);

#define SHARD_HEAD_MAX                                                                             \
	(sizeof(struct disk_parity_header) + PARITY_K_MAX * (sizeof(struct disk_parity_data) + PARITY_NAME_MAX))
#define SHARD_RECORD_MAX (sizeof(struct disk_parity_record) + 8 * PARITY_SHARDS_MAX)
#define SHARD_TAIL_MAX (32 * PARITY_K_MAX + sizeof(struct disk_parity_trailer))

size_t shard_head_size(const struct parity_meta *meta);
size_t shard_record_size(const struct parity_meta *meta);
size_t shard_tail_size(const struct parity_meta *meta);
uint64_t shard_record_offset(const struct parity_meta *meta, uint64_t t);
uint64_t shard_size(const struct parity_meta *meta);

/* Header, data entries, names; a record and its checksums. Returns their size. */
size_t shard_head(const struct parity_meta *meta, unsigned index, unsigned char head_r[SHARD_HEAD_MAX]);
size_t shard_record(const struct parity_meta *meta, unsigned index, uint64_t t, const uint64_t *checksum,
		    unsigned char record_r[SHARD_RECORD_MAX]);
/* digest of the trailer: of what is not payload. */
int shard_digest(const unsigned char *head, size_t head_size, const unsigned char *tail, size_t hashes,
		 uint8_t digest_r[32], struct fm_error *err);

/*
 * Header and end of a shard's file, verified: meta_r as if of zeros before, sha256_r what the trailer says of the file.
 * FM_CORRUPT with what is wrong, which is also another set's (id, if not NULL, hex), another index, other k, m.
 */
int shard_open(const struct parity_source *source, unsigned index, unsigned k, unsigned m, const char *id,
	       struct parity_meta *meta_r, uint8_t sha256_r[32], struct fm_error *err);
/* Stripe t's checksums, k + m; verified. */
int shard_checksums(const struct parity_source *source, const struct parity_meta *meta, unsigned index, uint64_t t,
		    uint64_t *checksum_r, struct fm_error *err);

/* A shard's file, written in order. sink NULL: only its size and SHA-256 are wanted. */
struct shard_writer {
	const struct parity_sink *sink;
	struct digest *digest;
	unsigned index;
	uint64_t bytes;
};
int shard_writer_begin(struct shard_writer *w, const struct parity_sink *sink, const struct parity_meta *meta,
		       unsigned index, struct fm_error *err);
int shard_writer_stripe(struct shard_writer *w, const struct parity_meta *meta, uint64_t t, const uint64_t *checksum,
			const void *payload, struct fm_error *err);
/* Does not commit. sha256_r: of the whole file, as `sha256sum` has it; inner_r, may be NULL: what its trailer says. */
int shard_writer_end(struct shard_writer *w, const struct parity_meta *meta, char sha256_r[65], uint8_t *inner_r,
		     struct fm_error *err);
void shard_writer_dispose(struct shard_writer *w); /* neither commits nor aborts the sink */

#endif
