/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key_fixture.h - a store with a site's key beside it and a job's folder in it, for the keys' tests. */
#ifndef FM_TEST_KEY_FIXTURE_H
#define FM_TEST_KEY_FIXTURE_H

#include "agent/store/key.h"
#include "tests/unit/store_fixture.h"

#define JOB 77u

struct key_world {
	char *store, *site_path;
	char *folder, *path, *packs; /* the job's folder; in it its key, if there is one, and its packs */
	struct site_key *site;
};

/* Setup and teardown of a test: *state is a struct key_world. */
int key_world_make(void **state);
int key_world_remove(void **state);

extern const uint8_t key_world_raw[32]; /* the site's key */

/* A file with mode 0600 that is a site's key, or not. */
void key_world_write(const char *path, const void *data, size_t size);
/* The job's key, made if need be; caller frees. */
struct pages_key *key_world_key(const struct key_world *w);
/* In the job's folder; no litter. */
void key_world_has_only_the_key(const struct key_world *w);

#endif
