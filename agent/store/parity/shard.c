/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shard.c - see shard.h: layout and reading.
 *
 * Header and end are read first and must agree with their digest before anything in them is believed; until then
 * numbers are only held within bounds, so that damage is called damage and not taken for another set's shard.
 */
#include "config.h"

#include "agent/store/parity/shard.h"

#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "agent/store/parity/code.h"
#include "common/hex.h"

int meta_unhex(const char *hex, uint8_t *bytes_r, size_t size, struct fm_error *err)
{
	if (!fm_unhex(hex, strlen(hex), bytes_r, size))
		return fm_fail(err, FM_USAGE, "\"%.80s\" is not %zu hexadecimal digits", hex, 2 * size);
	return 0;
}

bool meta_name_valid(const char *name, size_t size)
{
	if (size < 1 || size > PARITY_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 127)
			return false;
	return true;
}

bool meta_stripe_valid(uint32_t stripe)
{
	return stripe >= PARITY_STRIPE_MIN && stripe <= PARITY_STRIPE_MAX && stripe % PARITY_STRIPE_MIN == 0;
}

uint64_t meta_stripes(uint64_t length, uint32_t stripe)
{
	return length / stripe + (length % stripe != 0);
}

size_t meta_bytes(const struct parity_meta *meta, unsigned s, uint64_t t)
{
	uint64_t length = s < meta->k ? meta->data[s].length : meta->length, begin = t * meta->stripe;

	if (begin >= length)
		return 0;
	return length - begin < meta->stripe ? (size_t)(length - begin) : meta->stripe;
}

size_t meta_padded(const struct parity_meta *meta, uint64_t t)
{
	return (meta_bytes(meta, meta->k, t) + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
}

static size_t names_size(const struct parity_meta *meta)
{
	size_t size = 0;

	for (unsigned i = 0; i < meta->k; i++)
		size += strlen(meta->data[i].name);
	return size;
}

size_t shard_head_size(const struct parity_meta *meta)
{
	return sizeof(struct disk_parity_header) + meta->k * sizeof(struct disk_parity_data) + names_size(meta);
}

size_t shard_record_size(const struct parity_meta *meta)
{
	return sizeof(struct disk_parity_record) + (size_t)8 * (meta->k + meta->m);
}

size_t shard_tail_size(const struct parity_meta *meta)
{
	return (size_t)32 * meta->k + sizeof(struct disk_parity_trailer);
}

uint64_t shard_record_offset(const struct parity_meta *meta, uint64_t t)
{
	return shard_head_size(meta) + t * (shard_record_size(meta) + meta->stripe);
}

uint64_t shard_size(const struct parity_meta *meta)
{
	return shard_head_size(meta) + meta->stripes * shard_record_size(meta) + meta->length + shard_tail_size(meta);
}

size_t shard_head(const struct parity_meta *meta, unsigned index, unsigned char head_r[SHARD_HEAD_MAX])
{
	struct disk_parity_header header = {
		.version = DISK_PARITY_VERSION, .header_size = (uint32_t)shard_head_size(meta),
		.k = (uint16_t)meta->k, .m = (uint16_t)meta->m, .index = (uint16_t)index, .stripe = meta->stripe,
		.names = (uint32_t)names_size(meta), .stripes = meta->stripes, .length = meta->length,
	};
	unsigned char *at = head_r + sizeof(header), *name = at + meta->k * sizeof(struct disk_parity_data);

	memcpy(header.magic, DISK_PARITY_MAGIC, sizeof(header.magic));
	memcpy(header.id, meta->id, sizeof(header.id));
	memcpy(head_r, &header, sizeof(header));
	for (unsigned i = 0; i < meta->k; i++) {
		struct disk_parity_data entry = { .offset = meta->data[i].offset, .length = meta->data[i].length,
						  .name = (uint32_t)strlen(meta->data[i].name) };

		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
		memcpy(name, meta->data[i].name, entry.name);
		name += entry.name;
	}
	return (size_t)(name - head_r);
}

size_t shard_record(const struct parity_meta *meta, unsigned index, uint64_t t, const uint64_t *checksum,
		    unsigned char record_r[SHARD_RECORD_MAX])
{
	struct disk_parity_record record = { .magic = DISK_PARITY_RECORD_MAGIC, .stripe = t, .index = index,
					     .payload = (uint32_t)meta_bytes(meta, index, t) };
	const size_t fixed = offsetof(struct disk_parity_record, checksum), sums = (size_t)8 * (meta->k + meta->m);
	XXH3_state_t state;

	memcpy(record.id, meta->id, sizeof(record.id));
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, &record, fixed);
	XXH3_64bits_update(&state, checksum, sums);
	record.checksum = XXH3_64bits_digest(&state);
	memcpy(record_r, &record, sizeof(record));
	memcpy(record_r + sizeof(record), checksum, sums);
	return sizeof(record) + sums;
}

int shard_digest(const unsigned char *head, size_t head_size, const unsigned char *tail, size_t hashes,
		 uint8_t digest_r[32], struct fm_error *err)
{
	struct digest *d = digest_create(err);
	int rc = -1;

	if (d && digest_add(d, head, head_size, err) == 0 &&
	    digest_add(d, tail, hashes + offsetof(struct disk_parity_trailer, digest), err) == 0)
		rc = digest_so_far(d, digest_r, err);
	digest_destroy(d);
	return rc;
}

/* Numbers that could be right. */
static bool header_plausible(const struct disk_parity_header *h)
{
	return h->k >= 1 && h->k <= PARITY_K_MAX && h->m >= 1 && h->m <= PARITY_M_MAX && h->index >= h->k &&
	       h->index < h->k + h->m && h->zero == 0 && meta_stripe_valid(h->stripe) &&
	       h->names >= h->k && h->names <= h->k * PARITY_NAME_MAX &&
	       h->header_size == sizeof(*h) + h->k * sizeof(struct disk_parity_data) + h->names &&
	       h->length <= PARITY_LENGTH_MAX && h->stripes == meta_stripes(h->length, h->stripe);
}

static int header_read(const struct parity_source *source, struct disk_parity_header *h, struct fm_error *err)
{
	if (source->read(source->arg, 0, h, sizeof(*h), err) < 0)
		return -1;
	if (memcmp(h->magic, DISK_PARITY_MAGIC, sizeof(h->magic)) != 0)
		return fm_fail(err, FM_CORRUPT, "%s is no parity shard", source->name);
	if (h->version != DISK_PARITY_VERSION)
		return fm_fail(err, h->version > DISK_PARITY_VERSION ? FM_INCOMPATIBLE : FM_CORRUPT,
			       "%s has version %u of the format, not %u", source->name, h->version, DISK_PARITY_VERSION);
	if (!header_plausible(h))
		return fm_fail(err, FM_CORRUPT, "%s: its header is damaged", source->name);
	return 0;
}

/* After the digest was right: only a writer's fault can make this fail. */
static int meta_parse(const struct parity_source *source, const unsigned char *head, const unsigned char *tail,
		      struct parity_meta *meta_r, struct fm_error *err)
{
	struct disk_parity_header h;
	const unsigned char *name;
	size_t left;
	uint64_t longest = 0;

	memcpy(&h, head, sizeof(h));
	memset(meta_r, 0, sizeof(*meta_r));
	memcpy(meta_r->id, h.id, sizeof(h.id));
	meta_r->k = h.k;
	meta_r->m = h.m;
	meta_r->stripe = h.stripe;
	meta_r->stripes = h.stripes;
	meta_r->length = h.length;
	name = head + sizeof(h) + h.k * sizeof(struct disk_parity_data);
	left = h.names;
	for (unsigned i = 0; i < h.k; i++) {
		struct disk_parity_data entry;

		memcpy(&entry, head + sizeof(h) + i * sizeof(entry), sizeof(entry));
		if (entry.name > left || !meta_name_valid((const char *)name, entry.name) || entry.zero != 0 ||
		    entry.length > h.length || entry.offset > PARITY_LENGTH_MAX)
			return fm_fail(err, FM_CORRUPT, "%s: its data entry %u makes no sense", source->name, i);
		memcpy(meta_r->data[i].name, name, entry.name);
		meta_r->data[i].offset = entry.offset;
		meta_r->data[i].length = entry.length;
		memcpy(meta_r->data[i].sha256, tail + (size_t)32 * i, 32);
		longest = entry.length > longest ? entry.length : longest;
		name += entry.name;
		left -= entry.name;
	}
	if (left > 0 || longest != h.length)
		return fm_fail(err, FM_CORRUPT, "%s: its data entries make no sense", source->name);
	return 0;
}

/* What is whole, is it the one that is meant? */
static int meta_expected(const struct parity_source *source, const struct parity_meta *meta, unsigned is,
			 unsigned index, unsigned k, unsigned m, const char *id, struct fm_error *err)
{
	char hex[33];

	fm_hex(meta->id, sizeof(meta->id), hex);
	if (id && strcmp(id, hex) != 0)
		return fm_fail(err, FM_CORRUPT, "%s is of another set: %s, not %.40s", source->name, hex, id);
	if (meta->k != k || meta->m != m)
		return fm_fail(err, FM_CORRUPT, "%s is of a set of %u data and %u parity shards, not %u and %u",
			       source->name, meta->k, meta->m, k, m);
	if (is != index)
		return fm_fail(err, FM_CORRUPT, "%s is shard %u of its set, not %u", source->name, is, index);
	return 0;
}

int shard_open(const struct parity_source *source, unsigned index, unsigned k, unsigned m, const char *id,
	       struct parity_meta *meta_r, uint8_t sha256_r[32], struct fm_error *err)
{
	unsigned char head[SHARD_HEAD_MAX], tail[SHARD_TAIL_MAX];
	struct disk_parity_header h;
	struct disk_parity_trailer trailer;
	uint64_t size, rest, expected;
	uint8_t digest[32];
	size_t hashes;

	if (source->size(source->arg, &size, err) < 0)
		return -1;
	if (size < sizeof(h))
		return fm_fail(err, FM_CORRUPT, "%s is cut short: %llu bytes", source->name, (unsigned long long)size);
	if (header_read(source, &h, err) < 0)
		return -1;
	hashes = (size_t)32 * h.k;
	rest = hashes + sizeof(trailer);
	expected = h.header_size + h.stripes * (sizeof(struct disk_parity_record) + 8 * ((uint64_t)h.k + h.m)) +
		   h.length + rest;
	if (size != expected)
		return fm_fail(err, FM_CORRUPT, "%s is %llu bytes long, by its header it has %llu", source->name,
			       (unsigned long long)size, (unsigned long long)expected);
	if (source->read(source->arg, 0, head, h.header_size, err) < 0 ||
	    source->read(source->arg, size - rest, tail, (size_t)rest, err) < 0)
		return -1;
	memcpy(&trailer, tail + hashes, sizeof(trailer));
	if (shard_digest(head, h.header_size, tail, hashes, digest, err) < 0)
		return -1;
	if (memcmp(trailer.digest, digest, sizeof(digest)) != 0 || memcmp(&h, head, sizeof(h)) != 0)
		return fm_fail(err, FM_CORRUPT, "%s: its header or its end is damaged", source->name);
	memcpy(sha256_r, trailer.sha256, 32);
	if (meta_parse(source, head, tail, meta_r, err) < 0)
		return -1;
	return meta_expected(source, meta_r, h.index, index, k, m, id, err);
}

int shard_checksums(const struct parity_source *source, const struct parity_meta *meta, unsigned index, uint64_t t,
		    uint64_t *checksum_r, struct fm_error *err)
{
	unsigned char is[SHARD_RECORD_MAX], expected[SHARD_RECORD_MAX];
	size_t size = shard_record_size(meta);

	if (source->read(source->arg, shard_record_offset(meta, t), is, size, err) < 0)
		return -1;
	memcpy(checksum_r, is + sizeof(struct disk_parity_record), size - sizeof(struct disk_parity_record));
	/* All other fields are known. */
	shard_record(meta, index, t, checksum_r, expected);
	if (memcmp(is, expected, size) != 0)
		return fm_fail(err, FM_CORRUPT, "%s: the record of stripe %llu is damaged", source->name,
			       (unsigned long long)t);
	return 0;
}
