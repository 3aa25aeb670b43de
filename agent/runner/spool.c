/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool.c - see spool.h. chunk[i] holds offsets (first + i) * CHUNK and on. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/runner/spool.h"

#define CHUNK 65536u

struct spool {
	size_t limit;
	uint64_t start, end, acknowledged;
	uint64_t first; /* number of chunk[0] */
	size_t count, slots;
	unsigned char **chunk;
};

struct spool *spool_create(size_t limit)
{
	struct spool *spool = calloc(1, sizeof(*spool));

	if (!spool)
		return NULL;
	spool->limit = limit;
	spool->slots = limit / CHUNK + 2; /* both ends may lie inside a chunk */
	spool->chunk = calloc(spool->slots, sizeof(*spool->chunk));
	if (!spool->chunk) {
		free(spool);
		return NULL;
	}
	return spool;
}

void spool_destroy(struct spool *spool)
{
	if (!spool)
		return;
	for (size_t i = 0; i < spool->count; i++)
		free(spool->chunk[i]);
	free(spool->chunk);
	free(spool);
}

uint64_t spool_start(const struct spool *spool)
{
	return spool->start;
}

uint64_t spool_end(const struct spool *spool)
{
	return spool->end;
}

static void drop_below(struct spool *spool, uint64_t offset)
{
	size_t gone = 0;

	spool->start = offset;
	while (gone < spool->count && (spool->first + gone + 1) * CHUNK <= offset)
		free(spool->chunk[gone++]);
	memmove(spool->chunk, spool->chunk + gone, (spool->count - gone) * sizeof(*spool->chunk));
	spool->count -= gone;
	spool->first = spool->count ? spool->first + gone : offset / CHUNK;
}

/* Make room for one byte at least, dropping a bit more than needed so as not to do it for each. */
static size_t make_room(struct spool *spool)
{
	uint64_t kept = spool->end - spool->start;

	if (kept + CHUNK > spool->limit && spool->acknowledged > spool->start) {
		uint64_t over = kept + CHUNK - spool->limit;
		uint64_t can = spool->acknowledged - spool->start;

		drop_below(spool, spool->start + (over < can ? over : can));
	}
	return spool->limit - (size_t)(spool->end - spool->start);
}

void *spool_tail(struct spool *spool, size_t *size_r)
{
	size_t room = make_room(spool);
	size_t inside = (size_t)(spool->end % CHUNK);
	size_t index = (size_t)(spool->end / CHUNK - spool->first);

	*size_r = 0;
	if (!room)
		return NULL;
	if (index == spool->count) {
		spool->chunk[index] = malloc(CHUNK);
		if (!spool->chunk[index])
			return NULL;
		spool->count++;
	}
	*size_r = room < CHUNK - inside ? room : CHUNK - inside;
	return spool->chunk[index] + inside;
}

void spool_commit(struct spool *spool, size_t size)
{
	spool->end += size;
}

size_t spool_append(struct spool *spool, const void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t n;
		void *tail = spool_tail(spool, &n);

		if (!n)
			break;
		if (n > size - done)
			n = size - done;
		memcpy(tail, (const char *)data + done, n);
		spool_commit(spool, n);
		done += n;
	}
	return done;
}

size_t spool_peek(const struct spool *spool, uint64_t offset, const void **data_r)
{
	size_t inside = (size_t)(offset % CHUNK);
	uint64_t n;

	if (offset < spool->start || offset >= spool->end)
		return 0;
	*data_r = spool->chunk[offset / CHUNK - spool->first] + inside;
	n = spool->end - offset;
	return n < CHUNK - inside ? (size_t)n : CHUNK - inside;
}

void spool_acknowledge(struct spool *spool, uint64_t offset)
{
	if (offset > spool->end)
		offset = spool->end;
	if (offset > spool->acknowledged)
		spool->acknowledged = offset;
}

uint64_t spool_rewind(struct spool *spool, uint64_t offset)
{
	if (offset < spool->start)
		offset = spool->start;
	spool->acknowledged = offset < spool->end ? offset : spool->end;
	return offset;
}
