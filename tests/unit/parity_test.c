/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_test - data files through shards and back: every pattern of losses of small sets, chosen ones of large; files
 * of all kinds of lengths; more lost than can be; sources and sinks that fail; what the caller is told. That nothing
 * wrong is committed is world_rebuild()'s to see.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/parity/file.h"
#include "common/auth.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/parity_fixture.h"

#define STRIPE 128u

static struct parity_report report;

/* ---- losses ---- */

/* The error has the names of the data that are lost. */
static void names_the_lost(const struct parity_world *w, uint64_t lost, const struct fm_error *err)
{
	for (unsigned i = 0; i < w->k; i++)
		if (lost >> i & 1)
			assert_non_null(strstr(err->text, w->shard[i].name));
}

/* Without these, and all of them wanted: they are back, or too many were lost. */
static void without(const struct parity_world *w, uint64_t lost)
{
	struct world_try t = { .lost = { lost, 0 }, .wanted = { lost, 0 } };
	bool all_parity = lost >> w->k == (1u << w->m) - 1;
	struct fm_error err;

	if (all_parity) /* nobody says what the data are */
		assert_code(world_rebuild(w, &t, &report, &err), err, FM_CORRUPT);
	t.known = all_parity;
	if (__builtin_popcountll(lost) > (int)w->m) {
		assert_code(world_rebuild(w, &t, &report, &err), err, FM_CORRUPT);
		names_the_lost(w, lost, &err);
	} else if (world_rebuild(w, &t, &report, &err) < 0) {
		fail_msg("%u+%u without %#llx: %s", w->k, w->m, (unsigned long long)lost, err.text);
	}
	for (unsigned i = 0; i < w->k + w->m; i++)
		assert_int_equal(report.shard[i].state, lost >> i & 1 ? PARITY_LOST : PARITY_WHOLE);
}

static void every_pattern_of_small_sets(void **state)
{
	/* All have bytes in all stripes: what has ended counts as there. */
	const size_t length[] = { 3 * STRIPE + 5, 3 * STRIPE + 70, 3 * STRIPE + 1, 4 * STRIPE, 3 * STRIPE + 17, 4 * STRIPE - 1 };
	unsigned patterns = 0;

	for (unsigned k = 1; k <= 6; k++)
		for (unsigned m = 1; m <= 3; m++) {
			struct parity_world w;

			world_make(&w, k, m, STRIPE, length, k * 10 + m);
			for (uint64_t lost = 1; lost < 1u << (k + m); lost++, patterns++)
				without(&w, lost);
			world_dispose(&w);
		}
	assert_int_equal(patterns, 126 * (2 + 4 + 8) - 18); /* the sum of 2^(k+m) - 1 */
}

static void every_length(void **state)
{
	static const size_t lengths[] = { 0, 1, STRIPE - 1, STRIPE, STRIPE + 1, 3 * STRIPE - 1, 3 * STRIPE, 3 * STRIPE + 1 };
	const unsigned count = sizeof(lengths) / sizeof(*lengths);

	for (unsigned a = 0; a < count; a++)
		for (unsigned b = 0; b < count; b++)
			for (unsigned m = 1; m <= 2; m++) {
				const size_t length[] = { lengths[a], lengths[b], lengths[(a + b) % count] };
				struct parity_world w;

				world_make(&w, 3, m, STRIPE, length, a * 8 + b);
				for (uint64_t lost = 1; lost < 1u << (3 + m); lost++) {
					struct world_try t = { .lost = { lost, 0 }, .wanted = { lost, 0 }, .known = true };
					struct fm_error err;

					if (__builtin_popcountll(lost) > (int)m)
						continue;
					assert_ok(world_rebuild(&w, &t, &report, &err), err);
				}
				world_dispose(&w);
			}
}

/* The parity shards of k data files have the length of the longest, and little more. */
static void padding_is_not_stored(void **state)
{
	const size_t length[] = { 10 * STRIPE + 3, 1, 0, 5 * STRIPE };
	struct parity_world w;

	world_make(&w, 4, 2, STRIPE, length, 1);
	for (unsigned i = 4; i < 6; i++) {
		size_t records = 11 * (48 + 8 * 6), head = 64 + 4 * 24, names = 0, tail = 4 * 32 + 80;

		for (unsigned j = 0; j < 4; j++)
			names += strlen(w.shard[j].name);
		assert_int_equal(w.shard[i].size, 10 * STRIPE + 3 + records + head + names + tail);
	}
	world_dispose(&w);
}

/* Sets of all sizes, random lengths, as many lost as may be: any of them. */
static void large_sets(void **state)
{
	uint64_t seed = 20261123;

	for (unsigned n = 0; n < 150; n++) {
		unsigned k = n == 0 ? PARITY_K_MAX : 1 + (unsigned)(fixture_random(&seed) % PARITY_K_MAX);
		unsigned m = n == 0 ? PARITY_M_MAX : 1 + (unsigned)(fixture_random(&seed) % PARITY_M_MAX);
		struct world_try t = { .known = true };
		size_t length[PARITY_K_MAX];
		struct parity_world w;
		struct fm_error err;

		for (unsigned i = 0; i < k; i++)
			length[i] = fixture_random(&seed) % (6 * STRIPE);
		world_make(&w, k, m, STRIPE, length, n);
		for (unsigned lost = 0; lost < m;) {
			unsigned i = (unsigned)(fixture_random(&seed) % (k + m));

			lost += !bit_is(t.lost, i);
			bit_set(t.lost, i);
			bit_set(t.wanted, i);
		}
		assert_ok(world_rebuild(&w, &t, &report, &err), err);
		world_dispose(&w);
	}
}

/* A shard that is wanted without being lost, and one that is lost without being wanted. */
static void what_is_wanted_is_made(void **state)
{
	const size_t length[] = { 500, 700, 300, 1000 };
	struct parity_world w;
	struct fm_error err;

	world_make(&w, 4, 2, STRIPE, length, 3);
	for (uint64_t wanted = 1; wanted < 64; wanted++) {
		assert_ok(world_rebuild(&w, &(struct world_try){ .wanted = { wanted, 0 } }, &report, &err), err);
		assert_ok(world_rebuild(&w, &(struct world_try){ .wanted = { wanted, 0 }, .lost = { 1 << 1 | 1 << 4, 0 } },
					&report, &err), err);
	}
	world_dispose(&w);
}

/* A short file's bytes do not need the stripes in which it has none. */
static void only_what_is_needed_is_read(void **state)
{
	const size_t length[] = { 100 * STRIPE, 2 * STRIPE, 100 * STRIPE };
	struct world_try t = { .lost = { 1 << 1, 0 }, .wanted = { 1 << 1, 0 } };
	struct parity_world w;
	struct fm_error err;

	world_make(&w, 3, 1, STRIPE, length, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(w.shard[i].largest <= 1024); /* never more at once than a stripe, or a header */
		w.shard[i].read = 0;
	}
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	assert_int_equal(w.shard[0].read, 2 * STRIPE);
	assert_int_equal(w.shard[2].read, 2 * STRIPE);
	assert_true(w.shard[3].read < 2 * STRIPE + 1200);
	assert_true(w.shard[0].hinted >= 2 * STRIPE);
	world_dispose(&w);
}

/* ---- what cannot be ---- */

static void without_parity_nothing_is_guessed(void **state)
{
	const size_t length[] = { 500, 700 };
	struct world_try t = { .lost = { 1 << 2, 0 }, .wanted = { 1 << 2, 0 } };
	struct parity_world w;
	struct fm_error err;
	bool rebuildable;

	world_make(&w, 2, 1, STRIPE, length, 5);
	assert_code(world_rebuild(&w, &t, &report, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w.made.id));
	assert_code(world_verify(&w, &t, &report, &rebuildable, &err), err, FM_CORRUPT);
	world_dispose(&w);
}

/* What is lost of a source while it is read: a stripe, or all that follows. */
static void a_source_that_fails_is_lost(void **state)
{
	static const enum fm_code codes[] = { FM_FAILED, FM_NOT_FOUND, FM_DENIED, FM_TIMEOUT };
	const size_t length[] = { 10 * STRIPE, 10 * STRIPE, 9 * STRIPE + 1 };

	for (unsigned c = 0; c < 4; c++)
		for (unsigned s = 1; s < 5; s++)
			for (long call = 1; call <= 10; call++) {
				struct world_try t = { .lost = { 1, 0 }, .wanted = { 1, 0 } };
				struct parity_world w;
				struct fm_error err;

				world_make(&w, 3, 2, STRIPE, length, 6);
				w.shard[s].read_fails = call;
				w.shard[s].code = codes[c];
				if (world_rebuild(&w, &t, &report, &err) < 0)
					fail_msg("shard %u's read %ld: %s", s, call, err.text);
				if (w.shard[s].read_fails == 0) {
					enum parity_state expected = codes[c] == FM_FAILED ? PARITY_DAMAGED : PARITY_LOST;

					assert_int_equal(report.shard[s].state, expected);
					assert_non_null(strstr(report.shard[s].text, w.shard[s].name));
				}
				world_dispose(&w);
			}
}

/* A node that does not answer is not waited for at every stripe. */
static void what_does_not_answer_is_not_asked_again(void **state)
{
	const size_t length[] = { 10 * STRIPE, 10 * STRIPE, 10 * STRIPE };
	struct world_try t = { .lost = { 1, 0 }, .wanted = { 1, 0 } };

	for (unsigned s = 1; s < 4; s++) {
		struct parity_world w;
		struct fm_error err;

		world_make(&w, 3, 2, STRIPE, length, 12);
		w.shard[s].reads = 0;
		w.shard[s].read_fails = s < 3 ? 2 : 5; /* of parity the first three are header, names, end */
		w.shard[s].code = FM_TIMEOUT;
		assert_ok(world_rebuild(&w, &t, &report, &err), err);
		assert_int_equal(w.shard[s].reads, s < 3 ? 2 : 5);
		world_dispose(&w);
	}
}

/* Two more fail in the same stripe, or in different ones: that is another matter. */
static void losses_are_counted_by_stripe(void **state)
{
	const size_t length[] = { 10 * STRIPE, 10 * STRIPE, 10 * STRIPE };
	struct world_try t = { .lost = { 1, 0 }, .wanted = { 1, 0 } };
	struct parity_world w;
	struct fm_error err;

	world_make(&w, 3, 2, STRIPE, length, 7);
	w.shard[1].read_fails = 3;
	w.shard[2].read_fails = 7;
	w.shard[1].code = w.shard[2].code = FM_FAILED;
	assert_ok(world_rebuild(&w, &t, &report, &err), err);
	w.shard[1].read_fails = w.shard[2].read_fails = 5;
	assert_code(world_rebuild(&w, &t, &report, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "stripe 4"));
	assert_non_null(strstr(err.text, "3 of 5"));
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(strstr(err.text, w.shard[i].name));
	assert_null(strstr(err.text, w.shard[3].name));
	world_dispose(&w);
}

static void a_sink_that_fails_ends_all(void **state)
{
	const size_t length[] = { 10 * STRIPE, 3 * STRIPE };

	for (unsigned which = 0; which < 2; which++)
		for (long call = 0; call <= 30; call++) {
			struct memory data[2] = { { .name = "a" }, { .name = "b" } };
			struct memory out[2] = { { .name = "out-0" }, { .name = "out-1" } };
			struct parity_source source[2];
			struct parity_sink sink[2];
			struct parity_data what[2];
			struct parity_made made;
			struct fm_error err;
			unsigned char bytes[10 * STRIPE] = { 1 };

			for (unsigned i = 0; i < 2; i++) {
				memory_set(&data[i], bytes, length[i]);
				source[i] = memory_source(&data[i]);
				sink[i] = memory_sink(&out[i]);
				what[i] = (struct parity_data){ data[i].name, 0, length[i], NULL };
			}
			out[which].write_fails = call;
			out[which].commit_fails = call == 0;
			out[which].code = FM_FAILED;
			/* Head, ten records and payloads, the end in two. */
			if (call <= 23) {
				assert_code(parity_make(&(struct parity_spec){ 2, 2, STRIPE, what }, source, sink, NULL, &made, &err), err,
					    FM_FAILED);
				assert_non_null(strstr(err.text, out[which].name));
				assert_int_equal(out[which].commits, 0);
				assert_int_equal(out[0].commits, call == 0 && which == 1);
			} else {
				assert_ok(parity_make(&(struct parity_spec){ 2, 2, STRIPE, what }, source, sink, NULL, &made, &err), err);
			}
			for (unsigned i = 0; i < 2; i++) {
				assert_int_equal(out[i].commits + out[i].aborts, 1);
				memory_dispose(&out[i]);
				memory_dispose(&data[i]);
			}
		}
}

static int make_one(const struct parity_spec *spec, struct memory *data, struct memory *out, struct fm_error *err)
{
	struct parity_source source[PARITY_K_MAX];
	struct parity_sink sink[PARITY_M_MAX];
	struct parity_made made;
	int rc;

	for (unsigned i = 0; i < 2; i++)
		source[i] = memory_source(&data[i]);
	memset(out, 0, sizeof(*out));
	sink[0] = memory_sink(out);
	rc = parity_make(spec, source, sink, NULL, &made, err);
	assert_int_equal(out->commits + out->aborts, 1);
	assert_int_equal(out->commits, rc == 0);
	memory_dispose(out);
	return rc;
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct memory file[2] = { { .name = "node1/a" }, { .name = "node2/b" } }, out;
	struct parity_data data[2] = { { "node1/a", 0, 100, NULL }, { "node2/b", 0, 50, NULL } };
	struct parity_spec spec = { 2, 1, STRIPE, data };
	unsigned char bytes[100] = { 7 };
	char long_name[400], sum[65];
	struct fm_error err;

	memory_set(&file[0], bytes, 100);
	memory_set(&file[1], bytes, 50);
	assert_ok(make_one(&spec, file, &out, &err), err);
	data[1].length = 51;
	assert_code(make_one(&spec, file, &out, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "node2/b is 50 bytes long, not 51"));
	data[1].length = 50;

	fm_sha256_hex(bytes, 100, sum);
	data[0].sha256 = sum;
	assert_ok(make_one(&spec, file, &out, &err), err);
	sum[9] = sum[9] == '0' ? '1' : '0';
	assert_code(make_one(&spec, file, &out, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, "node1/a is damaged"));
	data[0].sha256 = "x";
	assert_code(make_one(&spec, file, &out, &err), err, FM_USAGE);
	data[0].sha256 = NULL;

	for (unsigned i = 0; i < 5; i++) {
		static const uint32_t wrong[] = { 1, 63, 65, PARITY_STRIPE_MAX + 64, 100 };

		spec.stripe = wrong[i];
		assert_code(make_one(&spec, file, &out, &err), err, FM_USAGE);
	}
	spec.stripe = 0; /* the default */
	assert_ok(make_one(&spec, file, &out, &err), err);
	memset(long_name, 'n', sizeof(long_name));
	long_name[PARITY_NAME_MAX + 1] = '\0';
	data[0].name = long_name;
	assert_code(make_one(&spec, file, &out, &err), err, FM_USAGE);
	long_name[PARITY_NAME_MAX] = '\0';
	assert_ok(make_one(&spec, file, &out, &err), err);
	data[0].name = "a\nb";
	assert_code(make_one(&spec, file, &out, &err), err, FM_USAGE);
	data[0].name = "";
	assert_code(make_one(&spec, file, &out, &err), err, FM_USAGE);
	memory_dispose(&file[0]);
	memory_dispose(&file[1]);
}

struct pace {
	uint64_t calls, stop;
};

static int step(void *arg, uint64_t done, uint64_t total, struct fm_error *err)
{
	struct pace *p = arg;

	assert_int_equal(done, p->calls * STRIPE);
	assert_true(done < total);
	return ++p->calls == p->stop ? fm_fail(err, FM_BUSY, "stopped") : 0;
}

static void the_caller_sets_the_pace(void **state)
{
	const size_t length[] = { 10 * STRIPE };
	struct parity_world w;

	world_make(&w, 1, 1, STRIPE, length, 8);
	for (uint64_t stop = 0; stop < 10; stop++) {
		struct memory out = { .name = "out" };
		struct parity_source source = memory_source(&w.shard[0]), parity = memory_source(&w.shard[1]);
		struct parity_sink sink = memory_sink(&out);
		const struct parity_source *all[2] = { NULL, &parity };
		const struct parity_sink *sinks[2] = { &sink, NULL };
		struct parity_shards shards = { 1, 1, NULL, NULL, all };
		struct parity_data data = { "x", 0, 10 * STRIPE, NULL };
		struct pace p = { 0, stop };
		struct parity_pace pace = { step, &p };
		struct parity_made made;
		bool rebuildable;
		struct fm_error err;
		int rc = parity_make(&(struct parity_spec){ 1, 1, STRIPE, &data }, &source, &sink, &pace, &made, &err);

		assert_int_equal(rc, stop ? -1 : 0);
		assert_int_equal(p.calls, stop ? stop : 10);
		assert_int_equal(out.aborts, stop != 0);
		memory_dispose(&out);
		out = (struct memory){ .name = "out" };
		p.calls = 0;
		assert_int_equal(parity_rebuild(&shards, sinks, &pace, &report, &err), stop ? -1 : 0);
		assert_int_equal(out.aborts, stop != 0);
		p.calls = 0;
		assert_int_equal(parity_verify(&shards, &pace, &report, &rebuildable, &err), stop ? -1 : 0);
		memory_dispose(&out);
	}
	world_dispose(&w);
}

/* ---- what is said ---- */

static void a_shard_knows_its_set(void **state)
{
	const size_t length[] = { 300, 0, 1000 };
	struct parity_source source[2];
	const struct parity_source *all[5] = { NULL };
	struct parity_about about;
	struct parity_world w;
	struct fm_error err;

	world_make(&w, 3, 2, STRIPE, length, 9);
	source[1] = memory_source(&w.shard[4]);
	all[4] = &source[1];
	assert_ok(parity_about(&(struct parity_shards){ 3, 2, NULL, NULL, all }, &about, &err), err);
	assert_string_equal(about.id, w.made.id);
	assert_int_equal(about.stripe, STRIPE);
	for (unsigned i = 0; i < 3; i++) {
		char sum[65];

		fm_sha256_hex(w.shard[i].data, w.shard[i].size, sum);
		assert_string_equal(about.data[i].sha256, sum);
		assert_string_equal(w.made.data_sha256[i], sum);
		assert_string_equal(about.data[i].name, w.shard[i].name);
		assert_int_equal(about.data[i].length, length[i]);
		assert_int_equal(about.data[i].offset, 4096 * i);
	}
	parity_about_dispose(&about, 3);
	for (unsigned i = 0; i < 2; i++) {
		char sum[65];

		fm_sha256_hex(w.shard[3 + i].data, w.shard[3 + i].size, sum);
		assert_string_equal(w.made.shard[i].sha256, sum);
	}
	world_dispose(&w);
}

/* ---- files of this machine ---- */

/* One part of the object: a copy of it is made in SHARD, and from that it is rebuilt into sink. */
static void part_there_and_back(const char *object, const char *shard, uint64_t offset, uint64_t length,
				const struct parity_sink *sink)
{
	struct parity_data data = { "object", offset, length, NULL };
	struct parity_source source;
	const struct parity_source *all[2] = { NULL, &source };
	const struct parity_sink *sinks[2] = { sink, NULL };
	struct parity_made made;
	struct parity_sink shard_sink;
	struct fm_error err;
	struct parity_in *in = parity_in_open(object, offset, length, &source, &err);
	struct parity_out *out = parity_out_create(shard, &err);

	assert_non_null(in);
	assert_non_null(out);
	parity_out_whole(out, &shard_sink);
	assert_ok(parity_make(&(struct parity_spec){ 1, 1, 4096, &data }, &source, &shard_sink, NULL, &made, &err), err);
	parity_out_close(out);
	parity_in_close(in);
	in = parity_in_open(shard, 0, PARITY_TO_END, &source, &err);
	assert_non_null(in);
	assert_ok(parity_rebuild(&(struct parity_shards){ 1, 1, made.id, NULL, all }, sinks, NULL, &report, &err), err);
	parity_in_close(in);
}

/* An object that has parts in two sets: rebuilt from both into one file, which is not there before. */
static void an_object_of_two_parts(void **state)
{
	char *dir = fixture_store();
	FM_AUTO_FREE char *path = fm_format("%s/object", dir), *again = fm_format("%s/again", dir);
	FM_AUTO_FREE char *first = fm_format("%s/0.parity", dir), *second = fm_format("%s/1.parity", dir);
	unsigned char *bytes = fixture_state(100000, 4);
	struct parity_sink sink[2];
	struct parity_out *out;
	struct fm_error err;
	char *read;
	size_t size;

	assert_ok(fm_file_write(path, 0600, bytes, 100000, &err), err);
	out = parity_out_create(again, &err);
	assert_non_null(out);
	assert_null(parity_out_create(again, &err));
	assert_int_equal(err.code, FM_BUSY);
	assert_ok(parity_out_part(out, 0, &sink[0], &err), err);
	assert_ok(parity_out_part(out, 60000, &sink[1], &err), err);
	part_there_and_back(path, second, 60000, 40000, &sink[1]);
	assert_code(parity_out_finish(out, &err), err, FM_FAILED);
	assert_int_not_equal(access(again, F_OK), 0);
	part_there_and_back(path, first, 0, 60000, &sink[0]);
	assert_ok(parity_out_finish(out, &err), err);
	parity_out_close(out);
	read = fm_file_read(again, 1 << 20, &size, &err);
	assert_int_equal(size, 100000);
	assert_memory_equal(read, bytes, size);
	free(read);
	free(bytes);
	fixture_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pattern_of_small_sets),
		cmocka_unit_test(every_length),
		cmocka_unit_test(padding_is_not_stored),
		cmocka_unit_test(large_sets),
		cmocka_unit_test(what_is_wanted_is_made),
		cmocka_unit_test(only_what_is_needed_is_read),
		cmocka_unit_test(without_parity_nothing_is_guessed),
		cmocka_unit_test(a_source_that_fails_is_lost),
		cmocka_unit_test(what_does_not_answer_is_not_asked_again),
		cmocka_unit_test(losses_are_counted_by_stripe),
		cmocka_unit_test(a_sink_that_fails_ends_all),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(the_caller_sets_the_pace),
		cmocka_unit_test(a_shard_knows_its_set),
		cmocka_unit_test(an_object_of_two_parts),
	};

	return cmocka_run_group_tests_name("parity", tests, NULL, NULL);
}
