/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spool.h - the last part of a byte stream, kept by offset.
 *
 * Bytes [start, end) are kept, at most `limit` of them.  Below `acknowledged`
 * they may be dropped to make room; above it never: then there is no room, and
 * the writer has to wait.  Memory grows with the content, in chunks.
 */
#ifndef FM_RUNNER_SPOOL_H
#define FM_RUNNER_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct spool;

struct spool *spool_create(size_t limit); /* NULL without memory */
void spool_destroy(struct spool *spool);

uint64_t spool_start(const struct spool *spool);
uint64_t spool_end(const struct spool *spool);

/* Where to put the next bytes: pointer and how many fit there (0: no room, or no memory). */
void *spool_tail(struct spool *spool, size_t *size_r);
/* That many were put there. */
void spool_commit(struct spool *spool, size_t size);
/* Copy in as much as there is room for; how much that was. */
size_t spool_append(struct spool *spool, const void *data, size_t size);

/* The bytes from offset on that lie together; 0 when there is none (yet or any more). */
size_t spool_peek(const struct spool *spool, uint64_t offset, const void **data_r);

/* The reader has everything below offset; never goes back. */
void spool_acknowledge(struct spool *spool, uint64_t offset);
/* A new reader wants offset on: what is kept from there is protected again. The first byte it can have. */
uint64_t spool_rewind(struct spool *spool, uint64_t offset);

#endif
