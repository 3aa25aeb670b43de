/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sweep_fixture.c - see sweep_fixture.h. */
#include "config.h"

#include "tests/unit/sweep_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define GUEST_PAGES 300u

static const struct pages_writer_options options = { .codec = PAGES_LZ4, .frame_pages = 16, .pack_pages = 48 };

void sweep_world_make(struct sweep_world *w)
{
	w->store = fixture_store();
	w->pages = fm_format("%s/%u/pages", w->store, JOB);
	assert_non_null(w->pages);
}

void sweep_world_destroy(struct sweep_world *w)
{
	free(w->pages);
	fixture_remove(w->store);
}

char *sweep_world_path(const struct sweep_world *w, uint32_t n, const char *name)
{
	char *path = fm_format("%s/%u/%u/%s", w->store, JOB, n, name);

	assert_non_null(path);
	return path;
}

void sweep_world_guest(struct fixture_guest *g, uint32_t n, unsigned rank)
{
	fixture_guest_init(g, GUEST_PAGES, 1 + rank);
	for (uint32_t i = 0; i < GUEST_PAGES; i++) {
		uint32_t kind = (i * 2654435761u + n * 40503u) >> 16 & 31;

		if (kind < 5) /* of this snapshot alone */
			g->content[i] = 10000000 + n * 10000 + rank * 1000 + i;
		else if (kind < 12) /* of both members, in three neighbours */
			g->content[i] = 20000000 + n / 3 * 1000 + i;
	}
}

static char *map_path(const struct sweep_world *w, uint32_t n, unsigned rank)
{
	FM_AUTO_FREE char *name = fm_format("member-%u.map", rank);

	return sweep_world_path(w, n, name);
}

static int save_member(const struct sweep_world *w, uint32_t n, unsigned rank, uint32_t parent, bool inherit,
		       struct fm_error *err)
{
	FM_AUTO_FREE char *map = map_path(w, n, rank);
	FM_AUTO_FREE char *from = map_path(w, parent, rank);
	struct fixture_guest now, before;
	struct fixture_save what = { options, &now, NULL, "skeleton" };
	struct pages_map *m = NULL;
	struct pages_saved saved;
	int rc = -1;

	sweep_world_guest(&now, n, rank);
	sweep_world_guest(&before, parent, rank);
	if (parent)
		m = pages_map_open(from, JOB, NULL, NULL, err);
	what.options.packs_most = w->packs_most;
	what.options.parent = m;
	what.options.inherit = m && inherit;
	what.before = what.options.inherit ? &before : NULL;
	if (m || !parent)
		rc = fixture_save(w->pages, map, &what, &saved, err);
	pages_map_close(m);
	fixture_guest_dispose(&now);
	fixture_guest_dispose(&before);
	return rc;
}

int sweep_world_save(const struct sweep_world *w, uint32_t parent, bool inherit, uint32_t *n_r, struct fm_error *err)
{
	struct fm_snapshot_id id;

	if (store_begin(w->store, JOB, &id, err) < 0)
		return -1;
	*n_r = id.n;
	for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++)
		if (save_member(w, id.n, rank, parent, inherit, err) < 0)
			return -1;
	return 0;
}

int sweep_world_commit(const struct sweep_world *w, uint32_t n, struct fm_error *err)
{
	FM_AUTO_FREE char *path = sweep_world_path(w, n, "manifest.json");

	return fm_file_write(path, 0600, "{}", 2, err); /* a sweep looks whether it is there */
}

int sweep_world_remove(const struct sweep_world *w, uint32_t n, struct fm_error *err)
{
	return store_remove(w->store, &(struct fm_snapshot_id){ .job = JOB, .n = n }, err);
}

int sweep_world_read(const struct sweep_world *w, uint32_t n, struct fm_error *err)
{
	int rc = 0;

	for (unsigned rank = 0; rc == 0 && rank < WORLD_MEMBERS; rank++) {
		FM_AUTO_FREE char *map = map_path(w, n, rank);
		struct fixture_guest g;

		sweep_world_guest(&g, n, rank);
		rc = fixture_check(w->pages, map, NULL, &g, err);
		fixture_guest_dispose(&g);
	}
	return rc;
}

size_t sweep_world_numbers(const struct sweep_world *w, uint32_t *numbers_r, size_t max)
{
	size_t count = 0;

	for (uint32_t n = 1; n < 1000 && count < max; n++) {
		FM_AUTO_FREE char *map = map_path(w, n, 0);
		FM_AUTO_FREE char *removed = sweep_world_path(w, n, "manifest.removed");

		if (access(map, F_OK) == 0 && access(removed, F_OK) != 0)
			numbers_r[count++] = n;
	}
	return count;
}

/* The pages of this pack that maps need. */
static unsigned needed_of(const struct sweep_world *w, const char id[65])
{
	static uint8_t bits[PAGES_PACK_MAX / 8];
	uint32_t numbers[256];
	size_t count = sweep_world_numbers(w, numbers, 256);
	unsigned needed = 0;

	memset(bits, 0, sizeof(bits));
	for (size_t i = 0; i < count; i++)
		for (unsigned rank = 0; rank < WORLD_MEMBERS; rank++) {
			FM_AUTO_FREE char *map = map_path(w, numbers[i], rank);
			struct fm_error err;
			struct pages_map *m;

			if (access(map, F_OK) < 0)
				continue;
			m = pages_map_open(map, JOB, NULL, NULL, &err);
			if (!m)
				fail_msg("%s", err.text);
			pages_map_mark(m, id, bits);
			pages_map_close(m);
		}
	for (size_t i = 0; i < sizeof(bits) * 8; i++)
		needed += bits[i / 8] >> i % 8 & 1;
	return needed;
}

/* But an empty one: for a minute it may be a living writer's, that has not locked it yet. */
static void assert_no_parts(const struct sweep_world *w)
{
	char **parts;
	size_t count = fixture_files(w->pages, ".part", &parts);

	for (size_t i = 0; i < count; i++)
		if (fixture_size(parts[i]) > 0)
			fail_msg("%s is left", parts[i]);
	fixture_free(parts, count);
}

void sweep_world_assert_tidy(const struct sweep_world *w, unsigned share)
{
	struct fm_error err;
	struct pages_store *s = pages_store_open(w->pages, JOB, NULL, &err);
	struct pages_usage usage;
	char id[65];

	assert_non_null(s);
	assert_ok(pages_store_scan(s, &err), err);
	pages_store_usage(s, &usage);
	assert_no_parts(w);
	if (usage.damaged)
		fail_msg("%s", usage.damaged_text);
	for (size_t i = 0; pages_store_pack(s, i, id); i++) {
		unsigned needed = needed_of(w, id);
		struct pages_verdict verdict;

		assert_ok(pages_pack_verify(s, id, &verdict, &err), err);
		if (needed == 0 || needed * 100 < verdict.pages * share)
			fail_msg("pack %s has %u pages, %u of them needed", id, (unsigned)verdict.pages, needed);
		assert_true(needed <= verdict.pages);
	}
	pages_store_close(s);
}

void sweep_world_assert_whole(const struct sweep_world *w, const char *when)
{
	uint32_t numbers[64];
	size_t count = sweep_world_numbers(w, numbers, 64);
	struct fm_error err;

	for (size_t i = 0; i < count; i++)
		if (sweep_world_read(w, numbers[i], &err) < 0)
			fail_msg("%s: snapshot %u: %s", when, numbers[i], err.text);
}

uint32_t sweep_world_add(const struct sweep_world *w, uint32_t parent, bool inherit)
{
	struct fm_error err;
	uint32_t n;

	assert_ok(sweep_world_save(w, parent, inherit, &n, &err), err);
	assert_ok(sweep_world_commit(w, n, &err), err);
	return n;
}

uint64_t sweep_world_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

int sweep_world_setup(void **state)
{
	struct sweep_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	sweep_world_make(w);
	*state = w;
	return 0;
}

int sweep_world_teardown(void **state)
{
	struct sweep_world *w = *state;

	sweep_world_destroy(w);
	free(w);
	return 0;
}

size_t sweep_world_packs(const struct sweep_world *w)
{
	char **packs;
	size_t count = fixture_files(w->pages, ".pack", &packs);

	fixture_free(packs, count);
	return count;
}
