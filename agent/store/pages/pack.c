/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack.c - look up hashes and read frames of a finished pack. To open one: pack_open.c.
 *
 * Hashes are evenly spread, so the place of one in the sorted order is guessed by interpolation
 * (Perl, Itai, Avni: Interpolation search, CACM 1978), log log n steps.
 */
#include "config.h"

#include "agent/store/pages/pack.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned char *pack_scratch_room(void)
{
	return malloc(sizeof(struct disk_frame_header) + codec_bound(PAGES_FRAME_MAX * PAGES_SIZE) + SEAL_TAG);
}

int pack_scratch_init(struct pack_scratch *scratch, struct fm_error *err)
{
	memset(scratch, 0, sizeof(*scratch));
	scratch->stored = pack_scratch_room();
	if (!scratch->stored)
		return fm_fail(err, FM_FAILED, "out of memory");
	return 0;
}

void pack_scratch_dispose(struct pack_scratch *scratch)
{
	codec_dispose(&scratch->codec);
	seal_dispose(&scratch->seal);
	free(scratch->stored);
	scratch->stored = NULL;
}

static uint32_t prefix_of(const uint8_t hash[32])
{
	uint32_t be;

	memcpy(&be, hash, sizeof(be));
	return be32toh(be);
}

/* The first entry whose prefix is not below `prefix`; p->slots when there is none. */
static uint32_t lower_bound(const struct pack *p, uint32_t prefix)
{
	uint32_t low = 0, high = p->slots; /* the answer is in [low, high] */
	uint64_t low_value = 0, high_value = (uint64_t)UINT32_MAX + 1;

	for (unsigned step = 0; low < high; step++) {
		uint32_t mid = low + (high - low) / 2;

		/* Guess at first; halve when guessing does not lead there. */
		if (step < 8 && high_value > low_value)
			mid = low + (uint32_t)((uint64_t)(high - low) * (prefix - low_value) /
					       (high_value - low_value));
		if (mid >= high)
			mid = high - 1;
		if (p->order[mid].prefix < prefix) {
			low = mid + 1;
			low_value = p->order[mid].prefix;
		} else {
			high = mid;
			high_value = (uint64_t)p->order[mid].prefix + 1;
		}
	}
	return low;
}

long pack_find(const struct pack *p, const uint8_t hash[32])
{
	uint32_t prefix = prefix_of(hash);

	for (uint32_t i = lower_bound(p, prefix); i < p->slots && p->order[i].prefix == prefix; i++) {
		uint32_t slot = p->order[i].slot;

		if (memcmp(p->hash[slot], hash, 32) == 0 && p->location[slot] != DISK_ABSENT)
			return (long)slot;
	}
	return -1;
}

static int read_at(const struct pack *p, void *data_r, size_t size, uint64_t offset, struct fm_error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(p->fd, (char *)data_r + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fm_fail(err, FM_FAILED, "cannot read: %s", strerror(errno));
		if (n == 0)
			return fm_fail(err, FM_CORRUPT, "the file ends at byte %llu",
				       (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

static int frame_load(const struct pack *p, uint32_t number, struct pack_scratch *scratch, void *data_r,
		      struct fm_error *err)
{
	const struct disk_frame *f = &p->frame[number];
	const struct disk_frame_header expected = {
		.magic = DISK_FRAME_MAGIC, .frame = number, .stored = f->stored, .pages = f->pages,
		.codec = f->codec, .checksum = f->checksum,
	};
	unsigned char *payload = scratch->stored + sizeof(expected);
	size_t size = f->stored;

	if (read_at(p, scratch->stored, sizeof(expected) + f->stored, f->offset, err) < 0)
		return -1;
	if (memcmp(scratch->stored, &expected, sizeof(expected)) != 0)
		return fm_fail(err, FM_CORRUPT, "its header is not what the index says");
	if (codec_checksum(payload, f->stored) != f->checksum)
		return fm_fail(err, FM_CORRUPT, "its checksum is wrong");
	if (p->sealed) {
		uint8_t room[PACK_BOUND_SIZE];
		struct seal_bound bound = pack_bound(p->job, &expected, room);

		size -= SEAL_TAG; /* pack_open() has seen to it that it is there */
		if (seal_open(&scratch->seal, p->key, number, &bound, payload, size, payload + size, err) < 0)
			return -1;
	}
	return codec_unpack(&scratch->codec, f->codec, payload, size, data_r, f->pages * PAGES_SIZE, err);
}

int pack_frame_read(const struct pack *p, uint32_t frame, struct pack_scratch *scratch, void *data_r,
		    struct fm_error *err)
{
	if (frame_load(p, frame, scratch, data_r, err) < 0)
		return fm_context(err, "%s: frame %u", p->path, (unsigned)frame);
	return 0;
}

struct seal_bound pack_bound(uint32_t job, const struct disk_frame_header *header, uint8_t room[PACK_BOUND_SIZE])
{
	memcpy(room, &job, sizeof(job));
	memcpy(room + sizeof(job), header, PACK_BOUND_SIZE - sizeof(job));
	return (struct seal_bound){ room, PACK_BOUND_SIZE };
}

int pack_id(uint32_t job, uint32_t slots, const uint8_t (*hash)[32], uint8_t id_r[32], struct fm_error *err)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
		 EVP_DigestUpdate(context, DISK_ID_TEXT, sizeof(DISK_ID_TEXT) - 1) &&
		 EVP_DigestUpdate(context, &job, sizeof(job)) &&
		 EVP_DigestUpdate(context, &slots, sizeof(slots)) &&
		 EVP_DigestUpdate(context, hash, (size_t)slots * 32) && EVP_DigestFinal_ex(context, id_r, NULL);

	EVP_MD_CTX_free(context);
	return ok ? 0 : fm_fail(err, FM_FAILED, "SHA-256 failed");
}
