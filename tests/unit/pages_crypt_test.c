/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pages_crypt_test - of an encrypted job nothing that was in its memory is found on the disk, nor the name of a page;
 * without the right key nothing is read or written, and an encrypted and a plain job are never mixed; and who can
 * write to the disk, checksums and all, cannot make us read what was not saved.
 *
 * That pages come back, and damage is found, is pages_test's and pages_damage_test's, which run encrypted, too.
 */
#include "config.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/key_format.h"
#include "agent/store/key_private.h"
#include "agent/store/pages/codec.h"
#include "agent/store/pages/format.h"
#include "agent/store/pages/hash.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "tests/unit/pages_fixture.h"

#define MARKER "This is what the job computed, and nobody else's business."
#define BONES "registers, and the runner's token"
#define RANDOM 3000003u /* content that does not compress */

/* A job's folder as it is in a store: key, packs, maps. */
struct world {
	char *store, *folder, *key_path, *dir, *map;
	struct site_key *site;
	struct pages_key *key; /* NULL: not encrypted */
};

static struct world *worlds[8]; /* of the test that runs: gone with it */

static struct world *world_make(bool encrypted)
{
	struct world *w = calloc(1, sizeof(*w));
	struct fm_error err;
	size_t n = 0;

	assert_non_null(w);
	while (worlds[n])
		n++;
	assert_true(n < sizeof(worlds) / sizeof(*worlds));
	worlds[n] = w;
	w->store = fixture_store();
	w->folder = fm_format("%s/77", w->store);
	w->key_path = fm_format("%s/key", w->folder);
	w->dir = fm_format("%s/pages", w->folder);
	w->map = fm_format("%s/0.map", w->folder);
	w->site = fixture_site_key();
	if (encrypted)
		assert_ok(pages_key_make(w->folder, JOB, w->site, w->dir, &w->key, &err), err);
	return w;
}

static void world_remove(struct world *w)
{
	pages_key_free(w->key);
	site_key_free(w->site);
	fixture_remove(w->store);
	free(w->folder);
	free(w->key_path);
	free(w->dir);
	free(w->map);
	free(w);
}

static int teardown(void **state)
{
	for (size_t n = 0; n < sizeof(worlds) / sizeof(*worlds); n++)
		if (worlds[n])
			world_remove(fm_steal_ptr(&worlds[n]));
	return 0;
}

static void marker_page(unsigned char page_r[4096])
{
	for (size_t i = 0; i < 4096; i++)
		page_r[i] = (unsigned char)MARKER[i % sizeof(MARKER)];
}

/* Marker page, one that does not compress, and some others; three packs. */
static void fill(const struct world *w, enum pages_codec codec)
{
	struct pages_writer_options o = { .codec = codec, .frame_pages = 16, .pack_pages = 30, .threads = 2 };
	unsigned char page[4096];
	struct pages_saved saved;
	struct pages_writer *writer;
	struct pages_store *s;
	struct fm_error err;

	s = pages_store_open(w->dir, JOB, w->key, &err);
	assert_non_null(s);
	writer = pages_writer_create(s, &o, &err);
	if (!writer)
		fail_msg("%s", err.text);
	for (uint64_t pfn = 0; pfn < 80; pfn++) {
		fixture_page(pfn == 40 ? RANDOM : 1000 + (uint32_t)pfn, page);
		if (pfn == 17)
			marker_page(page);
		assert_ok(pages_writer_put(writer, &pfn, page, 1, &err), err);
	}
	assert_ok(pages_writer_finish(writer, w->map, BONES, strlen(BONES), &saved, &err), err);
	pages_store_close(s);
}

/* ---- what is on the disk ---- */

struct needle {
	const char *what;
	unsigned char bytes[32];
	size_t size;
	bool in_plain; /* is found where nothing is encrypted, and frames are as they are */
	unsigned found;
};

static void needle_hash(struct needle *n, const void *page)
{
	assert_true(EVP_Digest(page, 4096, n->bytes, NULL, EVP_sha256(), NULL));
}

/* All that must not be there. Caller frees. */
static size_t needles_make(const struct world *w, struct needle *n)
{
	unsigned char page[4096];
	size_t count = 0;

	n[count] = (struct needle){ .what = "text of a page", .size = 24, .in_plain = true };
	memcpy(n[count++].bytes, MARKER, 24);
	fixture_page(RANDOM, page);
	n[count] = (struct needle){ .what = "a page that does not compress", .size = 16, .in_plain = true };
	memcpy(n[count++].bytes, page + 1000, 16);
	n[count] = (struct needle){ .what = "its SHA-256", .size = 32, .in_plain = true };
	needle_hash(&n[count++], page);
	n[count] = (struct needle){ .what = "the first bytes of its SHA-256", .size = 8, .in_plain = true };
	needle_hash(&n[count++], page);
	marker_page(page);
	n[count] = (struct needle){ .what = "the text page's SHA-256", .size = 32, .in_plain = true };
	needle_hash(&n[count++], page);
	n[count] = (struct needle){ .what = "the skeleton", .size = 16, .in_plain = true };
	memcpy(n[count++].bytes, BONES, 16);
	n[count] = (struct needle){ .what = "the site's key", .size = 16 };
	memcpy(n[count++].bytes, w->site->data, 16);
	if (w->key) {
		n[count] = (struct needle){ .what = "the job's key", .size = 16 };
		memcpy(n[count++].bytes, w->key->data, 16);
		n[count] = (struct needle){ .what = "the key of names", .size = 16 };
		memcpy(n[count++].bytes, w->key->name, 16);
	}
	return count;
}

/* Every file of the job. */
static void search(const struct world *w, struct needle *n, size_t count)
{
	const char *const folders[] = { w->folder, w->dir };
	size_t files = 0;

	for (size_t f = 0; f < 2; f++) {
		char **paths;
		size_t all = fixture_files(folders[f], "", &paths);

		for (size_t i = 0; i < all; i++) {
			struct fm_error err;
			size_t size;
			FM_AUTO_FREE char *bytes = NULL;

			if (strcmp(paths[i] + strlen(paths[i]) - 2, "/.") == 0 || strstr(paths[i], "/..") ||
			    strcmp(paths[i], w->dir) == 0)
				continue;
			files++;
			bytes = fm_file_read(paths[i], 1 << 26, &size, &err);
			assert_non_null(bytes);
			for (size_t k = 0; k < count; k++)
				n[k].found += memmem(bytes, size, n[k].bytes, n[k].size) ? 1 : 0;
		}
		fixture_free(paths, all);
	}
	assert_int_equal(files, 3 + 1 + 1 + (w->key ? 1 : 0)); /* packs, map, lock, key */
}

static void nothing_is_found_on_the_disk(void **state)
{
	static const enum pages_codec codecs[] = { PAGES_RAW, PAGES_LZ4, PAGES_ZSTD };

	for (size_t c = 0; c < 4; c++) {
		struct world *w = world_make(c > 0); /* first of all: that they would be found */
		struct needle needles[16];
		size_t count = needles_make(w, needles);

		fill(w, c > 0 ? codecs[c - 1] : PAGES_RAW);
		search(w, needles, count);
		for (size_t i = 0; i < count; i++)
			if ((needles[i].found > 0) != (c == 0 && needles[i].in_plain))
				fail_msg("%s is%s on the disk (%s)", needles[i].what, needles[i].found ? "" : " not",
					 c > 0 ? "encrypted" : "plain");
	}
}

/* Names are HMAC-SHA-256 by the job's key, whoever makes them: compared with libcrypto's own. */
static void names_are_keyed(void **state)
{
	static unsigned char data[70 * 4096];
	static const char *const implementations[] = { "libcrypto", "ipsec-mb" };
	struct pages_key *key = fixture_key_make(JOB);
	const void *page[70];
	uint8_t expected[32], plain[32];

	for (size_t i = 0; i < 70; i++) {
		fixture_page((uint32_t)i + 1, data + i * 4096);
		page[i] = data + i * 4096;
	}
	for (size_t n = 0; n < 2; n++) {
		uint8_t hash[70][32];
		struct hasher h;
		struct fm_error err;

		if (hasher_init(&h, implementations[n], key, &err) < 0) {
			assert_int_equal(err.code, FM_NOT_FOUND);
			print_message("without %s: %s\n", implementations[n], err.text);
			continue;
		}
		assert_ok(hasher_pages(&h, page, 70, hash, &err), err);
		for (size_t i = 0; i < 70; i++) {
			assert_non_null(HMAC(EVP_sha256(), key->name, 32, page[i], 4096, expected, NULL));
			assert_true(EVP_Digest(page[i], 4096, plain, NULL, EVP_sha256(), NULL));
			assert_memory_equal(hash[i], expected, 32);
			assert_memory_not_equal(hash[i], plain, 32);
		}
		hasher_dispose(&h);
	}
	pages_key_free(key);
}

static void keys_differ_by_purpose_and_salt(void **state)
{
	static const char *const purposes[] = { DISK_WRAP_PURPOSE, DISK_KEY_ID_PURPOSE, DISK_NAME_PURPOSE, DISK_PACK_PURPOSE,
						DISK_MAP_PURPOSE, DISK_BLOB_PURPOSE };
	uint8_t key[32] = "some key", salt[32] = "some salt", derived[12][32], info[100];
	struct fm_error err;

	for (size_t i = 0; i < 12; i++) {
		const char *purpose = purposes[i / 2];
		uint8_t expected[32];
		size_t size = strlen(purpose);

		assert_ok(seal_derive(key, purpose, i % 2 ? salt : NULL, derived[i], &err), err);
		memcpy(info, purpose, size); /* RFC 5869, by its words: T(1) = HMAC(PRK, info | 0x01) */
		memcpy(info + size, salt, 32);
		size += i % 2 ? 32 : 0;
		info[size++] = 1;
		assert_non_null(HMAC(EVP_sha256(), key, 32, info, size, expected, NULL));
		assert_memory_equal(derived[i], expected, 32);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(derived[i], derived[k], 32);
	}
}

/* ---- the wrong key, and none ---- */

static void denied(const struct fm_error *err, const char *file, const char *one, const char *two)
{
	assert_int_equal(err->code, FM_DENIED);
	if (!strstr(err->text, file) || !strstr(err->text, one) || !strstr(err->text, two))
		fail_msg("\"%s\" does not name %s, \"%s\", \"%s\"", err->text, file, one, two);
}

/* Whatever can be tried with w's files and another key. one, two: what the error has to say. */
static void all_is_denied(const struct world *w, const struct pages_key *key, const char *one, const char *two)
{
	struct pages_store *s = NULL;
	struct pages_map *m;
	struct fm_error err = { 0 };
	struct pages_verdict verdict;
	uint64_t before, after;
	char **packs, id[65];
	size_t files;

	assert_null(pages_map_open(w->map, JOB, key, NULL, &err));
	denied(&err, w->map, one, two);
	s = pages_store_open(w->dir, JOB, key, &err);
	assert_non_null(s);
	assert_code(pages_store_scan(s, &err), err, FM_DENIED);
	denied(&err, w->dir, one, two);
	assert_null(pages_writer_create(s, &(struct pages_writer_options){ .codec = PAGES_LZ4 }, &err));
	denied(&err, w->dir, one, two);
	m = pages_map_open(w->map, JOB, w->key, NULL, &err); /* a caller that mixes its keys up */
	assert_non_null(m);
	assert_null(pages_reader_create(s, m, &(struct pages_reader_options){ 0 }, &err));
	denied(&err, w->dir, one, two);
	assert_null(pages_writer_create(s, &(struct pages_writer_options){ .parent = m, .inherit = true }, &err));
	denied(&err, w->dir, one, two);
	pages_map_close(m);
	assert_int_equal(fixture_files(w->dir, ".pack", &packs), 3);
	snprintf(id, sizeof(id), "%.64s", strrchr(packs[1], '/') + 1);
	assert_code(pages_pack_verify(s, id, &verdict, &err), err, FM_DENIED);
	denied(&err, packs[1], one, two);
	assert_code(pages_pack_rewrite(s, id, &(struct pages_rewrite_options){ .codec = PAGES_ZSTD }, &before, &after, &err),
		    err, FM_DENIED);
	denied(&err, packs[1], one, two);
	fixture_free(packs, 3);
	pages_store_close(s);
	files = fixture_files(w->dir, ".part", &packs);
	fixture_free(packs, files);
	assert_int_equal(files, 0); /* nothing was begun */
}

static void read_all(const struct world *w)
{
	unsigned char page[4096], expected[4096];
	struct pages_store *s;
	struct pages_reader *r;
	struct pages_map *m;
	struct fm_error err;
	const void *bones;
	uint64_t pfn = 17;
	size_t size;

	s = pages_store_open(w->dir, JOB, w->key, &err);
	m = pages_map_open(w->map, JOB, w->key, NULL, &err);
	assert_non_null(m);
	r = pages_reader_create(s, m, &(struct pages_reader_options){ .threads = 2 }, &err);
	assert_non_null(r);
	assert_ok(pages_reader_fetch(r, &pfn, 1, page, &err), err);
	marker_page(expected);
	assert_memory_equal(page, expected, 4096);
	bones = pages_map_skeleton(m, &size);
	assert_int_equal(size, strlen(BONES));
	assert_memory_equal(bones, BONES, size);
	pages_reader_destroy(r);
	pages_map_close(m);
	pages_store_close(s);
}

static void without_the_key_all_is_denied(void **state)
{
	struct world *encrypted = world_make(true), *plain = world_make(false);
	struct pages_key *other = fixture_key_make(JOB), *another_jobs = fixture_key_make(JOB + 1);
	struct fm_error err;

	fill(encrypted, PAGES_LZ4);
	fill(plain, PAGES_LZ4);
	all_is_denied(encrypted, NULL, pages_key_id(encrypted->key), "there is no key");
	all_is_denied(encrypted, other, pages_key_id(encrypted->key), pages_key_id(other));
	all_is_denied(plain, other, "is not encrypted", pages_key_id(other));
	assert_null(pages_store_open(encrypted->dir, JOB, another_jobs, &err));
	assert_int_equal(err.code, FM_USAGE);
	read_all(encrypted); /* and nothing has harmed them */
	read_all(plain);
	pages_key_free(other);
	pages_key_free(another_jobs);
}

/* A job is encrypted from its first snapshot on, or never; and a key that is lost is not made anew. */
static void too_late(void **state)
{
	struct world *plain = world_make(false), *encrypted = world_make(true);
	struct pages_key *key = NULL;
	struct fm_error err;

	fill(plain, PAGES_LZ4);
	assert_code(pages_key_make(plain->folder, JOB, plain->site, plain->dir, &key, &err), err, FM_DENIED);
	assert_non_null(strstr(err.text, plain->dir));
	assert_non_null(strstr(err.text, "is not encrypted"));
	assert_null(key);
	assert_int_not_equal(access(plain->key_path, F_OK), 0);
	fill(encrypted, PAGES_LZ4);
	assert_int_equal(unlink(encrypted->key_path), 0);
	assert_code(pages_key_make(encrypted->folder, JOB, encrypted->site, encrypted->dir, &key, &err), err, FM_DENIED);
	assert_non_null(strstr(err.text, encrypted->key_path));
	assert_non_null(strstr(err.text, "is missing"));
	assert_null(key);
	assert_int_not_equal(access(encrypted->key_path, F_OK), 0);
}

/* The key's file, and only that, is taken away and put back: another process reads with what it says. */
static void by_the_key_in_the_folder(void **state)
{
	struct world *w = world_make(true);
	struct pages_key *found = NULL;
	struct fm_error err;

	fill(w, PAGES_ZSTD);
	assert_ok(pages_key_open(w->folder, JOB, w->site, &found, &err), err);
	pages_key_free(w->key);
	w->key = found;
	read_all(w);
}

/* ---- who can write to the disk ---- */

/* A pack in memory: changed, then all its checksums made right again. */
struct forged {
	char *path;
	unsigned char *bytes, *original;
	size_t size;
	struct disk_pack_trailer trailer; /* a copy */
	struct disk_frame *frame;         /* the index's */
};

static void forged_load(struct forged *f, const struct world *w)
{
	struct fm_error err;
	char **packs;

	assert_int_equal(fixture_files(w->dir, ".pack", &packs), 3);
	f->path = strdup(packs[0]);
	fixture_free(packs, 3);
	f->bytes = (unsigned char *)fm_file_read(f->path, 1 << 26, &f->size, &err);
	assert_non_null(f->bytes);
	f->original = malloc(f->size);
	assert_non_null(f->original);
	memcpy(f->original, f->bytes, f->size);
	memcpy(&f->trailer, f->bytes + f->size - sizeof(f->trailer), sizeof(f->trailer));
	f->frame = (struct disk_frame *)(f->bytes + f->trailer.index_offset);
}

static void forged_free(struct forged *f)
{
	free(f->path);
	free(f->bytes);
	free(f->original);
}

static void forged_write(struct forged *f)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	struct fm_error err;

	for (uint32_t i = 0; i < f->trailer.frames; i++) {
		struct disk_frame_header h = { .magic = DISK_FRAME_MAGIC, .frame = i, .stored = f->frame[i].stored,
					       .pages = f->frame[i].pages, .codec = f->frame[i].codec };
		unsigned char *at = f->bytes + f->frame[i].offset;

		h.checksum = f->frame[i].checksum = codec_checksum(at + sizeof(h), h.stored);
		memcpy(at, &h, sizeof(h));
	}
	assert_true(EVP_DigestInit_ex(c, EVP_sha256(), NULL) &&
		    EVP_DigestUpdate(c, f->bytes, sizeof(struct disk_pack_header)) &&
		    EVP_DigestUpdate(c, f->bytes + f->trailer.index_offset, f->trailer.index_size) &&
		    EVP_DigestUpdate(c, &f->trailer, offsetof(struct disk_pack_trailer, digest)) &&
		    EVP_DigestFinal_ex(c, f->trailer.digest, NULL));
	EVP_MD_CTX_free(c);
	memcpy(f->bytes + f->size - sizeof(f->trailer), &f->trailer, sizeof(f->trailer));
	assert_ok(fm_file_write(f->path, 0600, f->bytes, f->size, &err), err);
}

static int verify(const struct world *w, const char *pack, struct fm_error *err)
{
	struct pages_store *s = pages_store_open(w->dir, JOB, w->key, err);
	struct pages_verdict verdict;
	char id[65];
	int rc;

	snprintf(id, sizeof(id), "%.64s", strrchr(pack, '/') + 1);
	rc = pages_pack_verify(s, id, &verdict, err);
	pages_store_close(s);
	return rc;
}

static void forgery_is_found(const struct world *w, struct forged *f, enum fm_code code, const char *what)
{
	struct fm_error err;

	forged_write(f);
	assert_code(verify(w, f->path, &err), err, code);
	if (!strstr(err.text, f->path) || !strstr(err.text, what))
		fail_msg("\"%s\" does not name %s, \"%s\"", err.text, f->path, what);
	memcpy(f->bytes, f->original, f->size);
}

static void a_forged_pack(void **state)
{
	struct world *w = world_make(true);
	struct disk_pack_header *header;
	struct disk_frame_header *first;
	struct fm_error err;
	struct forged f;
	unsigned char *a, *b;

	fill(w, PAGES_RAW); /* frames of one size */
	forged_load(&f, w);
	header = (struct disk_pack_header *)f.bytes;
	forged_write(&f); /* that we do it right */
	assert_ok(verify(w, f.path, &err), err);
	a = f.bytes + f.frame[0].offset + sizeof(*first);
	b = f.bytes + f.frame[1].offset + sizeof(*first);
	a[5000] ^= 4; /* would be the same bit of the page */
	forgery_is_found(w, &f, FM_CORRUPT, "frame 0: it is not what was encrypted");
	a[f.frame[0].stored - 3] ^= 1; /* the tag */
	forgery_is_found(w, &f, FM_CORRUPT, "frame 0: it is not what was encrypted");
	memcpy(b, a, f.frame[1].stored); /* a frame in another's place */
	forgery_is_found(w, &f, FM_CORRUPT, "frame 1: it is not what was encrypted");
	f.frame[1].codec = PAGES_LZ4; /* bytes given to a decompressor they are not for */
	forgery_is_found(w, &f, FM_CORRUPT, "frame 1: it is not what was encrypted");
	header->salt[7] ^= 1;
	forgery_is_found(w, &f, FM_CORRUPT, "frame 0: it is not what was encrypted");
	header->key[0] ^= 1;
	forgery_is_found(w, &f, FM_DENIED, "it is encrypted by key");
	header->cipher = DISK_CIPHER_NONE;
	forgery_is_found(w, &f, FM_DENIED, "it is not encrypted");
	header->cipher = 2;
	forgery_is_found(w, &f, FM_INCOMPATIBLE, "cipher is number 2");
	f.frame[1].stored = SEAL_TAG; /* nothing but a tag */
	forgery_is_found(w, &f, FM_CORRUPT, "(frame 1)");
	forged_free(&f);
}

static void map_forged(const struct world *w, const unsigned char *map, size_t size, size_t at, enum fm_code code,
		       const char *what)
{
	FM_AUTO_FREE unsigned char *bytes = malloc(size);
	struct fm_error err;

	assert_non_null(bytes);
	memcpy(bytes, map, size);
	bytes[at] ^= 1;
	assert_true(EVP_Digest(bytes, size - 32, bytes + size - 32, NULL, EVP_sha256(), NULL));
	assert_ok(fm_file_write(w->map, 0600, bytes, size, &err), err);
	assert_null(pages_map_open(w->map, JOB, w->key, NULL, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.text, w->map) || !strstr(err.text, what))
		fail_msg("byte %zu: \"%s\" does not name %s, \"%s\"", at, err.text, w->map, what);
}

/* Any byte changed, the file's hash made right: what is encrypted is bound to all before it. */
static void a_forged_map(void **state)
{
	static const char tag[] = "it is not what was encrypted";
	struct world *w = world_make(true);
	FM_AUTO_FREE unsigned char *map = NULL;
	struct disk_map_header h;
	struct fm_error err;
	size_t size, packs;

	fill(w, PAGES_LZ4);
	map = (unsigned char *)fm_file_read(w->map, 1 << 20, &size, &err);
	assert_non_null(map);
	memcpy(&h, map, sizeof(h));
	packs = sizeof(h) + h.packs * sizeof(struct disk_map_pack);
	for (size_t at = sizeof(h); at < size - 32; at++) /* packs, entries, skeleton, tags */
		map_forged(w, map, size, at, FM_CORRUPT, tag);
	assert_true(packs + h.entries_stored + h.skeleton_stored + 32 == size && h.packs == 3);
	map_forged(w, map, size, offsetof(struct disk_map_header, zero_pages), FM_CORRUPT, tag);
	map_forged(w, map, size, offsetof(struct disk_map_header, salt), FM_CORRUPT, tag);
	map_forged(w, map, size, offsetof(struct disk_map_header, zero), FM_CORRUPT, tag);
	map_forged(w, map, size, offsetof(struct disk_map_header, key), FM_DENIED, "encrypted by key");
	map_forged(w, map, size, offsetof(struct disk_map_header, cipher), FM_DENIED, "not encrypted");
	assert_ok(fm_file_write(w->map, 0600, map, size, &err), err);
	read_all(w);
}

/* Written anew the same way: another salt, so not a byte of a frame is where it was; the same pages. */
static void written_anew_by_another_key(void **state)
{
	struct world *w = world_make(true);
	struct pages_rewrite_options o = { .codec = PAGES_RAW, .frame_pages = 16 };
	const struct disk_pack_header *was, *is;
	struct pages_store *s;
	struct fm_error err;
	struct forged f;
	FM_AUTO_FREE unsigned char *again = NULL;
	uint64_t before, after;
	size_t size, same = 0, at, end;
	char id[65];

	fill(w, PAGES_RAW);
	forged_load(&f, w);
	snprintf(id, sizeof(id), "%.64s", strrchr(f.path, '/') + 1);
	s = pages_store_open(w->dir, JOB, w->key, &err);
	assert_ok(pages_pack_rewrite(s, id, &o, &before, &after, &err), err);
	assert_int_equal(before, after);
	pages_store_close(s);
	again = (unsigned char *)fm_file_read(f.path, 1 << 26, &size, &err);
	assert_int_equal(size, f.size);
	was = (const void *)f.bytes;
	is = (const void *)again;
	assert_memory_not_equal(was->salt, is->salt, 32);
	end = (size_t)f.frame[0].offset + sizeof(struct disk_frame_header) + f.frame[0].stored;
	for (at = (size_t)f.frame[0].offset + sizeof(struct disk_frame_header); at < end; at++)
		same += f.bytes[at] == again[at];
	assert_true(same < (size_t)f.frame[0].stored / 64); /* one in 256 by chance */
	assert_ok(verify(w, f.path, &err), err);
	read_all(w);
	forged_free(&f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_found_on_the_disk),
		TEST(names_are_keyed),
		TEST(keys_differ_by_purpose_and_salt),
		TEST(without_the_key_all_is_denied),
		TEST(too_late),
		TEST(by_the_key_in_the_folder),
		TEST(a_forged_pack),
		TEST(a_forged_map),
		TEST(written_anew_by_another_key),
	};

	return cmocka_run_group_tests_name("pages crypt", tests, NULL, NULL);
}
