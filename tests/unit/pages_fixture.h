/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages_fixture.h - a page store in a temporary folder, and guests' memory made up by number. */
#ifndef FM_TEST_PAGES_FIXTURE_H
#define FM_TEST_PAGES_FIXTURE_H

#include "agent/store/pages/pages.h"
#include "tests/unit/store_fixture.h"

#define JOB 77u

/* What all stores and maps here are opened with; NULL: they are not encrypted. */
extern const struct pages_key *fixture_key;
/* Setup and teardown of a group whose tests are to be run encrypted. */
int fixture_encrypt(void **state);
int fixture_encrypt_end(void **state);
/* A site's key, always the same; that job's key under it, a new one each time. Caller frees. */
#define FIXTURE_SITE_KEY "0123456789abcdef0123456789ABCDEFfedcba9876543210fedcba9876543210\n"
struct site_key *fixture_site_key(void);
struct pages_key *fixture_key_make(uint32_t job);

/*
 * A guest: page i has content number content[i]; 0 zeros, FIXTURE_HOLE none. The same number is the same page. Every
 * third number does not compress.
 */
#define FIXTURE_HOLE UINT32_MAX
struct fixture_guest {
	size_t pages;
	uint32_t *content;
};
/* Of mixed zeros, holes, repeated and single pages, the same for the same seed. */
void fixture_guest_init(struct fixture_guest *g, size_t pages, unsigned seed);
void fixture_guest_dispose(struct fixture_guest *g);
void fixture_page(uint32_t content, unsigned char *page_r);

struct fixture_save {
	struct pages_writer_options options;
	const struct fixture_guest *guest;
	const struct fixture_guest *before; /* with inherit: only what differs from that is put */
	const char *skeleton;
};
/* One member's whole save: 0, or -1 with err. */
int fixture_save(const char *dir, const char *map, const struct fixture_save *what, struct pages_saved *saved_r,
		 struct fm_error *err);

/*
 * Read it all in order, and some of it by pfn; compare with the guest. 0: all as it was; -1 with the store's error.
 * A wrong byte handed out without an error fails the test.
 */
int fixture_check(const char *dir, const char *map, const char *sha256, const struct fixture_guest *g,
		  struct fm_error *err);

/* "<store>/<name>"; caller frees. */
char *fixture_path(const char *store, const char *name);
/* The files in dir whose names end so; *paths_r: their paths, each and the array to be freed by fixture_free(). */
size_t fixture_files(const char *dir, const char *suffix, char ***paths_r);
void fixture_free(char **paths, size_t count);
size_t fixture_size(const char *path);

#endif
