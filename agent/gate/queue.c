/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.c - held frames: a list each way, and the snapshot's bytes (queue.h).
 */
#include "config.h"

#include "queue.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "gate.h"

#define HELD_MAGIC "fm-held\n"
#define HELD_VERSION 1

struct held_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint64_t records_size;
	uint32_t frames[GATE_DIRS];
	uint8_t sha256[32];
	uint8_t zero[8];
} __attribute__((packed));

#define HASHED_SIZE offsetof(struct held_header, sha256)

struct held_record {
	uint32_t size;
	uint8_t dir;
	uint8_t zero1[3];
	uint8_t vnet[GATE_VNET_SIZE];
	uint8_t zero2[2];
} __attribute__((packed));

_Static_assert(sizeof(struct held_header) == 72, "on-disk format");
_Static_assert(sizeof(struct held_record) == 20, "on-disk format");
_Static_assert(sizeof(struct virtio_net_hdr) == GATE_VNET_SIZE, "on-disk format");

void gate_queue_init(struct gate_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	queue->tail = &queue->head;
}

static uint64_t frame_memory(size_t size)
{
	return sizeof(struct gate_frame) + size + 2 * sizeof(void *); /* with malloc's own */
}

int gate_queue_push(struct gate_queue *queue, const void *vnet, const void *data, size_t size)
{
	struct gate_frame *frame;

	if (size < GATE_FRAME_MIN || size > GATE_FRAME_MAX)
		return -1;
	frame = malloc(sizeof(*frame) + size);
	if (!frame)
		return -1;
	frame->next = NULL;
	frame->size = size;
	memcpy(frame->vnet, vnet, GATE_VNET_SIZE);
	memcpy(frame->data, data, size);
	*queue->tail = frame;
	queue->tail = &frame->next;
	queue->frames++;
	queue->bytes += size;
	queue->memory += frame_memory(size);
	return 0;
}

void gate_queue_pop(struct gate_queue *queue)
{
	struct gate_frame *frame = queue->head;

	queue->head = frame->next;
	if (!queue->head)
		queue->tail = &queue->head;
	queue->frames--;
	queue->bytes -= frame->size;
	queue->memory -= frame_memory(frame->size);
	free(frame);
}

void gate_queue_clear(struct gate_queue *queue)
{
	while (queue->head)
		gate_queue_pop(queue);
}

void gate_queue_append(struct gate_queue *queue, struct gate_queue *from)
{
	if (!from->head)
		return;
	*queue->tail = from->head;
	queue->tail = from->tail;
	queue->frames += from->frames;
	queue->bytes += from->bytes;
	queue->memory += from->memory;
	gate_queue_init(from);
}

/* Over the header up to the hash, and the records. */
static int held_hash(const void *header, const void *records, size_t size, uint8_t hash_r[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
		 EVP_DigestUpdate(ctx, header, HASHED_SIZE) &&
		 EVP_DigestUpdate(ctx, records, size) && EVP_DigestFinal_ex(ctx, hash_r, NULL);

	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -1;
}

int gate_queue_export(const struct gate_queue queues[GATE_DIRS], void **data_r, size_t *size_r,
		      struct fm_error *err)
{
	struct held_header header = { .version = htole32(HELD_VERSION), .header_size = htole32(sizeof(header)) };
	FM_AUTO_FREE uint8_t *data = NULL;
	size_t records = 0;
	uint8_t *p;

	memcpy(header.magic, HELD_MAGIC, sizeof(header.magic));
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		records += queues[dir].frames * sizeof(struct held_record) + queues[dir].bytes;
		header.frames[dir] = htole32(queues[dir].frames);
	}
	header.records_size = htole64(records);
	data = malloc(sizeof(header) + records);
	if (!data)
		return fm_fail(err, FM_FAILED, "held frames: no memory for %zu bytes", records);
	p = data + sizeof(header);
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		for (const struct gate_frame *f = queues[dir].head; f; f = f->next) {
			struct held_record record = { .size = htole32(f->size), .dir = dir };

			memcpy(record.vnet, f->vnet, GATE_VNET_SIZE);
			memcpy(p, &record, sizeof(record));
			memcpy(p + sizeof(record), f->data, f->size);
			p += sizeof(record) + f->size;
		}
	}
	if (held_hash(&header, data + sizeof(header), records, header.sha256) < 0)
		return fm_fail(err, FM_FAILED, "held frames: cannot compute SHA-256");
	memcpy(data, &header, sizeof(header));
	*size_r = sizeof(header) + records;
	*data_r = fm_steal_ptr(&data);
	return 0;
}

/* The virtio header goes to the kernel as it is: let in only what the kernel itself wrote. */
static bool vnet_valid(const uint8_t bytes[GATE_VNET_SIZE], size_t size)
{
	struct virtio_net_hdr h;
	unsigned type;

	memcpy(&h, bytes, sizeof(h));
	if (h.flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
		return false;
	if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    (size_t)le16toh((uint16_t)h.csum_start) + le16toh((uint16_t)h.csum_offset) + 2 > size)
		return false;
	type = h.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6 && type != 5 /* UDP_L4 */)
		return false;
	return le16toh((uint16_t)h.gso_size) > 0 && le16toh((uint16_t)h.hdr_len) <= size;
}

/* One record at p; its whole size, or 0 when it is not valid. */
static size_t record_parse(const uint8_t *p, size_t left, struct held_record *record_r)
{
	static const uint8_t zero[3];
	uint32_t size;

	if (left < sizeof(*record_r))
		return 0;
	memcpy(record_r, p, sizeof(*record_r));
	size = le32toh(record_r->size);
	if (size < GATE_FRAME_MIN || size > GATE_FRAME_MAX || size > left - sizeof(*record_r))
		return 0;
	if (record_r->dir >= GATE_DIRS || memcmp(record_r->zero1, zero, sizeof(record_r->zero1)) != 0 ||
	    memcmp(record_r->zero2, zero, sizeof(record_r->zero2)) != 0 || !vnet_valid(record_r->vnet, size))
		return 0;
	return sizeof(*record_r) + size;
}

static int header_check(const struct held_header *header, const void *records, size_t size,
			struct fm_error *err)
{
	static const uint8_t zero[sizeof(header->zero)];
	uint8_t hash[32];

	if (memcmp(header->magic, HELD_MAGIC, sizeof(header->magic)) != 0)
		return fm_fail(err, FM_CORRUPT, "held frames: not a file of held frames");
	if (le32toh(header->version) != HELD_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "held frames: version %u, this program reads %u",
			       le32toh(header->version), HELD_VERSION);
	if (le32toh(header->header_size) != sizeof(*header) || le64toh(header->records_size) != size ||
	    memcmp(header->zero, zero, sizeof(zero)) != 0)
		return fm_fail(err, FM_CORRUPT, "held frames: damaged header, or not the whole file");
	if (held_hash(header, records, size, hash) < 0)
		return fm_fail(err, FM_FAILED, "held frames: cannot compute SHA-256");
	if (memcmp(hash, header->sha256, sizeof(hash)) != 0)
		return fm_fail(err, FM_CORRUPT, "held frames: SHA-256 does not match");
	return 0;
}

static int records_read(struct gate_queue queues[GATE_DIRS], const uint8_t *p, size_t size,
			struct fm_error *err)
{
	unsigned last = GATE_OUT;

	while (size > 0) {
		struct held_record record;
		size_t n = record_parse(p, size, &record);

		if (n == 0 || record.dir < last)
			return fm_fail(err, FM_CORRUPT, "held frames: damaged record");
		last = record.dir;
		if (gate_queue_push(&queues[record.dir], record.vnet, p + sizeof(record),
				    n - sizeof(record)) < 0)
			return fm_fail(err, FM_FAILED, "held frames: no memory");
		if (queues[GATE_OUT].memory + queues[GATE_IN].memory > 2ull * GATE_HELD_MAX)
			return fm_fail(err, FM_CORRUPT, "held frames: more than a gate can hold");
		p += n;
		size -= n;
	}
	return 0;
}

int gate_queue_import(struct gate_queue queues[GATE_DIRS], const void *data, size_t size,
		      struct fm_error *err)
{
	struct held_header header;
	struct gate_queue read[GATE_DIRS];

	if (size < sizeof(header))
		return fm_fail(err, FM_CORRUPT, "held frames: %zu bytes are less than a header", size);
	memcpy(&header, data, sizeof(header));
	size -= sizeof(header);
	if (header_check(&header, (const uint8_t *)data + sizeof(header), size, err) < 0)
		return -1;
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_init(&read[dir]);
	if (records_read(read, (const uint8_t *)data + sizeof(header), size, err) < 0)
		goto fail;
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		if (read[dir].frames != le32toh(header.frames[dir])) {
			fm_fail(err, FM_CORRUPT, "held frames: the counts do not add up");
			goto fail;
		}
	}
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		gate_queue_clear(&queues[dir]);
		gate_queue_append(&queues[dir], &read[dir]);
	}
	return 0;
fail:
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_clear(&read[dir]);
	return -1;
}
