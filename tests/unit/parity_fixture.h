/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parity_fixture.h - data files and parity shards in memory, made up by seed; and what may go wrong with them. */
#ifndef FM_TEST_PARITY_FIXTURE_H
#define FM_TEST_PARITY_FIXTURE_H

#include "agent/store/parity/parity.h"
#include "tests/unit/store_fixture.h"

/* A source and a sink. */
struct memory {
	char name[64];
	unsigned char *data;
	size_t size, room;
	int commits, aborts; /* of it as a sink */
	/* faults: this read, write (1 is the next), or commit fails with that code */
	long read_fails, write_fails;
	bool commit_fails;
	enum fm_code code;
	/* what was seen */
	size_t largest;        /* read or write */
	unsigned reads;        /* calls */
	uint64_t read, hinted; /* bytes */
};
struct parity_source memory_source(struct memory *m);
struct parity_sink memory_sink(struct memory *m);
void memory_set(struct memory *m, const void *data, size_t size);
void memory_dispose(struct memory *m);

/* Bytes by seed: some long runs, most random. */
void fixture_bytes(unsigned char *data, size_t size, uint64_t seed);
uint64_t fixture_random(uint64_t *seed); /* splitmix64 */

/* One set: as made, never changed; a test changes copies. */
struct parity_world {
	unsigned k, m;
	uint32_t stripe;
	struct memory shard[PARITY_SHARDS_MAX];
	struct parity_made made;
};
/* length: k of them. Every make must succeed. */
void world_make(struct parity_world *w, unsigned k, unsigned m, uint32_t stripe, const size_t *length, uint64_t seed);
void world_dispose(struct parity_world *w);

/*
 * Rebuild the wanted shards from others[], which are w's own where a pointer is NULL, without the lost ones. What is
 * committed must be what was made, byte by byte, whatever is returned; each sink is ended once.
 */
struct world_try {
	uint64_t lost[2], wanted[2]; /* bits */
	struct memory *other[PARITY_SHARDS_MAX];
	bool any_id; /* id: not said */
	bool known;  /* all is said of the set */
};
int world_rebuild(const struct parity_world *w, const struct world_try *t, struct parity_report *report_r,
		  struct fm_error *err);
int world_verify(const struct parity_world *w, const struct world_try *t, struct parity_report *report_r,
		 bool *rebuildable_r, struct fm_error *err);

void bit_set(uint64_t bits[2], unsigned i);
bool bit_is(const uint64_t bits[2], unsigned i);

#endif
