/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c - see code.h; the arithmetic on stripes is ISA-L's. */
#include "config.h"

#include "agent/store/parity/code.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
#include <string.h>

int code_init(struct code *c, unsigned k, unsigned m, struct fm_error *err)
{
	if (k < 1 || k > PARITY_K_MAX || m < 1 || m > PARITY_M_MAX)
		return fm_fail(err, FM_USAGE, "a code of %u data and %u parity shards: 1 to %u and 1 to %u are possible", k,
			       m, PARITY_K_MAX, PARITY_M_MAX);
	memset(c, 0, sizeof(*c));
	c->k = k;
	c->m = m;
	for (unsigned j = 0; j < k; j++)
		c->row[j][j] = 1;
	for (unsigned i = 0; i < m; i++)
		for (unsigned j = 0; j < k; j++) {
			uint8_t above = gf_mul((uint8_t)(k + i), (uint8_t)(k ^ j));
			uint8_t below = gf_mul((uint8_t)((k + i) ^ j), (uint8_t)k);

			c->row[k + i][j] = gf_mul(above, gf_inv(below));
		}
	return 0;
}

/* The target's row over the data, times the inverse of the sources' rows: its row over the sources. */
static void coefficients(const struct code *c, unsigned target, const uint8_t *inverse, uint8_t *row_r)
{
	for (unsigned j = 0; j < c->k; j++) {
		row_r[j] = 0;
		for (unsigned i = 0; i < c->k; i++)
			row_r[j] ^= gf_mul(c->row[target][i], inverse[i * c->k + j]);
	}
}

static bool all_ones(const uint8_t *row, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (row[i] != 1)
			return false;
	return true;
}

int code_plan(const struct code *c, const uint8_t *source, const uint8_t *target, unsigned wanted,
	      struct code_plan *plan_r, struct fm_error *err)
{
	uint8_t matrix[PARITY_K_MAX * PARITY_K_MAX], inverse[PARITY_K_MAX * PARITY_K_MAX];
	uint8_t rows[PARITY_K_MAX * PARITY_M_MAX];

	if (wanted < 1 || wanted > c->m)
		return fm_fail(err, FM_USAGE, "%u shards cannot be made of %u others where %u are parity", wanted, c->k,
			       c->m);
	for (unsigned i = 0; i < c->k; i++)
		memcpy(matrix + i * c->k, c->row[source[i]], c->k);
	if (gf_invert_matrix(matrix, inverse, (int)c->k) != 0)
		return fm_fail(err, FM_USAGE, "the shards to make others of are not %u different ones", c->k);
	for (unsigned i = 0; i < wanted; i++)
		coefficients(c, target[i], inverse, rows + i * c->k);
	plan_r->k = c->k;
	plan_r->wanted = wanted;
	plan_r->ones = all_ones(rows, (size_t)wanted * c->k);
	memcpy(plan_r->source, source, c->k);
	memcpy(plan_r->target, target, wanted);
	ec_init_tables((int)c->k, (int)wanted, rows, plan_r->table);
	return 0;
}

void code_run(const struct code_plan *plan, unsigned char *const *shard, size_t size)
{
	unsigned char *from[PARITY_K_MAX + 1], *to[PARITY_M_MAX];

	for (unsigned i = 0; i < plan->k; i++)
		from[i] = shard[plan->source[i]];
	for (unsigned i = 0; i < plan->wanted; i++)
		to[i] = shard[plan->target[i]];
	if (plan->ones && plan->k == 1) {
		for (unsigned i = 0; i < plan->wanted; i++)
			memcpy(to[i], from[0], size);
	} else if (plan->ones && plan->wanted == 1) {
		from[plan->k] = to[0];
		/* It fails with fewer than three vectors only, which are not here. */
		(void)xor_gen((int)plan->k + 1, (int)size, (void **)from);
	} else {
		ec_encode_data((int)size, (int)plan->k, (int)plan->wanted, (unsigned char *)plan->table, from, to);
	}
}
