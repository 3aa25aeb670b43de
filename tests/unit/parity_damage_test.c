/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_damage_test - a flipped bit in any byte of any shard, shards cut short, too long, or in another's place: found,
 * named, and what is rebuilt is right, or nothing is. That nothing wrong is committed is world_rebuild()'s to see.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "agent/store/parity/shard.h"
#include "tests/unit/parity_fixture.h"

#define STRIPE 64u

static struct parity_report report;

static const size_t length[] = { 3 * STRIPE + 5, 2 * STRIPE, 3 * STRIPE + 40 };

/* A copy of one shard, to be changed. */
static void copy(struct memory *to, const struct memory *from)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->name, from->name, sizeof(to->name));
	memory_set(to, from->data, from->size);
}

static void is_named(const struct parity_world *w, unsigned s)
{
	assert_int_equal(report.shard[s].state, PARITY_DAMAGED);
	if (!strstr(report.shard[s].text, w->shard[s].name))
		fail_msg("shard %u is called %s", s, report.shard[s].text);
}

/* Everybody else is above suspicion. */
static void only_this_is_damaged(const struct parity_world *w, unsigned s)
{
	for (unsigned i = 0; i < w->k + w->m; i++)
		if (i != s && report.shard[i].state != PARITY_WHOLE)
			fail_msg("shard %u is damaged, and %u is accused: %s", s, i, report.shard[i].text);
	is_named(w, s);
}

/* One damaged shard: a verification finds just it, and it is rebuilt from itself and the others. */
static void found_and_repaired(const struct parity_world *w, unsigned s, struct memory *damaged, size_t at)
{
	struct world_try t = { .known = at % 2 == 0 };
	bool rebuildable;
	struct fm_error err;

	t.other[s] = damaged;
	bit_set(t.wanted, s);
	if (world_verify(w, &t, &report, &rebuildable, &err) < 0) {
		assert_true(w->m == 1 && s >= w->k && !t.known); /* nothing to go by */
	} else {
		if (report.shard[s].state == PARITY_WHOLE)
			fail_msg("damage at %zu of shard %u is not found", at, s);
		only_this_is_damaged(w, s);
		assert_true(rebuildable);
	}
	if (world_rebuild(w, &t, &report, &err) < 0 && (w->m > 1 || s < w->k || t.known))
		fail_msg("damage at %zu of shard %u is not repaired: %s", at, s, err.text);
}

/* With as many others lost as may be, it can be done without: the damaged one is one of m. */
static void never_mixed_in(const struct parity_world *w, unsigned s, struct memory *damaged, size_t at, bool may_be_unread)
{
	unsigned lost = s == 0 ? 1 : 0;
	struct world_try t = { .known = true };
	struct fm_error err;

	t.other[s] = damaged;
	bit_set(t.lost, lost);
	bit_set(t.wanted, lost);
	if (w->m == 1) { /* it would be needed */
		if (world_rebuild(w, &t, &report, &err) < 0) {
			assert_int_equal(err.code, FM_CORRUPT);
			is_named(w, s);
			assert_non_null(strstr(err.text, w->shard[s].name));
		} else {
			/* It was in what nobody had to read. */
			assert_true(may_be_unread);
		}
		return;
	}
	if (world_rebuild(w, &t, &report, &err) < 0)
		fail_msg("shard %u with damage at %zu does harm: %s", s, at, err.text);
}

/* Every bit is another's turn; every byte is. */
static void every_byte_flipped(unsigned m)
{
	struct parity_world w;
	size_t flips = 0;

	world_make(&w, 3, m, STRIPE, length, m);
	for (unsigned s = 0; s < w.k + w.m; s++)
		for (size_t at = 0; at < w.shard[s].size; at++) {
			struct memory damaged;

			copy(&damaged, &w.shard[s]);
			damaged.data[at] ^= (unsigned char)(1u << (at * 5 + s) % 8);
			found_and_repaired(&w, s, &damaged, at);
			/* Of a shard's end only its last 32 bytes, the file's SHA-256, are of no use here; of the data what the lost one has not. */
			never_mixed_in(&w, s, &damaged, at, at >= (s >= w.k ? w.shard[s].size - 32 : (w.shard[s == 0].size + STRIPE - 1) / STRIPE * STRIPE));
			memory_dispose(&damaged);
			flips++;
		}
	assert_true(flips > 1000);
	world_dispose(&w);
}

static void a_flipped_bit_with_one_parity(void **state)
{
	every_byte_flipped(1);
}

static void a_flipped_bit_with_two(void **state)
{
	every_byte_flipped(2);
}

/* Every length but the right one. */
static void cut_short_or_too_long(void **state)
{
	struct parity_world w;

	world_make(&w, 3, 2, STRIPE, length, 3);
	for (unsigned s = 0; s < 5; s++)
		for (size_t size = 0; size < w.shard[s].size + 70; size += size % 7 + 1) {
			struct memory damaged;

			if (size == w.shard[s].size)
				continue;
			copy(&damaged, &w.shard[s]);
			if (size > damaged.size) {
				damaged.data = realloc(damaged.data, size);
				assert_non_null(damaged.data);
				memset(damaged.data + damaged.size, 0, size - damaged.size);
			}
			damaged.size = size;
			found_and_repaired(&w, s, &damaged, size);
			memory_dispose(&damaged);
		}
	world_dispose(&w);
}

/* Whole, but not what it should be: another set's, another index's, another file. */
static void in_anothers_place(void **state)
{
	struct parity_world w, other, same;
	bool rebuildable;
	struct fm_error err;

	world_make(&w, 3, 2, STRIPE, length, 4);
	world_make(&other, 3, 2, STRIPE, length, 5);
	world_make(&same, 3, 2, STRIPE, length, 4); /* the same data, made again */
	for (unsigned s = 0; s < 5; s++)
		for (unsigned i = 0; i < 5; i++) {
			struct memory *wrong[] = { &w.shard[i], &other.shard[i], &same.shard[i] };

			for (unsigned n = 0; n < 3; n++) {
				struct world_try t = { .wanted = { 1u << s, 0 } };

				if ((n == 0 && i == s) || (n == 2 && s < 3 && i == s)) /* that is the right one */
					continue;
				t.other[s] = wrong[n];
				assert_ok(world_verify(&w, &t, &report, &rebuildable, &err), err);
				assert_int_equal(report.shard[s].state, PARITY_DAMAGED);
				assert_non_null(strstr(report.shard[s].text, wrong[n]->name));
				assert_true(rebuildable);
				assert_ok(world_rebuild(&w, &t, &report, &err), err);
			}
		}
	world_dispose(&w);
	world_dispose(&other);
	world_dispose(&same);
}

static void what_it_says(void **state)
{
	struct world_try t = { .wanted = { 1, 0 }, .lost = { 1, 0 } };
	struct parity_world w, other, wider;
	struct fm_error err;

	world_make(&w, 3, 2, STRIPE, length, 6);
	world_make(&other, 3, 2, STRIPE, length, 7);
	world_make(&wider, 2, 2, STRIPE, length, 7);
	t.other[3] = &other.shard[3];
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	assert_non_null(strstr(report.shard[3].text, other.made.id));
	assert_non_null(strstr(report.shard[3].text, w.made.id));
	t.other[3] = &w.shard[4];
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	assert_non_null(strstr(report.shard[3].text, "is shard 4 of its set, not 3"));
	/* Which set is not said: then two that differ are not decided between. */
	t.any_id = true;
	t.other[3] = &other.shard[3];
	assert_code(world_rebuild(&w, &t, &report, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "not of the same set"));
	t.other[3] = &wider.shard[3];
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	assert_non_null(strstr(report.shard[3].text, "2 data and 2 parity shards"));
	t.other[3] = &w.shard[0];
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	assert_non_null(strstr(report.shard[3].text, "is no parity shard"));
	world_dispose(&w);
	world_dispose(&other);
	world_dispose(&wider);
}

static void a_later_version_is_not_damage(void **state)
{
	struct world_try t = { .lost = { 1, 0 }, .wanted = { 1, 0 } };
	struct parity_world w;
	struct memory later;
	struct fm_error err;

	world_make(&w, 3, 1, STRIPE, length, 8);
	copy(&later, &w.shard[3]);
	later.data[8] = 2;
	t.other[3] = &later;
	assert_code(world_rebuild(&w, &t, &report, &err), err, FM_INCOMPATIBLE);
	assert_non_null(strstr(err.text, "version 2"));
	memory_dispose(&later);
	world_dispose(&w);
}

/* Many flips everywhere: more than can be, or not; right, or refused. */
static void random_damage(void **state)
{
	uint64_t seed = 20261123;
	unsigned right = 0, refused = 0;
	struct parity_world w;

	world_make(&w, 3, 2, STRIPE, length, 9);
	for (unsigned n = 0; n < 3000; n++) {
		struct world_try t = { .wanted = { fixture_random(&seed) % 32, 0 }, .known = n % 2 };
		struct memory damaged[5];
		struct fm_error err;

		for (unsigned s = 0; s < 5; s++) {
			copy(&damaged[s], &w.shard[s]);
			t.other[s] = &damaged[s];
			for (unsigned flips = (unsigned)(fixture_random(&seed) % 3); flips-- > 0;) {
				uint64_t r = fixture_random(&seed);

				damaged[s].data[(r >> 8) % damaged[s].size] ^= (unsigned char)(1u << r % 8);
			}
		}
		if (world_rebuild(&w, &t, &report, &err) == 0) {
			right++;
		} else {
			refused++;
			assert_int_equal(err.code == FM_CORRUPT || err.code == FM_INCOMPATIBLE, 1);
		}
		for (unsigned s = 0; s < 5; s++)
			memory_dispose(&damaged[s]);
	}
	assert_true(right > 300 && refused > 300);
	world_dispose(&w);
}

/* No record of a stripe is readable: the data's SHA-256 has to do; and it does not where data are missing. */
static void a_stripe_without_checksums(void **state)
{
	struct parity_world w;

	world_make(&w, 3, 2, STRIPE, length, 10);
	for (unsigned bad = 0; bad < 4; bad++) {
		struct memory damaged[2], data;
		size_t head = 64 + 3 * 24, record = 48 + 8 * 5;
		struct world_try t = { .wanted = { 1u << 3 | 1u << 4, 0 } };
		struct fm_error err;
		bool rebuildable;

		for (unsigned j = 0; j < 3; j++)
			head += strlen(w.shard[j].name);
		for (unsigned i = 0; i < 2; i++) {
			copy(&damaged[i], &w.shard[3 + i]);
			damaged[i].data[head + bad * (record + STRIPE) + 5 + i] ^= 4;
			t.other[3 + i] = &damaged[i];
		}
		assert_ok(world_verify(&w, &t, &report, &rebuildable, &err), err);
		assert_true(rebuildable);
		is_named(&w, 3);
		is_named(&w, 4);
		assert_ok(world_rebuild(&w, &t, &report, &err), err);
		/* A data file is wrong anywhere: now it is needed whole. */
		copy(&data, &w.shard[0]);
		data.data[3 * STRIPE + 1] ^= 1;
		t.other[0] = &data;
		assert_code(world_rebuild(&w, &t, &report, &err), err, FM_CORRUPT);
		is_named(&w, 0);
		assert_ok(world_verify(&w, &t, &report, &rebuildable, &err), err);
		assert_false(rebuildable);
		is_named(&w, 0);
		memory_dispose(&data);
		memory_dispose(&damaged[0]);
		memory_dispose(&damaged[1]);
	}
	world_dispose(&w);
}

/* One more than m in one stripe is too many, in different ones not; a verification says which it is. */
static void verify_counts_by_stripe(void **state)
{
	struct parity_world w;

	world_make(&w, 3, 2, STRIPE, length, 11);
	for (unsigned same = 0; same < 2; same++) {
		struct memory damaged[3];
		struct world_try t = { .wanted = { 7, 0 } };
		struct fm_error err;
		bool rebuildable;

		for (unsigned s = 0; s < 3; s++) {
			copy(&damaged[s], &w.shard[s]);
			damaged[s].data[same ? 3 : (s % 2) * STRIPE + 3] ^= 1;
			t.other[s] = &damaged[s];
		}
		assert_ok(world_verify(&w, &t, &report, &rebuildable, &err), err);
		for (unsigned s = 0; s < 3; s++)
			is_named(&w, s);
		assert_int_equal(rebuildable, !same);
		assert_int_equal(world_rebuild(&w, &t, &report, &err), same ? -1 : 0);
		for (unsigned s = 0; s < 3; s++)
			memory_dispose(&damaged[s]);
	}
	world_dispose(&w);
}

/* A short file is lost, another is damaged where the short one has ended: that is one in each stripe. */
static void a_file_that_has_ended_is_not_missed(void **state)
{
	const size_t lengths[] = { 10 * STRIPE, 2 * STRIPE, 10 * STRIPE };
	struct world_try t = { .lost = { 1 << 1, 0 }, .wanted = { 1 << 0 | 1 << 1, 0 } };
	struct parity_world w;

	world_make(&w, 3, 1, STRIPE, lengths, 13);
	for (unsigned bad = 1; bad < 4; bad++) {
		struct memory damaged;
		struct fm_error err;
		bool rebuildable;

		copy(&damaged, &w.shard[0]);
		damaged.data[bad * STRIPE] ^= 2;
		t.other[0] = &damaged;
		assert_int_equal(world_rebuild(&w, &t, &report, &err), bad < 2 ? -1 : 0);
		is_named(&w, 0);
		assert_int_equal(report.shard[1].state, PARITY_LOST);
		assert_ok(world_verify(&w, &t, &report, &rebuildable, &err), err);
		assert_int_equal(rebuildable, bad >= 2);
		memory_dispose(&damaged);
	}
	world_dispose(&w);
}

/*
 * A writer's fault, no damage: the parity is wrong, and its checksums agree with it; at worst the data's as well. Nothing
 * but a comparison of what comes out can find that.
 */
static void made_wrong(struct parity_world *w, bool data_too)
{
	struct memory wrong = { .name = "wrong" };
	struct parity_source source = memory_source(&w->shard[2]);
	struct parity_sink sink = memory_sink(&wrong);
	struct world_try t = { .lost = { 1, 0 }, .wanted = { 1, 0 } };
	struct parity_meta meta;
	struct shard_writer writer;
	struct fm_error err;
	uint8_t sum[32];
	char hex[65];

	assert_ok(shard_open(&source, 2, 2, 1, NULL, &meta, sum, &err), err);
	assert_ok(shard_writer_begin(&writer, &sink, &meta, 2, &err), err);
	for (uint64_t n = 0; n < meta.stripes; n++) {
		unsigned char payload[STRIPE], data[STRIPE];
		size_t size = meta_bytes(&meta, 2, n), has = meta_bytes(&meta, 0, n);
		uint64_t checksum[3];

		memcpy(payload, w->shard[2].data + shard_record_offset(&meta, n) + shard_record_size(&meta), size);
		assert_ok(shard_checksums(&source, &meta, 2, n, checksum, &err), err);
		payload[3] ^= n == 1;
		checksum[2] = XXH3_64bits(payload, size);
		memcpy(data, w->shard[0].data + n * STRIPE, has);
		data[3] ^= n == 1;
		if (data_too)
			checksum[0] = XXH3_64bits(data, has);
		assert_ok(shard_writer_stripe(&writer, &meta, n, checksum, payload, &err), err);
	}
	assert_ok(shard_writer_end(&writer, &meta, hex, NULL, &err), err);
	shard_writer_dispose(&writer);
	t.other[2] = &wrong;
	assert_code(world_rebuild(w, &t, &report, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, data_too ? "SHA-256" : "made wrong"));
	memory_dispose(&wrong);
}

static void a_set_that_was_made_wrong(void **state)
{
	struct parity_world w;

	world_make(&w, 2, 1, STRIPE, length, 12);
	made_wrong(&w, false);
	made_wrong(&w, true);
	world_dispose(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flipped_bit_with_one_parity),
		cmocka_unit_test(a_flipped_bit_with_two),
		cmocka_unit_test(cut_short_or_too_long),
		cmocka_unit_test(in_anothers_place),
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(a_later_version_is_not_damage),
		cmocka_unit_test(random_damage),
		cmocka_unit_test(a_stripe_without_checksums),
		cmocka_unit_test(verify_counts_by_stripe),
		cmocka_unit_test(a_file_that_has_ended_is_not_missed),
		cmocka_unit_test(a_set_that_was_made_wrong),
	};

	return cmocka_run_group_tests_name("parity damage", tests, NULL, NULL);
}
