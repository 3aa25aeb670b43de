/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * group.h - the shards of one set that are there, read stripe by stripe (parity only).
 *
 * Whatever is wrong with a shard goes into the report, and costs that stripe of it; nothing wrong leaves here.
 */
#ifndef FM_STORE_PARITY_GROUP_H
#define FM_STORE_PARITY_GROUP_H

#include "agent/store/parity/parity.h"
#include "agent/store/parity/shard.h"

struct group {
	const struct parity_shards *in;
	struct parity_report *report;
	struct parity_meta meta;
	const char *from;                          /* whose word meta is; NULL: nobody's yet */
	bool usable[PARITY_SHARDS_MAX];            /* worth asking */
	uint8_t file_sha256[PARITY_M_MAX][32];     /* what usable parity shards say of themselves */
	unsigned char *buffer[PARITY_SHARDS_MAX];  /* a stripe each */
	/* of the stripe that group_checksums() was called for */
	bool known; /* are there checksums */
	uint64_t checksum[PARITY_SHARDS_MAX];
	/* data files that had to be read as a whole: 0 not yet, 1 right, -1 wrong */
	int confirmed[PARITY_K_MAX];
};

/* Which shards can be read, and what they are; *report_r is begun. FM_CORRUPT without any parity shard to go by. */
int group_open(struct group *g, const struct parity_shards *in, struct parity_report *report_r, struct fm_error *err);
int group_buffers(struct group *g, struct fm_error *err);
void group_dispose(struct group *g); /* also of zeros */

const char *group_name(const struct group *g, unsigned s);
/* A stripe of it, or the shard, is not right: the first text stays. */
void group_note(struct group *g, unsigned s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Stripe t's checksums of the first parity shard that has them. */
void group_checksums(struct group *g, uint64_t t);
/* All shards that are worth it: stripe t comes next. */
void group_ahead(const struct group *g, uint64_t t);
/*
 * Shard s's stripe t into its buffer, zeros behind it. True: it is right, or there were no checksums. A data file that
 * has ended before is zeros, also when it is lost.
 */
bool group_fetch(struct group *g, unsigned s, uint64_t t);
/* Where there are no checksums: is data file s as a whole what it was? Uses its buffer. */
bool group_confirm(struct group *g, unsigned s);

/* "set …: 3 of 6 shards …, 2 can be rebuilt: …": those that are not right[]. Returns -1. */
int group_too_many(const struct group *g, uint64_t t, const bool *right, struct fm_error *err);

#endif
