/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key_test - the site's key is taken from a file that nobody else can read, or not at all; a job's key opens for nobody
 * but its site and job; small files sealed by it come back as they were or not at all.
 */
#include "config.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/key_format.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/key_fixture.h"

#define HEX_KEY "0123456789abcdef0123456789ABCDEFfedcba9876543210fedcba98765432ff"

/* ---- the site's key ---- */

static void a_site_key_in_all_forms(void **state)
{
	static const char base64[] = "ASNFZ4mrze8BI0VniavN7/7cupd2VDIQ/ty6l3ZUMv8=";
	unsigned char base64_own[64];
	struct key_world *w = *state;
	uint8_t hash[32];
	char id[9];
	const char *const forms[] = { HEX_KEY, HEX_KEY "\n", HEX_KEY " \r\n\n", (char *)base64_own, NULL };

	assert_int_equal(EVP_EncodeBlock(base64_own, key_world_raw, 32), sizeof(base64) - 1);
	assert_true(EVP_Digest(key_world_raw, 32, hash, NULL, EVP_sha256(), NULL));
	snprintf(id, sizeof(id), "%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
	assert_string_equal(site_key_id(w->site), id);
	for (size_t i = 0; forms[i]; i++)
		for (size_t newline = 0; newline < 2; newline++) {
			FM_AUTO_FREE char *text = fm_format("%s%s", forms[i], newline ? "\n" : "");
			struct site_key *k;
			struct fm_error err;

			key_world_write(w->site_path, text, strlen(text));
			k = site_key_load(w->site_path, &err);
			if (!k)
				fail_msg("%s: %s", text, err.text);
			assert_string_equal(site_key_id(k), id);
			site_key_free(k);
		}
}

static void refused(const struct key_world *w, const char *why)
{
	struct fm_error err = { 0 };

	assert_null(site_key_load(w->site_path, &err));
	assert_int_equal(err.code, FM_DENIED);
	if (!strstr(err.text, w->site_path) || !strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\", or not of which file", err.text, why);
}

static void what_is_no_site_key(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *why;
	} bad[] = {
		{ "", 0, " 0 bytes that are no key" },
		{ (const char *)key_world_raw, 31, " 31 bytes that are no key" },
		{ HEX_KEY, 33, " 33 bytes that are no key" },
		{ HEX_KEY, 63, "no key" },
		{ HEX_KEY "0", 65, "no key" },
		{ "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64, "no key" },
		{ "ASNFZ4mrze8BI0VniavN7/7cupd2VDIQ/ty6l3ZUMv8", 43, "no key" },
		{ "ASNFZ4mrze8BI0VniavN7/7cupd2VDIQ/ty6l3ZUMv8A", 44, "no key" },
		{ "ASNFZ4mrze8BI0VniavN7/7cupd2VDIQ/ty6l3ZUM===", 44, "no key" },
		{ "ASNFZ4mrze8BI0VniavN7/7cupd2VDIQ-ty6l3ZUMv8=", 44, "no key" },
		{ "0000000000000000000000000000000000000000000000000000000000000000", 64, "one byte 32 times" },
		{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, "one byte 32 times" },
		{ HEX_KEY HEX_KEY HEX_KEY, 192, "at least 128 bytes" },
	};
	struct key_world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		key_world_write(w->site_path, bad[i].text, bad[i].size);
		refused(w, bad[i].why);
	}
}

static void a_site_key_that_others_can_read(void **state)
{
	static const struct {
		mode_t mode;
		const char *why; /* NULL: fine */
	} modes[] = {
		{ 0600, NULL }, { 0400, NULL }, { 0200, NULL }, { 0640, "has mode 0640" }, { 0604, "has mode 0604" },
		{ 0620, "has mode 0620" }, { 0602, "has mode 0602" }, { 0700, "has mode 0700" }, { 04600, "has mode 4600" },
		{ 0666, "has mode 0666" },
	};
	struct key_world *w = *state;
	struct fm_error err;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		struct site_key *k;

		assert_int_equal(chmod(w->site_path, modes[i].mode), 0);
		if (modes[i].why) {
			refused(w, modes[i].why);
			continue;
		}
		k = site_key_load(w->site_path, &err);
		if (!k && !(geteuid() != 0 && modes[i].mode == 0200)) /* its owner cannot read it, but for root */
			fail_msg("%s", err.text);
		site_key_free(k);
	}
	assert_int_equal(chmod(w->site_path, 0600), 0);
}

static void a_site_key_of_somebody_else(void **state)
{
	struct key_world *w = *state;

	if (geteuid() != 0) {
		print_message("only root can give files away\n");
		skip();
	}
	assert_int_equal(chown(w->site_path, 12345, 0), 0);
	refused(w, "belongs to user 12345");
	assert_int_equal(chown(w->site_path, 0, 54321), 0); /* a group that has no rights does not matter */
	site_key_free(w->site);
	w->site = site_key_load(w->site_path, &(struct fm_error){ 0 });
	assert_non_null(w->site);
}

static void a_site_key_that_is_no_file(void **state)
{
	struct key_world *w = *state;
	FM_AUTO_FREE char *aside = fm_format("%s/aside", w->store);

	assert_int_equal(rename(w->site_path, aside), 0);
	refused(w, "No such file");
	assert_int_equal(symlink("aside", w->site_path), 0);
	refused(w, "is a symbolic link");
	assert_int_equal(unlink(w->site_path), 0);
	assert_int_equal(mkfifo(w->site_path, 0600), 0); /* nobody writes: it must not wait */
	refused(w, "not a plain file");
	assert_int_equal(unlink(w->site_path), 0);
	assert_int_equal(mkdir(w->site_path, 0600), 0);
	refused(w, "not a plain file");
}

/* ---- a job's key ---- */

static int try_open(const struct key_world *w, const struct site_key *site, struct fm_error *err)
{
	struct pages_key *key = NULL;
	int rc = pages_key_open(w->folder, JOB, site, &key, err);

	if (rc == 0)
		assert_non_null(key);
	else
		assert_null(key);
	pages_key_free(key);
	return rc;
}

static struct site_key *another_site(const struct key_world *w)
{
	FM_AUTO_FREE char *path = fm_format("%s/another.key", w->store);
	uint8_t bytes[32];
	struct site_key *k;
	struct fm_error err;

	memcpy(bytes, key_world_raw, 32);
	bytes[0] ^= 1;
	key_world_write(path, bytes, 32);
	k = site_key_load(path, &err);
	assert_non_null(k);
	return k;
}

static void a_jobs_key_is_made_once(void **state)
{
	struct key_world *w = *state;
	struct pages_key *first = key_world_key(w), *second = key_world_key(w), *found = NULL;
	struct fm_error err;
	struct stat st;

	assert_string_equal(pages_key_id(first), pages_key_id(second));
	assert_ok(pages_key_open(w->folder, JOB, w->site, &found, &err), err);
	assert_string_equal(pages_key_id(first), pages_key_id(found));
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_size, 144);
	key_world_has_only_the_key(w);
	pages_key_free(first);
	pages_key_free(second);
	assert_int_equal(unlink(w->path), 0);
	second = key_world_key(w);
	assert_string_not_equal(pages_key_id(second), pages_key_id(found)); /* random */
	pages_key_free(second);
	pages_key_free(found);
}

static void a_job_that_is_not_encrypted(void **state)
{
	struct key_world *w = *state;
	struct pages_key *key = (struct pages_key *)w;
	struct fm_error err;

	assert_ok(pages_key_open(w->folder, JOB, w->site, &key, &err), err);
	assert_null(key);
	assert_ok(pages_key_open(w->folder, JOB, NULL, &key, &err), err);
	assert_null(key);
}

static void another_sites_key(void **state)
{
	struct key_world *w = *state;
	struct site_key *other = another_site(w);
	FM_AUTO_FREE char *wrong = fm_format("%s is wrapped with site key %s, KeyFile %s/another.key is %s", w->path,
					     site_key_id(w->site), w->store, site_key_id(other));
	struct pages_key *key = key_world_key(w), *same = NULL;
	struct fm_error err;

	assert_code(try_open(w, other, &err), err, FM_DENIED);
	assert_string_equal(err.text, wrong);
	assert_code(pages_key_make(w->folder, JOB, other, w->packs, &same, &err), err, FM_DENIED);
	assert_string_equal(err.text, wrong);
	assert_null(same);
	assert_code(try_open(w, NULL, &err), err, FM_DENIED);
	assert_non_null(strstr(err.text, w->path));
	assert_non_null(strstr(err.text, "there is no KeyFile: job 77 is encrypted"));
	/* The site changes its key: the job keeps its own. */
	assert_code(pages_key_rewrap(w->folder, JOB, other, w->site, &err), err, FM_DENIED);
	assert_ok(pages_key_rewrap(w->folder, JOB, w->site, other, &err), err);
	assert_code(try_open(w, w->site, &err), err, FM_DENIED);
	assert_ok(pages_key_open(w->folder, JOB, other, &same, &err), err);
	assert_string_equal(pages_key_id(same), pages_key_id(key));
	key_world_has_only_the_key(w);
	assert_int_equal(unlink(w->path), 0);
	assert_code(pages_key_rewrap(w->folder, JOB, w->site, other, &err), err, FM_NOT_FOUND);
	pages_key_free(same);
	pages_key_free(key);
	site_key_free(other);
}

static void disk_load(const struct key_world *w, struct disk_key *disk_r)
{
	int fd = open(w->path, O_RDONLY);

	assert_int_equal(read(fd, disk_r, sizeof(*disk_r)), sizeof(*disk_r));
	close(fd);
}

/* With a digest that is right: what only the tag can find. */
static void disk_store(const struct key_world *w, struct disk_key *disk)
{
	assert_true(EVP_Digest(disk, offsetof(struct disk_key, digest), disk->digest, NULL, EVP_sha256(), NULL));
	key_world_write(w->path, disk, sizeof(*disk));
}

static void another_jobs_key(void **state)
{
	struct key_world *w = *state;
	FM_AUTO_FREE char *theirs = fm_format("%s/78", w->store), *their_path = fm_format("%s/78/key", w->store);
	struct pages_key *key = NULL;
	struct fm_error err;
	struct disk_key disk;

	pages_key_free(key_world_key(w));
	assert_ok(pages_key_make(theirs, 78, w->site, w->packs, &key, &err), err);
	pages_key_free(key);
	assert_int_equal(rename(their_path, w->path), 0);
	assert_code(try_open(w, w->site, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w->path));
	assert_non_null(strstr(err.text, "it is job 78's, not job 77's"));
	disk_load(w, &disk);
	disk.job = JOB; /* whoever forges that cannot forge the tag */
	disk_store(w, &disk);
	assert_code(try_open(w, w->site, &err), err, FM_CORRUPT);
	assert_non_null(strstr(err.text, w->path));
	assert_non_null(strstr(err.text, "tag is wrong"));
	assert_code(pages_key_make(w->folder, JOB, w->site, w->packs, &key, &err), err, FM_CORRUPT);
}

static void a_damaged_key(void **state)
{
	struct key_world *w = *state;
	struct disk_key disk, bad;
	struct fm_error err;

	pages_key_free(key_world_key(w));
	disk_load(w, &disk);
	for (size_t bit = 0; bit < 8 * sizeof(disk); bit++) {
		bad = disk;
		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		key_world_write(w->path, &bad, sizeof(bad));
		assert_code(try_open(w, w->site, &err), err, FM_CORRUPT);
		assert_non_null(strstr(err.text, w->path));
	}
	for (size_t size = 0; size < sizeof(disk); size++) {
		key_world_write(w->path, &disk, size);
		assert_code(try_open(w, w->site, &err), err, FM_CORRUPT);
		assert_non_null(strstr(err.text, w->path));
	}
	for (size_t at = offsetof(struct disk_key, salt); at < offsetof(struct disk_key, digest); at++) {
		bad = disk;
		((uint8_t *)&bad)[at] ^= 0x10;
		disk_store(w, &bad);
		assert_code(try_open(w, w->site, &err), err, FM_CORRUPT);
		assert_non_null(strstr(err.text, "tag is wrong"));
	}
	bad = disk;
	bad.version++;
	disk_store(w, &bad);
	assert_code(try_open(w, w->site, &err), err, FM_INCOMPATIBLE);
	key_world_write(w->path, &disk, sizeof(disk));
	assert_ok(try_open(w, w->site, &err), err);
}

/* ---- small files ---- */

static void small_files_come_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 16, 31, 4096, 1000000 };
	struct key_world *w = *state;
	struct pages_key *key = key_world_key(w);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		FM_AUTO_FREE unsigned char *data = fixture_state(sizes[i], 3);
		FM_AUTO_FREE void *sealed = NULL, *again = NULL, *opened = NULL;
		size_t size, again_size, opened_size;
		struct fm_error err;

		assert_ok(blob_seal(key, "77.1/0.held", data, sizes[i], &sealed, &size, &err), err);
		assert_ok(blob_seal(key, "77.1/0.held", data, sizes[i], &again, &again_size, &err), err);
		assert_int_equal(size, 88 + sizes[i]);
		assert_int_equal(again_size, size);
		assert_memory_not_equal(sealed, again, size); /* another salt, another key */
		if (sizes[i] >= 16)
			assert_null(memmem(sealed, size, data, 16));
		assert_ok(blob_open(key, "77.1/0.held", sealed, size, &opened, &opened_size, &err), err);
		assert_int_equal(opened_size, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(opened, data, sizes[i]);
		assert_int_equal(((char *)opened)[opened_size], 0);
	}
	pages_key_free(key);
}

static int blob_try(const struct pages_key *key, const char *place, const void *sealed, size_t size, struct fm_error *err)
{
	void *data = NULL;
	size_t n = 0;
	int rc = blob_open(key, place, sealed, size, &data, &n, err);

	if (rc < 0)
		assert_null(data);
	free(data);
	return rc;
}

static void small_files_that_are_not_what_they_were(void **state)
{
	static const char text[] = "frames that were held";
	struct key_world *w = *state;
	struct pages_key *key = key_world_key(w), *other = NULL;
	FM_AUTO_FREE char *folder = fm_format("%s/78", w->store);
	FM_AUTO_FREE void *sealed = NULL;
	struct fm_error err;
	size_t size;

	assert_ok(blob_seal(key, "a", text, sizeof(text), &sealed, &size, &err), err);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		((uint8_t *)sealed)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(blob_try(key, "a", sealed, size, &err), -1);
		assert_true(strncmp(err.text, "a: ", 3) == 0);
		if (bit >= 8 * offsetof(struct disk_blob, salt))
			assert_int_equal(err.code, FM_CORRUPT);
		((uint8_t *)sealed)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < size; n++)
		assert_int_equal(blob_try(key, "a", sealed, n, &err), -1);
	assert_code(blob_try(key, "b", sealed, size, &err), err, FM_CORRUPT); /* another's place */
	assert_code(blob_try(NULL, "a", sealed, size, &err), err, FM_DENIED);
	assert_non_null(strstr(err.text, pages_key_id(key)));
	assert_ok(pages_key_make(folder, 78, w->site, w->packs, &other, &err), err);
	assert_code(blob_try(other, "a", sealed, size, &err), err, FM_DENIED);
	assert_non_null(strstr(err.text, pages_key_id(other)));
	assert_code(blob_try(key, "a", text, sizeof(text), &err), err, FM_DENIED); /* was never sealed */
	assert_non_null(strstr(err.text, "not encrypted"));
	assert_ok(blob_try(NULL, "a", text, sizeof(text), &err), err);
	assert_ok(blob_try(key, "a", sealed, size, &err), err);
	pages_key_free(other);
	pages_key_free(key);
}

static void without_a_key_small_files_stay_as_they_are(void **state)
{
	FM_AUTO_FREE void *same = NULL, *again = NULL;
	struct fm_error err;
	size_t size;

	assert_ok(blob_seal(NULL, "a", "text", 4, &same, &size, &err), err);
	assert_int_equal(size, 4);
	assert_memory_equal(same, "text", 4);
	assert_ok(blob_open(NULL, "a", same, size, &again, &size, &err), err);
	assert_int_equal(size, 4);
	assert_string_equal(again, "text");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, key_world_make, key_world_remove)
	const struct CMUnitTest tests[] = {
		TEST(a_site_key_in_all_forms),
		TEST(what_is_no_site_key),
		TEST(a_site_key_that_others_can_read),
		TEST(a_site_key_of_somebody_else),
		TEST(a_site_key_that_is_no_file),
		TEST(a_jobs_key_is_made_once),
		TEST(a_job_that_is_not_encrypted),
		TEST(another_sites_key),
		TEST(another_jobs_key),
		TEST(a_damaged_key),
		TEST(small_files_come_back),
		TEST(small_files_that_are_not_what_they_were),
		cmocka_unit_test(without_a_key_small_files_stay_as_they_are),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
