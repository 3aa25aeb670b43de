/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * code.h - an erasure code over k data and m parity shards, in memory (parity only).
 *
 * Shards 0 … k-1 are data, k … k+m-1 parity; any k of them give all the others. Parity i is the sum over j of
 * c(i, j) · data j in GF(2^8), polynomial 0x11d (ISA-L's). The coefficients are a Cauchy matrix, 1 / ((k + i) xor j),
 * its rows and columns then scaled so that the first row and the first column are ones:
 *
 *	c(i, j) = ((k + i) xor 0) · (k xor j) / (((k + i) xor j) · (k xor 0))
 *
 * Why: every square part of a Cauchy matrix can be inverted, for all k + m <= 256 (Roth and Seroussi, "On generator
 * matrices of MDS codes", 1985), and scaling a row or a column does not change that; of ISA-L's Vandermonde matrix
 * this is only true for small k or m. And with ones in first row and column k = 1 is a copy and m = 1 is XOR by
 * itself, and so is parity 0 of any m: what these need is memcpy() and xor_gen().
 */
#ifndef FM_STORE_PARITY_CODE_H
#define FM_STORE_PARITY_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/parity/parity.h"
#include "common/error.h"

/* Buffers begin at such an address, and what code_run() is told to work on is a multiple of it. */
#define CODE_ALIGN 64u

struct code {
	unsigned k, m;
	uint8_t row[PARITY_SHARDS_MAX][PARITY_K_MAX]; /* of shard i over the data: unit rows first */
};

/* FM_USAGE outside of 1 <= k <= PARITY_K_MAX, 1 <= m <= PARITY_M_MAX. */
int code_init(struct code *c, unsigned k, unsigned m, struct fm_error *err);

/* How to make some shards of k others; made once for as many stripes as it fits. */
struct code_plan {
	unsigned k, wanted;
	bool ones; /* all coefficients are 1 */
	uint8_t source[PARITY_K_MAX], target[PARITY_M_MAX];
	uint8_t table[32 * PARITY_K_MAX * PARITY_M_MAX];
};

/* source: k different shards; target: at most m others. Encoding is source 0 … k-1, target k … k+m-1. */
int code_plan(const struct code *c, const uint8_t *source, const uint8_t *target, unsigned wanted,
	      struct code_plan *plan_r, struct fm_error *err);

/* shard[i]: shard i's size bytes; those of the sources are read, those of the targets written. */
void code_run(const struct code_plan *plan, unsigned char *const *shard, size_t size);

#endif
