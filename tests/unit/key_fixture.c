/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key_fixture.c - see key_fixture.h. */
#include "config.h"

#include "tests/unit/key_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

const uint8_t key_world_raw[32] = "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
				  "\xfe\xdc\xba\x98\x76\x54\x32\x10\xfe\xdc\xba\x98\x76\x54\x32\xff";

void key_world_write(const char *path, const void *data, size_t size)
{
	struct fm_error err;

	assert_ok(fm_file_write(path, 0600, data, size, &err), err);
}

int key_world_make(void **state)
{
	struct key_world *w = calloc(1, sizeof(*w));
	struct fm_error err;

	assert_non_null(w);
	*state = w;
	w->store = fixture_store();
	w->site_path = fm_format("%s/site.key", w->store);
	w->folder = fm_format("%s/77", w->store);
	w->path = fm_format("%s/77/key", w->store);
	w->packs = fm_format("%s/77/pages", w->store);
	key_world_write(w->site_path, key_world_raw, sizeof(key_world_raw));
	w->site = site_key_load(w->site_path, &err);
	assert_non_null(w->site);
	return 0;
}

int key_world_remove(void **state)
{
	struct key_world *w = *state;

	site_key_free(w->site);
	fixture_remove(w->store);
	free(w->site_path);
	free(w->folder);
	free(w->path);
	free(w->packs);
	free(w);
	return 0;
}

struct pages_key *key_world_key(const struct key_world *w)
{
	struct pages_key *key = NULL;
	struct fm_error err;

	assert_ok(pages_key_make(w->folder, JOB, w->site, w->packs, &key, &err), err);
	assert_non_null(key);
	return key;
}

void key_world_has_only_the_key(const struct key_world *w)
{
	FM_AUTO_FREE char *listing = fm_format("ls -A '%s'", w->folder);
	char names[256] = "";
	FILE *f = popen(listing, "r");

	assert_non_null(f);
	names[fread(names, 1, sizeof(names) - 1, f)] = '\0';
	assert_int_equal(pclose(f), 0);
	assert_string_equal(names, "key\n");
}
