/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages.h - the page store of one job in one local directory.
 *
 * A guest's memory is kept as pages of 4096 bytes. A page of zeros is not kept at all; any other is named by its
 * SHA-256 and kept once per job, whichever member or snapshot it comes from. A job may be encrypted: see "Encryption".
 *
 *	<dir>/<64 hex>.pack    pages in compressed frames, and an index; never changes its content
 *	<dir>/<…>.part         a pack being written; without meaning, and swept when its writer is dead
 *	<map file>             one member in one snapshot: pfn -> (pack, slot), and the skeleton
 *
 * What hashes what: the manifest names a map file by SHA-256; the map names its packs by their ids; a pack's id is
 * the SHA-256 of its pages' hashes (and the job); a page is compared with its hash on every read. So a pack may be
 * compressed anew, or lose pages nobody needs, without any map or manifest being touched. man 5 fermata-store has
 * every field.
 *
 * What holds, whatever is killed when, and however full the disk:
 *  - a pack or a map is there, whole and durable, or it is not there under its name;
 *  - nothing read is believed before its hash is right: there are wrong bytes on the disk, or there is an error that
 *    names pack, frame and page, never wrong bytes in memory;
 *  - writers in any number of processes do not wait for each other: each has a pack of its own. What two of them find
 *    at the same time may be kept twice.
 *
 * All calls block. Errors: FM_CORRUPT for what does not verify or is missing, FM_DENIED for the wrong key or none,
 * FM_INCOMPATIBLE for another version of the format, FM_NOT_FOUND for a map that is not there, FM_FAILED for the rest
 * (disk full, …); the text names the file. One thread calls at a time, except where said.
 */
#ifndef FM_STORE_PAGES_H
#define FM_STORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/key.h"
#include "agent/store/store.h"
#include "common/error.h"

#define PAGES_SIZE ((size_t)4096) /* of a page, in bytes */
#define PAGES_HASH 32             /* of a page's name, in bytes */
#define PAGES_PFN_END ((uint64_t)1 << 32) /* pfns are below that: 16 TiB */

#define PAGES_FRAME_MIN 16u  /* pages in a frame: 64 KiB … */
#define PAGES_FRAME_MAX 256u /* … 1 MiB */
#define PAGES_FRAME_DEFAULT 128u
#define PAGES_PACK_MAX (1u << 18) /* slots of a pack: 1 GiB of pages */
#define PAGES_THREADS_MAX 64u

enum pages_codec { PAGES_RAW = 0, PAGES_LZ4 = 1, PAGES_ZSTD = 2 };

/*
 * ---- Encryption ----
 *
 * With a key (agent/store/key.h) pages, skeletons, and where which page is, are encrypted by AES-256-GCM; and pages are
 * named by HMAC-SHA-256 instead of SHA-256, so that nobody can tell by its name that a page he knows is there. They are
 * still kept once per job, on all its nodes: all have the one key. Nothing was ever shared between jobs, so nothing is
 * lost. What stays to be seen: sizes (how well each frame compresses, how many pages), which snapshot needs which packs.
 *
 * A job is encrypted or it is not: what is not as the store was opened is FM_DENIED, before anything of it is decrypted
 * or decompressed; pages_store_scan(), so a writer, too, fails at the first pack that is not.
 */

/* ---- the store -------------------------------------------------------------------------------- */

struct pages_store;

/*
 * dir is made if it is missing (0700). No pack is looked at yet. The store must outlive what is made from it.
 * Any number of threads may use one store for reading (readers of their own), or one for a writer.
 * key: the job's, from pages_key_make() for a writer, else pages_key_open(); NULL: it is not encrypted. It must outlive
 * the store.
 */
struct pages_store *pages_store_open(const char *dir, uint32_t job, const struct pages_key *key, struct fm_error *err);
void pages_store_close(struct pages_store *s); /* NULL is fine */

/*
 * A further place of the job's packs, read only: what it has is found by readers, and known to writers, who write to dir
 * alone. A pack that both have is read from dir, unless it is damaged there. It need not exist; no sweep of its packs
 * begins while a writer or a reader of s is there. Once, before anything is made from s. What scans, verifies or sweeps
 * by name (pages_pack_…) is about dir.
 */
int pages_store_also(struct pages_store *s, const char *place, struct fm_error *err);

/* How long a writer or a reader that begins waits for a sweep to give way, in ms; before the first of them. */
#define PAGES_WAIT_MS 20000
void pages_store_wait(struct pages_store *s, int64_t ms);

struct pages_usage {
	uint64_t packs;         /* that verify */
	uint64_t pages;         /* in them */
	uint64_t bytes;         /* on disk */
	uint64_t damaged;       /* files named *.pack that do not verify: not used */
	char damaged_text[768]; /* about the first of them */
	uint64_t parts;         /* unfinished */
	uint64_t index_mapped;  /* bytes of indexes in memory mappings: of files, given back under pressure */
	uint64_t index_private; /* bytes that are ours: grows with the number of packs only */
};

/* Open all finished packs, so that a writer finds what is there. Those known already are not read again. */
int pages_store_scan(struct pages_store *s, struct fm_error *err);
/* Since the last scan. */
void pages_store_usage(const struct pages_store *s, struct pages_usage *usage_r);

/* The id of the i-th pack of the last scan, 64 hex digits; false past the end. */
bool pages_store_pack(const struct pages_store *s, size_t i, char id_r[65]);

/* Remove the *.part files whose writers are dead. Safe beside living ones, here or on another node. */
int pages_store_sweep(struct pages_store *s, unsigned *removed_r, struct fm_error *err);

/* ---- one member in one snapshot, in memory ------------------------------------------------------ */

struct pages_map;

/*
 * sha256: what the manifest says (hex), or NULL where the file's own hash has to do. The file must belong to job, and
 * be encrypted by its key, or not at all if that is NULL: FM_DENIED.
 * Memory: 4 bytes for a page, and the skeleton.
 */
struct pages_map *pages_map_open(const char *path, uint32_t job, const struct pages_key *key, const char *sha256,
				 struct fm_error *err);
void pages_map_close(struct pages_map *m); /* NULL is fine */

uint64_t pages_map_count(const struct pages_map *m);      /* pages, zero ones included */
uint64_t pages_map_zero_count(const struct pages_map *m); /* of these */
uint64_t pages_map_pfn_end(const struct pages_map *m);    /* one past the highest pfn */
uint64_t pages_map_memory(const struct pages_map *m);     /* bytes in memory */
/* The pfns that have a page, ascending: the next ones from *from on, which moves behind them; at most `most`. 0: no more. */
size_t pages_map_next(const struct pages_map *m, uint64_t *from, uint64_t *pfn_r, size_t most);
/* What was given to pages_writer_finish(). The map's. */
const void *pages_map_skeleton(const struct pages_map *m, size_t *size_r);
/* Ids of the packs the map needs, 64 hex digits each; false past the end. What a copy must have, a sweep must keep. */
bool pages_map_pack(const struct pages_map *m, size_t i, char id_r[65]);
/* For a sweep: sets bit `slot` of bits[] for each page the map has in this pack. bits has PAGES_PACK_MAX bits. */
void pages_map_mark(const struct pages_map *m, const char id[65], uint8_t *bits);

/* ---- writing -------------------------------------------------------------------------------------- */

/*
 * ---- Writers that write the same at the same time ----
 *
 * The members of a group save at once, and much of what is new is new at several of them. None finds the others' packs:
 * they are not finished. So a writer may ask, before it takes new pages in, which of them another writer of the same
 * folder has promised to write (who is asked, and what a promise is: agent/claims.h). What it then leaves out it has to
 * find: pages_writer_settle() looks for it in the packs that are finished meanwhile, and the map is written only when
 * each of its pages has been found in a finished pack, verified as any pack, and names that pack and slot. So the file
 * is as every other, and whoever reads, copies or sweeps does not know of this. A promise that is not kept costs the
 * map, never a page of it: it is not written.
 *
 * The packs cannot go meanwhile: all these writers hold the lock against sweeps from before the first promise on, this
 * one until its map is there.
 */
struct pages_claims {
	/* Which of these will others write? Sets others_r[i] where so. Of one thread at a time; blocks, bounded: meanwhile
	 * only what is there already is hashed and compressed. Where in doubt: false, then it is kept twice. */
	void (*ask)(void *data, const uint8_t (*hash)[PAGES_HASH], size_t count, bool *others_r);
	void *data;
};

struct pages_writer;

struct pages_writer_options {
	unsigned threads;       /* that hash and compress; 0: 2 */
	unsigned frame_pages;   /* 0: PAGES_FRAME_DEFAULT */
	enum pages_codec codec; /* of new frames; a frame that does not get smaller is PAGES_RAW */
	int level;              /* zstd's level; lz4's acceleration; 0: 1 */
	unsigned pack_pages;    /* a pack is ended and another begun at so many; 0: PAGES_PACK_MAX */
	/*
	 * This member's last snapshot, or NULL: where to look first for what a page was. With inherit, all its pages are
	 * this snapshot's, too, unless given anew: then only what changed has to be put (dirty tracking). It must be of
	 * this job, and stay until the writer is gone.
	 */
	const struct pages_map *parent;
	bool inherit;
	/* Look for pages in no more packs than that, and the parent's in any case; 0: in all. In a large group each member's own
	 * suffice, and to open everybody's costs n² files. */
	size_t packs_most;
	const char *hash; /* "libcrypto", "ipsec-mb"; NULL: the fastest there is. All give the same. */
	int nice;         /* of the threads; 0: as the caller's */
	const struct pages_claims *claims; /* NULL: nobody is asked. Stays until the writer is gone; memory is 16 MiB more */
};

/* Scans the store. Options of all zeros but the codec are sensible. FM_BUSY: a sweep did not give way in time. */
struct pages_writer *pages_writer_create(struct pages_store *s, const struct pages_writer_options *o,
					 struct fm_error *err);

/*
 * count pages, one behind the other at data; page i is that of pfn[i]. Any order; of a pfn put again the last one
 * counts. The bytes are copied before this returns. Waits while the queue is full: memory is bounded (6 to
 * 8 MiB a thread). After an error every later call fails with the same one.
 */
int pages_writer_put(struct pages_writer *w, const uint64_t *pfn, const void *data, size_t count,
		     struct fm_error *err);
/* These have no content (any more): not allocated, broken, ballooned out. In order with the puts. */
int pages_writer_forget(struct pages_writer *w, const uint64_t *pfn, size_t count, struct fm_error *err);

/* Has a thread met an error that the next put will tell? -1. From any thread. */
int pages_writer_check(struct pages_writer *w, struct fm_error *err);

/*
 * The processor is needed elsewhere for a moment: the threads begin nothing new until a put has to wait for room, or the
 * writer is finished or given up. From any thread.
 */
void pages_writer_pause(struct pages_writer *w);

/* How far it is. From any thread, at any time. In pages: put = zero + known + stored, as soon as all are through. */
struct pages_progress {
	uint64_t put;          /* repeats count */
	uint64_t zero;
	uint64_t known;        /* found in the store, or earlier in this snapshot, or promised by another writer */
	uint64_t stored;       /* new */
	uint64_t stored_bytes; /* of frames handed to the kernel */
};
void pages_writer_progress(const struct pages_writer *w, struct pages_progress *progress_r);

struct pages_saved {
	struct store_file map; /* for the manifest: name, bytes, sha256; raw_bytes: pages × 4096 + skeleton */
	struct pages_progress progress;
	uint64_t bytes;        /* written in all: packs and map */
	uint64_t pages;        /* in the map */
	uint64_t others;       /* different ones that another writer has written for this map */
	uint64_t memory;       /* at the most, in tables that grow with the number of pages (map, hashes of one pack) */
	const char *hash;      /* which implementation */
};

/*
 * All that was put is in packs, which are durable: nothing may be put any more. 1: nothing is missing; 0: pages that
 * others have promised are not there yet: call again in a moment; -1.
 */
int pages_writer_settle(struct pages_writer *w, struct fm_error *err);

/*
 * Write what is left; packs are durable first, then the map at map_path (which must not exist), then all names.
 * The skeleton is what the caller needs beside the pages; opaque here, compressed, may be empty. The writer is gone
 * either way. After an error there is no map; packs that were finished stay: they are right, and a sweep's. With claims
 * an error, too, unless pages_writer_settle() has said 1, or would.
 */
int pages_writer_finish(struct pages_writer *w, const char *map_path, const void *skeleton, size_t skeleton_size,
			struct pages_saved *saved_r, struct fm_error *err);
void pages_writer_abort(struct pages_writer *w); /* NULL is fine; its unfinished pack is removed */

/* ---- reading -------------------------------------------------------------------------------------- */

struct pages_reader;

struct pages_reader_options {
	unsigned threads;   /* that read, decompress and verify; 0: one a processor */
	size_t cache_bytes; /* of decompressed frames; 0: 64 MiB; never less than two frames a thread */
	const char *hash;   /* as above */
};

/*
 * Opens, and verifies the indexes of, the packs that the map needs: a missing one is told here. No sweep begins until the
 * reader is destroyed: on NFS a file that another node has removed or replaced cannot be read on. FM_BUSY as a writer.
 */
struct pages_reader *pages_reader_create(struct pages_store *s, const struct pages_map *m,
					 const struct pages_reader_options *o, struct fm_error *err);
void pages_reader_destroy(struct pages_reader *r); /* NULL is fine */

#define PAGES_BATCH 256u
struct pages_batch {
	size_t count; /* at most PAGES_BATCH */
	const uint64_t *pfn;
	const void *const *page; /* PAGES_SIZE bytes each; pages_zero for a page of zeros */
};
extern const unsigned char pages_zero[4096];

/*
 * All pages of the map in the order of their pfns, read ahead by the threads. 1: a batch, valid until the next call;
 * 0: that was all; -1. Every page that is handed out has been verified.
 */
int pages_reader_next(struct pages_reader *r, struct pages_batch *batch_r, struct fm_error *err);

/* These pages, in this order, count × 4096 bytes to data, by all threads. A pfn the map has not: FM_NOT_FOUND. May be
 * mixed with pages_reader_next(). */
int pages_reader_fetch(struct pages_reader *r, const uint64_t *pfn, size_t count, void *data, struct fm_error *err);

/* ---- what a copy must have ----
 *
 * A pack may have lost a page that another one has (pages_needed_once()): then a copy of the map needs both. That does not
 * change while the store is held, as by a reader.
 */
struct pages_source {
	char id[65];
	bool named;       /* by the map; else it has pages which those have not any more */
	uint64_t bytes;   /* of the file */
	uint32_t present; /* pages in it: a pack that is written anew never has more */
};
typedef int (*pages_source_fn)(void *arg, const struct pages_source *source, struct fm_error *err);

/* A descriptor that keeps sweeps away until it is closed, to *fd_r; -1 where nothing can be written. FM_BUSY as a reader. */
int pages_store_hold(struct pages_store *s, int *fd_r, struct fm_error *err);
/* Each pack once, until `each` says other than 0: that is returned. FM_CORRUPT: one is missing or damaged, or a page is nowhere. */
int pages_map_sources(struct pages_store *s, const struct pages_map *m, pages_source_fn each, void *arg,
		      struct fm_error *err);

/* ---- sweeping ----
 *
 * What no map needs may go while no writer is under way: one may have found a page that only its map, not written yet,
 * will name. Nor while there is a reader (see there). So:
 *
 *	pages_sweep_begin(); pages_needed_create();
 *	for each map of the job, without a manifest, too: pages_needed_map(); then pages_needed_settle();
 *	for each pages_needed_pack(): pages_pack_remove() if it is not named and nothing of it is needed, or
 *	pages_pack_rewrite() with keep; pages_sweep_end();
 *
 * The lock is the kernel's (flock of "<dir>/lock"): it goes with the process that has it. A sweep is never urgent: who
 * has to wait for it holds "<dir>/lock.want", and it gives way.
 */

/* FM_BUSY: a writer, a reader or another sweep is under way, here or on another node. While it lasts, others wait. */
void pages_sweep_wait(struct pages_store *s, int64_t ms); /* so long it waits for another sweep to give way; 0 at first */
int pages_sweep_begin(struct pages_store *s, struct fm_error *err);
void pages_sweep_end(struct pages_store *s); /* also without a sweep */
/* A writer or a reader waits: end the sweep soon, what is left is the next one's. */
bool pages_sweep_wanted(const struct pages_store *s);

/* What maps need of the packs there are: a bit a slot. In memory: 32 KiB for a pack of PAGES_PACK_MAX slots. */
struct pages_needed;

/* Scans the store. A pack that does not verify has no bits: see pages_needed_pack(). */
struct pages_needed *pages_needed_create(struct pages_store *s, struct fm_error *err);
void pages_needed_destroy(struct pages_needed *n); /* NULL is fine */
/* All its pages are needed. What it needs of packs that are not there, or do not verify, cannot be kept and is no error. */
int pages_needed_map(struct pages_needed *n, const struct pages_map *m, struct fm_error *err);
/* After the last map: a needed page that is absent from its pack is needed wherever else it is. */
void pages_needed_settle(struct pages_needed *n);
/*
 * After that: of a page that several packs have, one copy is enough. The others' become absent when their packs are rewritten;
 * a reader finds such a page by its hash. What is to stay is read and verified before anything goes for it; where it is
 * damaged all its copies stay. Memory: 24 bytes a page. FM_BUSY: it gives way, as pages_pack_rewrite().
 */
int pages_needed_once(struct pages_needed *n, struct fm_error *err);

struct pages_needed_pack {
	char id[65];
	bool damaged;         /* does not verify: only id and named are known */
	bool named;           /* by a map, perhaps only for what has become absent: then its hashes must stay, so must the file */
	uint32_t present;     /* pages in it */
	uint32_t needed;      /* of these */
	uint64_t bytes;       /* of the file */
	uint64_t frame_bytes; /* of these: frames */
	const uint8_t *keep;  /* for pages_pack_rewrite(); n's */
	bool hot;             /* some of it is still compressed as in the hot path, by lz4 */
};
/* The i-th pack; false past the end. */
bool pages_needed_pack(const struct pages_needed *n, size_t i, struct pages_needed_pack *pack_r);

/* ---- maintenance ---------------------------------------------------------------------------------- */

struct pages_verdict {
	uint64_t pages, frames, bytes; /* that were read */
};
/* Read one pack from its first byte to its last; every page is hashed. Any flipped bit is found and named. */
int pages_pack_verify(struct pages_store *s, const char id[65], struct pages_verdict *verdict_r, struct fm_error *err);

/* Is the pack in dir, or in the further place, and its index right? Its pages are not read. FM_CORRUPT: not, or missing. */
int pages_pack_check(struct pages_store *s, const char id[65], struct fm_error *err);

struct pages_rewrite_options {
	enum pages_codec codec;
	int level;            /* 0: 3 for zstd */
	unsigned frame_pages; /* 0: PAGES_FRAME_MAX */
	const uint8_t *keep;  /* bit a slot: pages to keep, in a sweep only; NULL: all. Slots keep their numbers; maps stay valid. */
};
/*
 * Write the pack anew (the later pass: zstd, without what no map needs) and put it in the old one's place, at once and
 * durably; *before_r, *after_r: its size. Every page is verified on the way: a damaged pack stays as it is, FM_CORRUPT.
 * Readers that have the old one open go on with it (not on NFS: hence the sweep's lock). FM_BUSY: a sweep of ours is in
 * somebody's way, and the pack is as it was.
 */
int pages_pack_rewrite(struct pages_store *s, const char id[65], const struct pages_rewrite_options *o,
		       uint64_t *before_r, uint64_t *after_r, struct fm_error *err);

/* In a sweep only: a pack of which no page is needed. FM_NOT_FOUND. Durable. */
int pages_pack_remove(struct pages_store *s, const char id[65], struct fm_error *err);

#endif
