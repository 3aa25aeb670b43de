/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages_claims_test - writers that leave pages to each other: each is kept once, every map is whole, or there is none. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

#define WRITERS 4u
#define PAGES_EACH 6000u

/* What the owners know: who was first to ask. */
struct table {
	pthread_mutex_t lock;
	struct {
		uint8_t hash[32];
		unsigned who;
	} *entry;
	size_t count, asked;
	unsigned lie; /* one in so many is promised by nobody; 0: none */
};

struct asker {
	struct table *table;
	unsigned who;
};

struct world {
	char *store, *dir;
	struct table table;
};

static void ask(void *data, const uint8_t (*hash)[32], size_t count, bool *others_r)
{
	const struct asker *a = data;
	struct table *t = a->table;

	pthread_mutex_lock(&t->lock);
	t->asked += count;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		assert_false(others_r[i]);
		while (k < t->count && memcmp(t->entry[k].hash, hash[i], 32) != 0)
			k++;
		if (k == t->count) {
			t->entry = realloc(t->entry, ++t->count * sizeof(*t->entry));
			assert_non_null(t->entry);
			memcpy(t->entry[k].hash, hash[i], 32);
			t->entry[k].who = a->who;
		}
		others_r[i] = t->entry[k].who != a->who || (t->lie && hash[i][0] % t->lie == 0);
	}
	pthread_mutex_unlock(&t->lock);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->store = fixture_store();
	w->dir = fixture_path(w->store, "pages");
	pthread_mutex_init(&w->table.lock, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	free(w->table.entry);
	free(w->dir);
	fixture_remove(w->store);
	free(w);
	return 0;
}

/* One member at its work, by hand. */
struct member {
	struct asker asker;
	struct pages_claims claims;
	struct fixture_guest guest;
	struct pages_store *store;
	struct pages_writer *writer;
	char *map;
	size_t at;
};

/* Its memory: mostly as that of the others, in an order of its own. */
static void member_begin(struct world *w, struct member *m, unsigned who, unsigned pack_pages)
{
	struct pages_writer_options o = { .codec = PAGES_LZ4, .frame_pages = 16, .pack_pages = pack_pages };
	FM_AUTO_FREE char *name = NULL;
	struct fm_error err;

	memset(m, 0, sizeof(*m));
	m->asker = (struct asker){ &w->table, who };
	m->claims = (struct pages_claims){ ask, &m->asker };
	fixture_guest_init(&m->guest, PAGES_EACH, 7);
	for (size_t i = 0; i < PAGES_EACH; i++)
		if (i % 10 == who)
			m->guest.content[i] = (uint32_t)(1000000 * (who + 1) + i);
	o.claims = &m->claims;
	m->store = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_non_null(m->store);
	m->writer = pages_writer_create(m->store, &o, &err);
	if (!m->writer)
		fail_msg("%s", err.text);
	name = fm_format("%u.map", who);
	m->map = fixture_path(w->store, name);
}

/* The next pages; false: that was all. */
static bool member_put(struct member *m, size_t count)
{
	unsigned char page[4096];
	struct fm_error err;

	for (; count > 0 && m->at < PAGES_EACH; m->at++, count--) {
		uint64_t pfn = m->asker.who % 2 ? PAGES_EACH - 1 - m->at : m->at; /* forwards, backwards */

		if (m->guest.content[pfn] == FIXTURE_HOLE)
			continue;
		fixture_page(m->guest.content[pfn], page);
		assert_ok(pages_writer_put(m->writer, &pfn, page, 1, &err), err);
	}
	return m->at < PAGES_EACH;
}

static void member_end(struct member *m)
{
	pages_writer_abort(m->writer);
	pages_store_close(m->store);
	fixture_guest_dispose(&m->guest);
	free(m->map);
}

static int settle(struct member *m)
{
	struct fm_error err;
	int rc = pages_writer_settle(m->writer, &err);

	if (rc < 0)
		fail_msg("%s", err.text);
	return rc;
}

static void finish(struct member *m, struct pages_saved *saved_r)
{
	struct fm_error err;

	assert_ok(pages_writer_finish(m->writer, m->map, "skeleton", 8, saved_r, &err), err);
	m->writer = NULL;
}

static uint64_t pages_there(const struct world *w, struct pages_usage *usage_r)
{
	struct fm_error err;
	struct pages_store *s = pages_store_open(w->dir, JOB, fixture_key, &err);

	assert_ok(pages_store_scan(s, &err), err);
	pages_store_usage(s, usage_r);
	pages_store_close(s);
	assert_int_equal(usage_r->damaged, 0);
	return usage_r->pages;
}

static void put_all(struct member *m, unsigned count)
{
	for (bool more = true; more;) {
		more = false;
		for (unsigned i = 0; i < count; i++)
			more = member_put(&m[i], 500 + 100 * i) || more;
	}
}

/* All write at once; whoever is ready waits for the others; every page is there once, and every map is right. */
static void each_page_once(void **state)
{
	struct world *w = *state;
	struct member m[WRITERS];
	struct pages_saved saved;
	struct pages_usage usage;
	struct fm_error err;
	uint64_t others = 0;

	for (unsigned i = 0; i < WRITERS; i++)
		member_begin(w, &m[i], i, i % 2 ? 48 : 0);
	put_all(m, WRITERS);
	for (unsigned i = 0; i < WRITERS; i++)
		settle(&m[i]); /* not all are there before the last */
	for (unsigned i = 0; i < WRITERS; i++) {
		assert_int_equal(settle(&m[i]), 1);
		finish(&m[i], &saved);
		others += saved.others;
		assert_int_equal(saved.progress.put, saved.progress.zero + saved.progress.known + saved.progress.stored);
		assert_ok(fixture_check(w->dir, m[i].map, saved.map.sha256, &m[i].guest, &err), err);
	}
	assert_int_equal(pages_there(w, &usage), w->table.count);
	print_message("%u pages once; %u left to others; asked for %u\n", (unsigned)usage.pages, (unsigned)others,
		      (unsigned)w->table.asked);
	assert_true(others > PAGES_EACH);
	for (unsigned i = 0; i < WRITERS; i++)
		member_end(&m[i]);
}

/* Nobody sweeps while one of them waits, and nothing of what it waits for goes. */
static void no_sweep_between(void **state)
{
	struct world *w = *state;
	struct member m[2];
	struct pages_saved saved;
	struct fm_error err;
	struct pages_store *s;

	member_begin(w, &m[0], 0, 0);
	member_begin(w, &m[1], 1, 0);
	put_all(m, 2);
	settle(&m[1]);
	assert_int_equal(settle(&m[0]), 1);
	finish(&m[0], &saved);
	unlink(m[0].map); /* its snapshot is given up: no map needs its pages now */
	s = pages_store_open(w->dir, JOB, fixture_key, &err);
	assert_code(pages_sweep_begin(s, &err), err, FM_BUSY);
	pages_store_close(s);
	finish(&m[1], &saved); /* settles by itself */
	assert_ok(fixture_check(w->dir, m[1].map, NULL, &m[1].guest, &err), err);
	member_end(&m[0]);
	member_end(&m[1]);
}

/* Who has promised fails: then there is no map of the other, however long it looks. */
static void a_promise_not_kept(void **state)
{
	struct world *w = *state;
	struct member m[2];
	struct pages_saved saved;
	struct fm_error err;

	member_begin(w, &m[0], 0, 0);
	member_begin(w, &m[1], 1, 0);
	put_all(m, 2);
	while (member_put(&m[0], 1000))
		;
	pages_writer_abort(m[0].writer);
	m[0].writer = NULL;
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(settle(&m[1]), 0);
	assert_code(pages_writer_finish(m[1].writer, m[1].map, "", 0, &saved, &err), err, FM_FAILED);
	m[1].writer = NULL;
	assert_non_null(strstr(err.text, "that other members were to write"));
	assert_int_not_equal(access(m[1].map, F_OK), 0);
	member_end(&m[0]);
	member_end(&m[1]);
}

/* The owner is damaged, or lies: what nobody writes is missed, never left out of a map. */
static void a_lie(void **state)
{
	struct world *w = *state;
	struct member m;
	struct pages_saved saved;
	struct fm_error err;

	w->table.lie = 64;
	member_begin(w, &m, 0, 0);
	put_all(&m, 1);
	assert_int_equal(settle(&m), 0);
	assert_code(pages_writer_finish(m.writer, m.map, "", 0, &saved, &err), err, FM_FAILED);
	m.writer = NULL;
	assert_int_not_equal(access(m.map, F_OK), 0);
	member_end(&m);
	/* The same again, where these pages are there by now: another snapshot's. */
	w->table.lie = 0;
	member_begin(w, &m, 1, 0);
	w->table.count = 0;
	put_all(&m, 1);
	assert_int_equal(settle(&m), 1);
	finish(&m, &saved);
	assert_ok(fixture_check(w->dir, m.map, NULL, &m.guest, &err), err);
	member_end(&m);
}

/* A pack of the same pages had lost some: it is seen that it has been written again. */
static void a_pack_that_came_back(void **state)
{
	struct world *w = *state;
	struct fixture_save alone = { { .codec = PAGES_LZ4, .frame_pages = 16 }, NULL, NULL, NULL };
	FM_AUTO_FREE char *pack = NULL;
	struct member m[2];
	struct pages_saved saved;
	uint8_t none[PAGES_EACH / 8 + 1] = { 0 };
	struct fm_error err;
	uint64_t before, after;
	char id[65];

	member_begin(w, &m[0], 0, 0);
	pages_writer_abort(m[0].writer);
	alone.guest = &m[0].guest;
	assert_ok(fixture_save(w->dir, m[0].map, &alone, &saved, &err), err);
	assert_ok(pages_store_scan(m[0].store, &err), err);
	assert_true(pages_store_pack(m[0].store, 0, id));
	assert_ok(pages_sweep_begin(m[0].store, &err), err);
	assert_ok(pages_pack_rewrite(m[0].store, id, &(struct pages_rewrite_options){ .keep = none }, &before, &after, &err), err);
	pages_sweep_end(m[0].store);
	assert_code(fixture_check(w->dir, m[0].map, NULL, &m[0].guest, &err), err, FM_CORRUPT);
	unlink(m[0].map);
	pack = fm_format("%s/%s.pack", w->dir, id);
	assert_int_equal(fixture_size(pack), after);
	/* One opens it as it is, and leaves all it has in common to another, who writes the same pack. */
	m[0].writer = NULL;
	member_end(&m[0]);
	member_begin(w, &m[1], 1, 0);
	member_begin(w, &m[0], 0, 0);
	while (member_put(&m[0], 1000))
		;
	assert_int_equal(settle(&m[0]), 1);
	finish(&m[0], &saved);
	assert_true(fixture_size(pack) > after);
	while (member_put(&m[1], 1000))
		;
	for (unsigned i = 0; settle(&m[1]) == 0; i++)
		assert_true(i < 1000);
	finish(&m[1], &saved);
	assert_true(saved.others > 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(fixture_check(w->dir, m[i].map, NULL, &m[i].guest, &err), err);
		member_end(&m[i]);
	}
}

#define TESTS \
	cmocka_unit_test_setup_teardown(each_page_once, setup, teardown), \
	cmocka_unit_test_setup_teardown(no_sweep_between, setup, teardown), \
	cmocka_unit_test_setup_teardown(a_promise_not_kept, setup, teardown), \
	cmocka_unit_test_setup_teardown(a_lie, setup, teardown), \
	cmocka_unit_test_setup_teardown(a_pack_that_came_back, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TESTS };
	int failed = cmocka_run_group_tests_name("claims", tests, NULL, NULL);

	return failed + cmocka_run_group_tests_name("claims, encrypted", tests, fixture_encrypt, fixture_encrypt_end);
}
