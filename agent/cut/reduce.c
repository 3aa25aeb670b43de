/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reduce.c - see reduce.h. */
#include "agent/cut/reduce.h"

#include <stdlib.h>
#include <string.h>

int cut_sum_add(struct cut_sum *sum, const struct cut_sum *part)
{
	size_t comma = sum->entries_size && part->entries_size;
	char *grown;

	if (part->stopped_bytes > sum->stopped_bytes)
		sum->stopped_bytes = part->stopped_bytes;
	if (part->drain_us > sum->drain_us)
		sum->drain_us = part->drain_us;
	sum->drain_bound += part->drain_bound;
	if (part->first_ns && (!sum->first_ns || part->first_ns < sum->first_ns))
		sum->first_ns = part->first_ns;
	if (part->last_ns > sum->last_ns)
		sum->last_ns = part->last_ns;
	if (!part->entries_size)
		return 0;
	grown = realloc(sum->entries, sum->entries_size + comma + part->entries_size);
	if (!grown)
		return -1;
	sum->entries = grown;
	if (comma)
		sum->entries[sum->entries_size++] = ',';
	memcpy(sum->entries + sum->entries_size, part->entries, part->entries_size);
	sum->entries_size += part->entries_size;
	return 0;
}

void cut_sum_dispose(struct cut_sum *sum)
{
	free(sum->entries);
	*sum = (struct cut_sum){ 0 };
}

void reduce_init(struct reduce *r)
{
	*r = (struct reduce){ .round = CUT_ARM, .told = true };
}

void reduce_dispose(struct reduce *r)
{
	free(r->branches);
	cut_sum_dispose(&r->sum);
	*r = (struct reduce){ .told = true };
}

int reduce_add(struct reduce *r, unsigned rank)
{
	if (r->count == r->room) {
		unsigned room = r->room ? 2 * r->room : 8;
		struct reduce_branch *grown = realloc(r->branches, room * sizeof(*grown));

		if (!grown)
			return -1;
		r->branches = grown;
		r->room = room;
	}
	r->branches[r->count] = (struct reduce_branch){ .rank = rank, .bypassed = r->count == 0 };
	r->left++;
	return (int)r->count++;
}

static enum reduce_result say(struct reduce *r, enum reduce_result result)
{
	if (r->told)
		return REDUCE_WAIT;
	r->told = true;
	return result;
}

static enum reduce_result refuse(struct reduce *r, unsigned rank)
{
	enum reduce_result result = say(r, REDUCE_NO);

	if (result == REDUCE_NO)
		r->blame_rank = rank;
	return result;
}

static void done(struct reduce *r, struct reduce_branch *b)
{
	if (b->answered)
		return;
	b->answered = true;
	r->left--;
}

enum reduce_result reduce_result(struct reduce *r)
{
	return r->left ? REDUCE_WAIT : say(r, REDUCE_YES);
}

enum reduce_result reduce_begin(struct reduce *r, enum cut_round round)
{
	r->round = round;
	r->told = false;
	r->left = r->count;
	cut_sum_dispose(&r->sum);
	for (unsigned i = 0; i < r->count; i++)
		r->branches[i].answered = r->branches[i].late = false;
	for (unsigned i = 0; i < r->count; i++)
		if (r->branches[i].lost && round != CUT_ABORT)
			return refuse(r, r->branches[i].rank);
	return REDUCE_WAIT; /* in an abort the lost ones are bypassed first */
}

enum reduce_result reduce_answer(struct reduce *r, unsigned branch, enum cut_round round, bool yes, unsigned rank,
				 const struct cut_sum *sum)
{
	struct reduce_branch *b = branch < r->count ? &r->branches[branch] : NULL;

	if (!b || r->told || round != r->round || b->answered)
		return REDUCE_WAIT;
	if (!yes && round != CUT_ABORT)
		return refuse(r, rank);
	if (yes && sum && cut_sum_add(&r->sum, sum))
		return refuse(r, r->branches[0].rank);
	done(r, b);
	return reduce_result(r);
}

enum reduce_result reduce_lost(struct reduce *r, unsigned branch)
{
	if (branch >= r->count || r->branches[branch].lost)
		return REDUCE_WAIT;
	r->branches[branch].lost = true;
	if (r->round == CUT_ABORT || r->branches[branch].answered)
		return REDUCE_WAIT;
	return refuse(r, r->branches[branch].rank);
}

enum reduce_result reduce_time(struct reduce *r)
{
	unsigned silent = r->count;

	for (unsigned i = r->count; i-- > 0;)
		if (!r->branches[i].answered && !r->branches[i].lost) {
			r->branches[i].silent = true;
			silent = i;
		}
	if (r->round == CUT_ABORT)
		return say(r, REDUCE_YES);
	return refuse(r, r->branches[silent < r->count ? silent : 0].rank);
}

void reduce_late(struct reduce *r)
{
	for (unsigned i = 0; r->round == CUT_ABORT && i < r->count; i++)
		r->branches[i].late = !r->branches[i].answered;
}

int reduce_bypass(struct reduce *r)
{
	for (unsigned i = 0; r->round == CUT_ABORT && i < r->count; i++) {
		struct reduce_branch *b = &r->branches[i];

		if (b->lost || b->silent)
			done(r, b);
		if (b->bypassed || !(b->lost || b->silent || b->late))
			continue;
		b->bypassed = true;
		return (int)i;
	}
	return -1;
}
