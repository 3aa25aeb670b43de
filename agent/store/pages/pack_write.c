/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack_write.c - frames into a .part file, in order. How it ends: pack_finish.c.
 *
 * The kernel is asked to begin writing every few MiB: what is left for fsync() at the end is little, and a disk that
 * is full or broken is noticed early.
 */
#include "config.h"

#include "agent/store/pages/pack_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/store/key_format.h"
#include "agent/store/pages/pack_write_private.h"
#include "common/cleanup.h"
#include "common/io.h"

#define WRITEBACK_BYTES ((uint64_t)4 << 20)
#define SLOTS_FIRST 4096u
#define FRAMES_FIRST 256u

/* A salt, and by it a key that no other file has. */
static int key_choose(struct pack_writer *w, const struct pages_key *key, struct disk_pack_header *header,
		      struct fm_error *err)
{
	if (!key)
		return 0;
	w->sealed = true;
	header->cipher = DISK_CIPHER_AES_256_GCM;
	memcpy(header->key, key->id, sizeof(header->key));
	if (seal_random(header->salt, sizeof(header->salt), err) < 0)
		return -1;
	return seal_derive(key->data, DISK_PACK_PURPOSE, header->salt, w->key, err);
}

static int part_create(struct pack_writer *w, const struct pages_key *key, struct fm_error *err)
{
	struct disk_pack_header header = { .version = DISK_VERSION, .header_size = sizeof(header), .job = w->job,
					   .page_size = PAGES_SIZE };
	uint64_t number;

	memcpy(header.magic, DISK_PACK_MAGIC, sizeof(header.magic));
	if (seal_random(&number, sizeof(number), err) < 0 || key_choose(w, key, &header, err) < 0)
		return -1;
	w->path = fm_format("%s/%016llx" PACK_PART_SUFFIX, w->dir, (unsigned long long)number);
	if (!w->path)
		return fm_fail(err, FM_FAILED, "out of memory");
	w->fd = open(w->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return fm_fail(err, FM_FAILED, "cannot create %s: %s", w->path, strerror(errno));
	w->created = true;
	if (flock(w->fd, LOCK_EX | LOCK_NB) < 0)
		return fm_fail(err, FM_FAILED, "cannot lock %s: %s", w->path, strerror(errno));
	if (fm_write_all(w->fd, &header, sizeof(header)) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s: %s", w->path, strerror(errno));
	w->at = sizeof(header);
	return 0;
}

struct pack_writer *pack_writer_create(const char *dir, uint32_t job, const struct pages_key *key, struct fm_error *err)
{
	struct pack_writer *w = calloc(1, sizeof(*w));

	if (!w) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->written, NULL);
	w->fd = -1;
	w->job = job;
	w->dir = strdup(dir);
	if (!w->dir)
		fm_fail(err, FM_FAILED, "out of memory");
	if (!w->dir || part_create(w, key, err) < 0) {
		pack_writer_abort(w);
		return NULL;
	}
	return w;
}

static int grow(void **array, size_t size, uint32_t wanted, struct fm_error *err)
{
	void *bigger = realloc(*array, size * wanted);

	if (!bigger)
		return fm_fail(err, FM_FAILED, "out of memory");
	*array = bigger;
	return 0;
}

long pack_writer_slot(struct pack_writer *w, const uint8_t hash[32], uint32_t location, struct fm_error *err)
{
	if (w->slots == PAGES_PACK_MAX)
		return fm_fail(err, FM_FAILED, "%s: a pack has no more than %u slots", w->path, PAGES_PACK_MAX);
	if (w->slots == w->slots_room) {
		uint32_t room = w->slots_room ? 2 * w->slots_room : SLOTS_FIRST;

		if (grow((void **)&w->hash, 32, room, err) < 0 ||
		    grow((void **)&w->location, sizeof(*w->location), room, err) < 0)
			return -1;
		w->slots_room = room;
	}
	memcpy(w->hash[w->slots], hash, 32);
	w->location[w->slots] = location;
	w->present += location != DISK_ABSENT;
	return (long)w->slots++;
}

const uint8_t *pack_writer_hash(const struct pack_writer *w, uint32_t slot)
{
	return w->hash[slot];
}

uint32_t pack_writer_slots(const struct pack_writer *w)
{
	return w->slots;
}

uint64_t pack_writer_memory(const struct pack_writer *w)
{
	return (uint64_t)w->slots_room * (32 + sizeof(*w->location)) + (uint64_t)w->frames_room * sizeof(*w->frame);
}

/* The next frame of the file. Locked. */
static int append(struct pack_writer *w, const struct disk_frame_header *header, const void *bytes, struct fm_error *err)
{
	size_t size = sizeof(*header) + header->stored;

	if (w->next == w->frames_room) {
		uint32_t room = w->frames_room ? 2 * w->frames_room : FRAMES_FIRST;

		if (grow((void **)&w->frame, sizeof(*w->frame), room, err) < 0)
			return -1;
		w->frames_room = room;
	}
	if (fm_write_all(w->fd, bytes, size) < 0)
		return fm_fail(err, FM_FAILED, "cannot write %s (after %llu bytes): %s", w->path,
			       (unsigned long long)w->at, strerror(errno));
	w->frame[w->next++] = (struct disk_frame){ .offset = w->at, .stored = header->stored, .pages = header->pages,
						   .codec = header->codec, .checksum = header->checksum };
	w->at += size;
	if (w->at - w->begun >= WRITEBACK_BYTES) {
		/* Only a hint: fsync() has the last word. */
		(void)sync_file_range(w->fd, (off_t)w->begun, (off_t)(w->at - w->begun), SYNC_FILE_RANGE_WRITE);
		w->begun = w->at;
	}
	return 0;
}

/* Frame n came before n-1: keep its bytes, and give the scratch others. Locked. */
static int defer(struct pack_writer *w, const struct disk_frame_header *header, struct pack_scratch *scratch,
		 struct fm_error *err)
{
	struct pack_deferred *d = w->spare, **place = &w->deferred;
	unsigned char *bytes;

	if (d) {
		w->spare = d->next;
	} else {
		d = calloc(1, sizeof(*d));
		if (d)
			d->bytes = pack_scratch_room();
		if (!d || !d->bytes) {
			free(d);
			return fm_fail(err, FM_FAILED, "out of memory");
		}
	}
	bytes = scratch->stored;
	scratch->stored = d->bytes;
	d->bytes = bytes;
	d->header = *header;
	while (*place && (*place)->header.frame < header->frame)
		place = &(*place)->next;
	d->next = *place;
	*place = d;
	return 0;
}

static int hand_in(struct pack_writer *w, const struct disk_frame_header *header, struct pack_scratch *scratch,
		   struct fm_error *err)
{
	if (w->broken.code != FM_OK) {
		*err = w->broken;
		return -1;
	}
	if (header->frame != w->next)
		return defer(w, header, scratch, err);
	if (append(w, header, scratch->stored, err) < 0)
		return -1;
	while (w->deferred && w->deferred->header.frame == w->next) {
		struct pack_deferred *d = w->deferred;

		if (append(w, &d->header, d->bytes, err) < 0)
			return -1;
		w->deferred = d->next;
		d->next = w->spare;
		w->spare = d;
	}
	return 0;
}

/* Compressed at the scratch's payload: make it a frame as it will lie on the disk. */
static int frame_make(const struct pack_writer *w, struct disk_frame_header *header, size_t size,
		      struct pack_scratch *scratch, struct fm_error *err)
{
	unsigned char *payload = scratch->stored + sizeof(*header);

	header->stored = (uint32_t)(size + (w->sealed ? SEAL_TAG : 0));
	if (w->sealed) {
		uint8_t room[PACK_BOUND_SIZE];
		struct seal_bound bound = pack_bound(w->job, header, room);

		if (seal_close(&scratch->seal, w->key, header->frame, &bound, payload, size, payload + size, err) < 0)
			return -1;
	}
	header->checksum = codec_checksum(payload, header->stored);
	memcpy(scratch->stored, header, sizeof(*header));
	return 0;
}

int pack_writer_frame(struct pack_writer *w, uint32_t number, unsigned pages, const void *data, enum pages_codec codec,
		      int level, struct pack_scratch *scratch, uint64_t *bytes_r, struct fm_error *err)
{
	struct disk_frame_header header = { .magic = DISK_FRAME_MAGIC, .frame = number, .pages = (uint16_t)pages };
	unsigned char *payload = scratch->stored + sizeof(header);
	enum pages_codec became;
	long stored = codec_pack(&scratch->codec, codec, level, data, pages * PAGES_SIZE, payload, &became, err);
	int rc = -1;

	if (stored > 0) {
		header.codec = (uint8_t)became;
		rc = frame_make(w, &header, (size_t)stored, scratch, err);
		*bytes_r = sizeof(header) + header.stored;
	}
	pthread_mutex_lock(&w->lock);
	if (rc == 0)
		rc = hand_in(w, &header, scratch, err);
	if (rc < 0)
		w->broken = *err;
	pthread_cond_broadcast(&w->written);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

void pack_writer_break(struct pack_writer *w, const struct fm_error *why)
{
	pthread_mutex_lock(&w->lock);
	if (w->broken.code == FM_OK)
		w->broken = *why;
	pthread_cond_broadcast(&w->written);
	pthread_mutex_unlock(&w->lock);
}

static void deferred_free(struct pack_deferred *d)
{
	while (d) {
		struct pack_deferred *next = d->next;

		free(d->bytes);
		free(d);
		d = next;
	}
}

static void writer_free(struct pack_writer *w)
{
	deferred_free(w->deferred);
	deferred_free(w->spare);
	if (w->fd >= 0)
		close(w->fd);
	pthread_cond_destroy(&w->written);
	pthread_mutex_destroy(&w->lock);
	free(w->frame);
	free(w->hash);
	free(w->location);
	free(w->path);
	free(w->dir);
	seal_wipe(w->key, sizeof(w->key));
	free(w);
}

void pack_writer_abort(struct pack_writer *w)
{
	if (!w)
		return;
	if (w->created && !w->named)
		unlink(w->path);
	writer_free(w);
}
