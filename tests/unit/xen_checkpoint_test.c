/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_checkpoint_test.c - promise 1 of the Xen driver where it saves what has changed: a snapshot that it says is saved has each page
 * as it was at the cut, whatever others do to the domain and whenever; and the domain runs afterwards.  On a Xen that is
 * none (xen_fake.h), so that everything can happen at every tick.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/hypervisor/xen.h"
#include "agent/xenstream/fold.h"
#include "common/log.h"
#include "tests/unit/xen_fake.h"

#define SNAPSHOTS 3
#define NEVER 1000000u

/* One call of save(): what it was told to do, and what came of it. */
struct run {
	int fd;              /* a file: what of the stream has come */
	off_t parsed;
	struct xenstream_fold *fold;
	struct xenstream_parser *parser;
	uint32_t kept[FAKE_FRAMES];     /* by the fold */
	uint32_t at_cut[FAKE_FRAMES];
	unsigned wanted, saved, tracked; /* snapshots */
	unsigned holds, abort_at;       /* the hold at which to abort; 0: none */
	bool armed, stuck, next_called;
	int result;
	struct fm_error err;
};

static int keep(void *data, uint64_t pfn, const void *page, uint64_t *ref_r, struct fm_error *err)
{
	struct run *r = data;

	r->kept[pfn] = fake_content(page);
	*ref_r = pfn;
	return 0;
}

static void parse_rest(struct run *r)
{
	off_t size = lseek(r->fd, 0, SEEK_END);
	char *bytes = malloc((size_t)(size - r->parsed) + 1);
	struct fm_error err;

	assert_int_equal(pread(r->fd, bytes, (size_t)(size - r->parsed), r->parsed), size - r->parsed);
	if (xenstream_parse(r->parser, bytes, (size_t)(size - r->parsed), &err) < 0)
		fail_msg("%s", err.text);
	free(bytes);
	r->parsed = size;
}

/* It is told to be saved: is it what it was? */
static void expect_exact(struct run *r)
{
	parse_rest(r);
	assert_true(xenstream_fold_whole(r->fold));
	for (unsigned i = 0; i < FAKE_PAGES; i++)
		if (r->kept[i] != r->at_cut[i])
			fail_msg("deed %d at tick %u: page %u of snapshot %u is %u, was %u", fake.deed, fake.at, i, r->saved + 1,
				 r->kept[i], r->at_cut[i]);
	assert_int_equal(xenstream_fold_counts(r->fold).kept, FAKE_PAGES + 1);
}

static void on_armed(bool live, uint64_t raw_bytes, void *data)
{
	struct run *r = data;

	assert_false(r->armed);
	r->armed = true;
}

static enum save_verdict on_hold(int timeout_ms, void *data)
{
	struct run *r = data;

	if (++r->holds == r->abort_at)
		return SAVE_ABORT;
	if (!r->armed || fake.suspended || r->holds % 4)
		return SAVE_HOLD;
	return r->holds % 8 ? SAVE_FREEZE : SAVE_CUT;
}

static void on_frozen(const struct save_cut *cut, void *data)
{
}

static enum save_verdict on_cut(const struct save_cut *cut, void *data)
{
	struct run *r = data;

	assert_true(fake.suspended);
	assert_true(cut->tracked == (r->saved > 0));
	memcpy(r->at_cut, fake.memory, sizeof(r->at_cut));
	return SAVE_RELEASE;
}

static void on_released(double stopped_ms, double blackout_ms, void *data)
{
	assert_false(fake.suspended);
}

static bool on_next(int *fd_r, void *data)
{
	struct run *r = data;

	expect_exact(r);
	r->next_called = true;
	r->tracked += r->saved > 0;
	r->saved++;
	r->armed = false;
	*fd_r = r->fd;
	return r->saved < r->wanted;
}

static void on_stuck(const char *why, void *data)
{
	((struct run *)data)->stuck = true;
}

static bool on_has_disk(const char *vdev, void *data)
{
	(void)vdev, (void)data;
	return false; /* it has none */
}

/* The domain is saved again and again, until so many, or it ends. */
static void save(struct run *r, unsigned wanted)
{
	const struct save_calls calls = { on_armed, on_hold, on_frozen, on_cut, on_released, on_next, on_stuck, on_has_disk, r };
	const struct xenstream_keeper keeper = { .keep = keep, .data = r };
	struct hypervisor hv = { 0 };

	r->wanted = wanted;
	r->fd = memfd_create("stream", MFD_CLOEXEC);
	r->fold = xenstream_fold_create(&keeper, 1 << 24, &r->err);
	r->parser = xenstream_parser_create(&xenstream_fold_calls, r->fold, &r->err);
	r->result = xen_save(&hv, "fm-1-0", r->fd, &calls, &r->err);
	if (r->result == 0 && !r->next_called)
		expect_exact(r);
	assert_false(fake.suspended);
	assert_false(r->stuck);
	if (fake.log_on)
		fail_msg("deed %d at tick %u: the log is left on at %u", fake.deed, fake.at, fake.tick);
	xenstream_parser_destroy(r->parser);
	xenstream_fold_destroy(r->fold);
	close(r->fd);
}

static void test_each_is_exact(void **state)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct run r = { 0 };

		fake_reset(seed, seed % 3 * 20);
		save(&r, 6);
		assert_int_equal(r.result, 0);
		assert_int_equal(r.saved, 6);
		assert_int_equal(r.tracked, 5);
		assert_int_equal(fake.resumed, 6);
	}
}

/* How many ticks an undisturbed run takes. */
static unsigned length(unsigned seed, unsigned writes)
{
	struct run r = { 0 };

	fake_reset(seed, writes);
	save(&r, SNAPSHOTS);
	assert_int_equal(r.saved, SNAPSHOTS);
	return fake.tick;
}

/* Every deed at every tick. What is told to be saved is compared by on_next(); here: that it was noticed, and not always. */
static void test_whatever_others_do(void **state)
{
	unsigned ticks = length(5, 6), unnoticed = 0, again = 0, failed = 0;

	for (int deed = FAKE_OFF; deed < FAKE_DEEDS; deed++) {
		for (unsigned at = 1; at <= ticks; at++) {
			struct run r = { 0 };

			fake_reset(5, 6);
			fake.at = at;
			fake.deed = (enum fake_deed)deed;
			save(&r, SNAPSHOTS);
			again += r.result == SAVE_AGAIN;
			failed += r.result == -1;
			unnoticed += r.result == 0;
			if (r.result == SAVE_AGAIN)
				assert_true(r.saved > 0 && !r.armed);
			if (r.result == -1)
				assert_true(r.err.code == FM_FAILED && *r.err.text);
		}
	}
	assert_true(again > 20 && failed > 100);
	assert_true(unnoticed < ticks * (FAKE_DEEDS - 1) / 2);
	print_message("%u ticks, %d deeds: %u whole instead, %u failed, %u without a trace\n", ticks, FAKE_DEEDS - 1, again,
		      failed, unnoticed);
}

/* Other guests, other ticks. */
static void test_at_random(void **state)
{
	for (unsigned seed = 1; seed <= 400; seed++) {
		struct run r = { 0 };

		fake_reset(seed, seed % 12);
		fake.at = 1 + seed * 7919 % 260;
		fake.deed = (enum fake_deed)(FAKE_OFF + seed % 3);
		save(&r, 2 + seed % 3);
	}
}

static void test_given_up(void **state)
{
	for (unsigned at = 1; at <= 20; at++) {
		struct run r = { .abort_at = at };

		fake_reset(3, 5);
		save(&r, SNAPSHOTS);
		assert_int_equal(r.result, r.saved == SNAPSHOTS ? 0 : 1);
		assert_false(fake.log_on);
	}
}

/* A guest that writes to the canary itself: no tracking, but a whole snapshot with the end of its stream. */
static void test_no_canary(void **state)
{
	struct run r = { 0 };

	fake_reset(2, 5);
	fake.canary_busy = true;
	save(&r, SNAPSHOTS);
	assert_int_equal(r.result, 0);
	assert_false(r.next_called);
	assert_int_equal(fake.resumed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_exact),	   cmocka_unit_test(test_whatever_others_do),
		cmocka_unit_test(test_at_random),	   cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_no_canary),
	};

	fm_log_set_level(FM_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
