/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep_fixture.h - a job's folder with snapshots of pages in it, for the tests of its sweep.
 *
 * What a member of snapshot n has is known from n alone, so that any process can compare. Most of it is the same in all,
 * some in neighbours, some in none other.
 */
#ifndef FM_TEST_SWEEP_FIXTURE_H
#define FM_TEST_SWEEP_FIXTURE_H

#include "agent/store/sweep.h"
#include "tests/unit/pages_fixture.h"

#define WORLD_MEMBERS 2u

struct sweep_world {
	char *store, *pages; /* "<store>/77/pages" */
	size_t packs_most;   /* a save looks at no more packs: so some pages are kept twice; 0: all */
};

void sweep_world_make(struct sweep_world *w);
void sweep_world_destroy(struct sweep_world *w);

/* "<store>/77/<n>/<name>"; caller frees. */
char *sweep_world_path(const struct sweep_world *w, uint32_t n, const char *name);
/* What the member was. Dispose. */
void sweep_world_guest(struct fixture_guest *g, uint32_t n, unsigned rank);

/* A snapshot with all its maps; inherit: from snapshot parent's maps (0: none), only what differs is put. No manifest. */
int sweep_world_save(const struct sweep_world *w, uint32_t parent, bool inherit, uint32_t *n_r, struct fm_error *err);
/* Make it whole. */
int sweep_world_commit(const struct sweep_world *w, uint32_t n, struct fm_error *err);
int sweep_world_remove(const struct sweep_world *w, uint32_t n, struct fm_error *err);

/* All members, all pages: 0, or -1 with err. Wrong bytes fail the test. */
int sweep_world_read(const struct sweep_world *w, uint32_t n, struct fm_error *err);
/* Numbers of the folders that have maps (removed ones have not); into numbers_r, at most max. */
size_t sweep_world_numbers(const struct sweep_world *w, uint32_t *numbers_r, size_t max);

/* Nothing unneeded is left: no pack that no map needs, none of which less than share % is needed, no .part. Reckoned
 * without the code that sweeps. */
void sweep_world_assert_tidy(const struct sweep_world *w, unsigned share);

/* sweep_world_save() and _commit(), which must succeed: its number. */
uint32_t sweep_world_add(const struct sweep_world *w, uint32_t parent, bool inherit);
/* What is there can be read. */
void sweep_world_assert_whole(const struct sweep_world *w, const char *when);
size_t sweep_world_packs(const struct sweep_world *w);

/* The same for the same state; less than 2^31. */
uint64_t sweep_world_random(uint64_t *state);

/* For cmocka: *state is a world. */
int sweep_world_setup(void **state);
int sweep_world_teardown(void **state);

#endif
