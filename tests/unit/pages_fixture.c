/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages_fixture.c - see pages_fixture.h. */
#include "config.h"

#include "tests/unit/pages_fixture.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/io.h"

const struct pages_key *fixture_key;
static struct pages_key *own_key;

struct site_key *fixture_site_key(void)
{
	char *folder = fixture_store();
	FM_AUTO_FREE char *path = fixture_path(folder, "site.key");
	struct site_key *site;
	struct fm_error err;

	assert_ok(fm_file_write(path, 0600, FIXTURE_SITE_KEY, strlen(FIXTURE_SITE_KEY), &err), err);
	site = site_key_load(path, &err);
	if (!site)
		fail_msg("%s", err.text);
	fixture_remove(folder);
	return site;
}

struct pages_key *fixture_key_make(uint32_t job)
{
	struct site_key *site = fixture_site_key();
	char *folder = fixture_store();
	FM_AUTO_FREE char *packs = fixture_path(folder, "pages");
	struct pages_key *key;
	struct fm_error err;

	assert_ok(pages_key_make(folder, job, site, packs, &key, &err), err);
	fixture_remove(folder);
	site_key_free(site);
	return key;
}

int fixture_encrypt(void **state)
{
	fixture_key = own_key = fixture_key_make(JOB);
	return 0;
}

int fixture_encrypt_end(void **state)
{
	fixture_key = NULL;
	pages_key_free(fm_steal_ptr(&own_key));
	return 0;
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

void fixture_guest_init(struct fixture_guest *g, size_t pages, unsigned seed)
{
	g->pages = pages;
	g->content = calloc(pages, sizeof(*g->content));
	assert_non_null(g->content);
	for (size_t i = 0; i < pages; i++) {
		uint64_t r = mix(seed * 1000003ull + i);

		if (r % 100 < 40)
			g->content[i] = 0;
		else if (r % 100 < 45)
			g->content[i] = FIXTURE_HOLE;
		else if (r % 100 < 55)
			g->content[i] = 1 + (uint32_t)(r >> 32) % 7; /* shared, also between guests */
		else
			g->content[i] = 1000 + seed * 1000000 + (uint32_t)i;
	}
}

void fixture_guest_dispose(struct fixture_guest *g)
{
	free(g->content);
	g->content = NULL;
}

void fixture_page(uint32_t content, unsigned char *page_r)
{
	uint64_t words[512];

	for (size_t i = 0; i < 512; i++)
		words[i] = content == 0 ? 0 : content % 3 == 0 ? mix(content * 512ull + i) : content * (i / 8 + 1);
	memcpy(page_r, words, sizeof(words));
}

static int put_guest(struct pages_writer *w, const struct fixture_save *what, struct fm_error *err)
{
	enum { MANY = 37 };
	static unsigned char data[MANY * 4096];
	uint64_t pfn[MANY], gone;
	size_t n = 0;

	for (size_t i = 0; i < what->guest->pages; i++) {
		uint32_t content = what->guest->content[i];

		if (what->before && what->before->content[i] == content)
			continue;
		if (content == FIXTURE_HOLE) {
			gone = i;
			if (what->before && pages_writer_forget(w, &gone, 1, err) < 0)
				return -1;
			continue;
		}
		pfn[n] = i;
		fixture_page(content, data + n++ * 4096);
		if (n == MANY && pages_writer_put(w, pfn, data, n, err) < 0)
			return -1;
		n %= MANY;
	}
	return pages_writer_put(w, pfn, data, n, err);
}

int fixture_save(const char *dir, const char *map, const struct fixture_save *what, struct pages_saved *saved_r,
		 struct fm_error *err)
{
	const char *skeleton = what->skeleton ? what->skeleton : "";
	struct pages_store *s = pages_store_open(dir, JOB, fixture_key, err);
	struct pages_writer *w = s ? pages_writer_create(s, &what->options, err) : NULL;
	int rc = -1;

	if (w && put_guest(w, what, err) == 0)
		rc = pages_writer_finish(w, map, skeleton, strlen(skeleton), saved_r, err);
	else
		pages_writer_abort(w);
	pages_store_close(s);
	return rc;
}

static void compare(const struct fixture_guest *g, uint64_t pfn, const void *page)
{
	unsigned char expected[4096];

	assert_true(pfn < g->pages);
	assert_int_not_equal(g->content[pfn], FIXTURE_HOLE);
	fixture_page(g->content[pfn], expected);
	if (memcmp(expected, page, sizeof(expected)) != 0)
		fail_msg("wrong bytes were handed out for pfn %llu", (unsigned long long)pfn);
}

static int check_in_order(struct pages_reader *r, const struct fixture_guest *g, struct fm_error *err)
{
	struct pages_batch batch;
	uint64_t next = 0;
	int more;

	while ((more = pages_reader_next(r, &batch, err)) > 0)
		for (size_t i = 0; i < batch.count; i++) {
			while (next < g->pages && g->content[next] == FIXTURE_HOLE)
				next++;
			assert_int_equal(batch.pfn[i], next++);
			compare(g, batch.pfn[i], batch.page[i]);
		}
	if (more < 0)
		return -1;
	while (next < g->pages && g->content[next] == FIXTURE_HOLE)
		next++;
	assert_int_equal(next, g->pages);
	return 0;
}

/* Backwards, every third one, more than one batch. */
static int check_fetch(struct pages_reader *r, const struct fixture_guest *g, struct fm_error *err)
{
	uint64_t pfn[600];
	FM_AUTO_FREE unsigned char *data = malloc(sizeof(pfn) / sizeof(*pfn) * 4096);
	size_t n = 0;

	assert_non_null(data);
	for (size_t i = g->pages; i-- > 0 && n < 600;)
		if (i % 3 == 0 && g->content[i] != FIXTURE_HOLE)
			pfn[n++] = i;
	if (pages_reader_fetch(r, pfn, n, data, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		compare(g, pfn[i], data + i * 4096);
	return 0;
}

int fixture_check(const char *dir, const char *map, const char *sha256, const struct fixture_guest *g,
		  struct fm_error *err)
{
	struct pages_store *s = pages_store_open(dir, JOB, fixture_key, err);
	struct pages_map *m = s ? pages_map_open(map, JOB, fixture_key, sha256, err) : NULL;
	struct pages_reader *r = NULL;
	int rc = -1;

	if (m)
		r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 2 }, err);
	if (r && check_in_order(r, g, err) == 0)
		rc = check_fetch(r, g, err);
	pages_reader_destroy(r);
	pages_map_close(m);
	pages_store_close(s);
	return rc;
}

char *fixture_path(const char *store, const char *name)
{
	char *path = fm_format("%s/%s", store, name);

	assert_non_null(path);
	return path;
}

size_t fixture_files(const char *dir, const char *suffix, char ***paths_r)
{
	DIR *d = opendir(dir);
	char **paths = calloc(1024, sizeof(*paths));
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	assert_non_null(paths);
	while ((e = readdir(d)) && n < 1024) {
		size_t length = strlen(e->d_name);

		if (length > strlen(suffix) && strcmp(e->d_name + length - strlen(suffix), suffix) == 0)
			paths[n++] = fixture_path(dir, e->d_name);
	}
	closedir(d);
	*paths_r = paths;
	return n;
}

void fixture_free(char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}

size_t fixture_size(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}
