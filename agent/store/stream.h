/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.h - one member's saved domain in the job's page store.
 *
 *	stream ─parser─▶ fold ─pages─▶ packs                (agent/xenstream, agent/store/pages)
 *	                  └─skeleton, map─▶ member-<rank>.map
 *
 * What is read back is the folded stream: another than was written, of which `xl restore` makes the same domain
 * (agent/xenstream/fold.h has the promise). The map file is what the manifest names; everything else hangs on it by hashes.
 */
#ifndef FM_STORE_STREAM_H
#define FM_STORE_STREAM_H

#include "agent/store/pages/pages.h"
#include "agent/store/store.h"

struct stream_place {
	const char *map;   /* the member's map file, in the snapshot's folder */
	const char *pages; /* the job's page store, a directory */
	uint32_t job;
	const struct pages_key *key; /* the job's; NULL: it is not encrypted. Stays until the stream is closed */
	const char *also; /* a further place of its packs, read only: pages_store_also(); NULL: none */
};

/*
 * A stream, written as it comes.  The map file must not exist yet.  Any failure (disk full, no stream, …)
 * names file or place; the writer then stays broken and every later call fails with the same text.  One thread at a time.
 *
 * Memory: what pages.h and fold.h say: 4 + 9 bytes a page of the domain, and about 16 MiB.
 */
struct stream_writer;

struct stream_options {
	const char *parent; /* this member's map in an earlier snapshot: makes it faster; may be NULL, or gone */
	int nice;           /* of the threads that hash and compress */
	const struct pages_claims *claims; /* what other members store: pages.h; NULL: nobody is asked */
	bool zstd;          /* instead of lz4: a fourth fewer bytes, and more processor time */
};

/* FM_BUSY: packs are being swept at the moment. */
struct stream_writer *stream_writer_create(const struct stream_place *at, const struct stream_options *o,
					   struct fm_error *err);
/* Waits while hashing and compressing are behind. */
int stream_write(struct stream_writer *w, const void *data, size_t size, struct fm_error *err);

/* These from any thread. See pages.h. */
int stream_writer_check(const struct stream_writer *w, struct fm_error *err);
void stream_writer_pause(struct stream_writer *w);
struct pages_progress stream_writer_progress(const struct stream_writer *w);

struct stream_saved {
	struct store_file map; /* raw_bytes: of the state: pages × 4096 + skeleton */
	uint64_t count;              /* pages in the map */
	struct pages_progress pages; /* of all that came, repeats too */
	uint64_t stored; /* bytes that this member wrote: packs and map */
	uint64_t others; /* different pages of the map that other members wrote for it */
};

/* After the last byte: pages_writer_settle(). 1, 0: call again in a moment, -1. */
int stream_writer_settle(struct stream_writer *w, struct fm_error *err);
/* All is durable then. The writer is gone either way; when it failed so is the map file. */
int stream_writer_finish(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err);
void stream_writer_abort(struct stream_writer *w); /* removes what it began; NULL is fine */

/*
 * One stream for several snapshots: a checkpointed one, which after its first checkpoint has only what has changed.
 *
 *	create ─write…▶ checkpoint ─▶ continue ─write…▶ checkpoint ─▶ … ─▶ abort, or finish at the stream's end
 *
 * checkpoint: what came is durable under the map's name. Nothing may be written before continue: from there on what comes
 * is of the next snapshot, with this map, and a page that does not come is the last one's. That one's map must still be
 * there, byte for byte, and all the pages it needs: FM_NOT_FOUND, FM_CORRUPT. Meanwhile the writer holds no lock, so a
 * sweep may come. A failure leaves a writer that is good for nothing but abort; what checkpoint had made stays.
 */
int stream_writer_checkpoint(struct stream_writer *w, struct stream_saved *saved_r, struct fm_error *err);
int stream_writer_continue(struct stream_writer *w, const char *map, struct fm_error *err);

/*
 * Reading verifies: a bad byte, a missing or short file is FM_CORRUPT at the latest
 * from stream_reader_finish().  Memory: 4 bytes a page, the skeleton, and about 70 MiB.
 */
struct stream_reader;

/* expected: the manifest's entry for the map. */
struct stream_reader *stream_reader_open(const struct stream_place *at, const struct store_file *expected,
					 struct fm_error *err);
/* The same, with a number of threads, say. */
struct stream_reader *stream_reader_open_with(const struct stream_place *at, const struct store_file *expected,
					      const struct pages_reader_options *options, struct fm_error *err);
/* Up to size bytes of the folded stream; 0 at the end, -1 on error. */
long stream_read(struct stream_reader *r, void *data, size_t size, struct fm_error *err);
/* Reads and verifies what is left. The reader must still be closed. */
int stream_reader_finish(struct stream_reader *r, struct fm_error *err);
void stream_reader_close(struct stream_reader *r); /* NULL is fine */

#endif
