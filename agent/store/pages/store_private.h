/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_private.h - the packs a store knows, for writer, reader and maintenance. */
#ifndef FM_STORE_PAGES_STORE_PRIVATE_H
#define FM_STORE_PAGES_STORE_PRIVATE_H

#include "agent/store/pages/map.h"
#include "agent/store/pages/pack.h"

struct pages_store {
	char *dir;
	char *also; /* a further place of packs, read only; NULL: none */
	uint32_t job;
	const struct pages_key *key; /* NULL: nothing is encrypted */
	struct pack **pack; /* of the last scan, and what a writer has added since; their frames cannot be read */
	size_t packs, room;
	struct pages_usage found; /* by the last scan */
	int sweep_fd, want_fd;    /* -1: no sweep of ours */
	int64_t wait_ms;          /* of writers and readers, for a sweep */
	int64_t sweep_wait_ms;    /* of a sweep, for another */
};

/* The pack of that id among those known, or -1. */
long store_index(const struct pages_store *s, const uint8_t id[32]);
/* Open a pack and know it from now on; its index, or -1. */
long store_add(struct pages_store *s, const uint8_t id[32], struct fm_error *err);

/* pages_store_scan() of no more packs than `most`, and those of `first` (may be NULL) in any case; 0: of all. */
int store_scan(struct pages_store *s, const struct pages_map *first, size_t most, struct fm_error *err);

/* pack_open() wherever it is. */
struct pack *store_pack_open(const struct pages_store *s, const uint8_t id[32], bool keep_fd, struct fm_error *err);

/* Calls each for all "<id>.pack" in dir until it says other than 0, and returns that. parts_r (may be NULL): the
 * number of .part files. */
int store_each(const char *dir, int (*each)(void *data, const uint8_t id[32]), void *data, uint64_t *parts_r,
	       struct fm_error *err);

/* The same in dir, then in the further place: what both have comes twice. */
int store_each_place(const struct pages_store *s, int (*each)(void *data, const uint8_t id[32]), void *data,
		     uint64_t *parts_r, struct fm_error *err);

/* sweep.c: shared by writers and readers, until store_unlock(); -1: no lock. */
struct store_locks {
	int dir, also;
};
#define STORE_UNLOCKED { -1, -1 }
/* FM_BUSY, … Nothing is locked then. */
int store_lock(const struct pages_store *s, struct store_locks *locks_r, struct fm_error *err);
/* The same for who reads: where nothing can be written there is no lock, as no sweep can be either. */
int store_lock_to_read(const struct pages_store *s, struct store_locks *locks_r, struct fm_error *err);
void store_unlock(struct store_locks *locks);

/* store.c: the name of the folder itself is durable. */
int store_sync_name(const struct pages_store *s, struct fm_error *err);

#endif
