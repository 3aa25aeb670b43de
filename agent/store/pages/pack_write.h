/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pack_write.h - a pack being written: "<dir>/<random>.part" until it is whole and durable (page store only).
 *
 * One thread at a time gives out slots; several compress and hand in frames, in any order: they are written in the
 * order of their numbers. The .part file is locked (flock) as long as its writer lives.
 */
#ifndef FM_STORE_PAGES_PACK_WRITE_H
#define FM_STORE_PAGES_PACK_WRITE_H

#include <stdint.h>

#include "agent/store/pages/codec.h"
#include "agent/store/pages/pack.h"

struct pack_writer;

/* key NULL: not encrypted. Used here only. */
struct pack_writer *pack_writer_create(const char *dir, uint32_t job, const struct pages_key *key, struct fm_error *err);

/* The next slot, for the page with that hash; location: DISK_LOCATION or DISK_ABSENT. The slot, or -1. */
long pack_writer_slot(struct pack_writer *w, const uint8_t hash[32], uint32_t location, struct fm_error *err);
/* The hash given with that slot. */
const uint8_t *pack_writer_hash(const struct pack_writer *w, uint32_t slot);
uint32_t pack_writer_slots(const struct pack_writer *w);
/* Bytes in the tables that grow with the number of slots. */
uint64_t pack_writer_memory(const struct pack_writer *w);

/* Compress, encrypt and write frame `number`, once (it is the nonce), of `pages` pages at data; *bytes_r: what it takes
 * in the file. Thread-safe. */
int pack_writer_frame(struct pack_writer *w, uint32_t number, unsigned pages, const void *data, enum pages_codec codec,
		      int level, struct pack_scratch *scratch, uint64_t *bytes_r, struct fm_error *err);

/*
 * Wait for frames 0 … frames-1, add index and trailer, make it durable and give it its name: "<dir>/<id>.pack", in
 * place of one that is there. Then the writer is gone. When it failed, it has still to be aborted, once no other
 * thread is at a frame.
 */
int pack_writer_finish(struct pack_writer *w, uint32_t frames, uint8_t id_r[32], uint64_t *bytes_r,
		       struct fm_error *err);
void pack_writer_abort(struct pack_writer *w); /* NULL is fine */

/* After an error elsewhere: nobody is to wait for frames any more. */
void pack_writer_break(struct pack_writer *w, const struct fm_error *why);

#endif
