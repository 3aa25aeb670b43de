/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_fuzz.c - any bytes as a member's map, or as a manifest, with the hashes put right: what lies behind them must stand by
 * itself (libFuzzer, and replay.c for the seeds).
 *
 *	'F' FILE             a map without its hash
 *	'R' N (u16)×N U16 …  the entries of a map of N packs of so many slots, U16 runs: so that the fuzzer gets to them without zstd
 *	else                 a manifest's JSON
 *
 * What must hold whatever the bytes are:
 * - an error is one of the reader's, with a text; nothing is half opened;
 * - entries that are accepted are written, opened and read as they were; with one bit turned, the file is refused;
 * - a manifest that is sealed and opens gives the same text when it is sealed again.
 */
#include "config.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/store/manifest.h"
#include "agent/store/pages/map.h"
#include "agent/xenstream/format.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"

#define JOB 7u
#define PACKS 4u
#define PAGES_MOST (1u << 18) /* more takes too long for a fuzzer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                                                                     \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);                       \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

static const char *path(void)
{
	static char name[64];

	if (!*name)
		snprintf(name, sizeof(name), "%s/fermata-fuzz-%d.map", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
			 (int)getpid());
	return name;
}

static void check_error(const struct fm_error *err)
{
	MUST((err->code == FM_CORRUPT || err->code == FM_INCOMPATIBLE || err->code == FM_DENIED) && *err->text);
}

/* ---- maps */

static void put_file(const void *data, size_t size, const void *more, size_t more_size)
{
	FM_AUTO_CLOSE int fd = open(path(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0 && fm_write_all(fd, data, size) == 0 && fm_write_all(fd, more, more_size) == 0);
}

/* All that it says of itself is so. */
static void walk(const struct pages_map *m)
{
	uint64_t from = 0, pfn, pages = 0, zero = 0, last = 0;
	char id[65];

	for (; pages_map_next(m, &from, &pfn, 1) == 1; pages++) {
		uint32_t ref = map_get(m, pfn);

		MUST(pages == 0 || pfn > last);
		MUST(ref != REF_NONE && (ref == REF_ZERO || map_pack_of(m, ref) < m->packs));
		zero += ref == REF_ZERO;
		last = pfn;
	}
	MUST(pages == pages_map_count(m) && zero == pages_map_zero_count(m));
	MUST(pages_map_pfn_end(m) == (pages ? last + 1 : 0));
	for (size_t i = 0; pages_map_pack(m, i, id); i++)
		MUST(strlen(id) == 64);
}

static void file_bytes(const uint8_t *data, size_t size)
{
	struct fm_error err = { 0 };
	struct pages_map *m;
	uint8_t hash[32];

	if (size >= sizeof(struct disk_map_header) && xenstream_le64(data + offsetof(struct disk_map_header, pages)) > PAGES_MOST)
		return;
	MUST(EVP_Digest(data, size, hash, NULL, EVP_sha256(), NULL));
	put_file(data, size, hash, sizeof(hash));
	m = pages_map_open(path(), JOB, NULL, NULL, &err);
	if (!m) {
		check_error(&err);
		return;
	}
	walk(m);
	pages_map_close(m);
}

/* Where the page is, by what outlives a file: its pack's id, and the slot. */
static bool same_place(const struct pages_map *a, const struct pages_map *b, uint64_t pfn)
{
	uint32_t x = map_get(a, pfn), y = map_get(b, pfn);
	const struct map_pack *p, *q;

	if (x < REF_FIRST || y < REF_FIRST)
		return x == y;
	p = &a->pack[map_pack_of(a, x)];
	q = &b->pack[map_pack_of(b, y)];
	return memcmp(p->id, q->id, 32) == 0 && x - p->base == y - q->base && p->slots == q->slots;
}

static void written_and_read(const struct pages_map *m, const uint8_t *data, size_t size)
{
	struct fm_error err = { 0 };
	struct store_file file = { 0 };
	struct pages_map *again;
	FM_AUTO_FREE char *bytes = NULL;
	uint64_t from = 0, pfn;
	size_t length;

	unlink(path());
	MUST(map_write(m, path(), NULL, data, size, &file, &err) == 0);
	again = pages_map_open(path(), JOB, NULL, file.sha256, &err);
	MUST(again && pages_map_count(again) == m->pages);
	walk(again);
	while (pages_map_next(m, &from, &pfn, 1) == 1)
		MUST(same_place(m, again, pfn));
	MUST(again->skeleton_size == size && (size == 0 || memcmp(again->skeleton, data, size) == 0));
	pages_map_close(again);
	bytes = fm_file_read(path(), (size_t)1 << 26, &length, &err);
	MUST(bytes && length == file.bytes);
	bytes[(size * 2654435761u + data[size / 2]) % length] ^= (char)(1 << size % 8);
	put_file(bytes, length, NULL, 0);
	again = pages_map_open(path(), JOB, NULL, NULL, &err);
	MUST(!again);
	check_error(&err);
}

static void entries(const uint8_t *data, size_t size)
{
	struct fm_error err = { 0 };
	struct pages_map *m = map_create(JOB, &err);
	const uint8_t *at = data + 1, *end = data + size;
	unsigned packs = data[0] % (PACKS + 1);
	uint32_t runs;

	MUST(m);
	for (unsigned i = 0; i < packs && end - at >= 2; i++, at += 2) {
		uint8_t id[32];

		memset(id, (int)(i + 1), sizeof(id));
		MUST(map_pack_add(m, id, 1 + ((uint32_t)at[0] | (uint32_t)at[1] << 8), &err) == (long)i);
	}
	if (end - at >= 2) {
		runs = (uint32_t)at[0] | (uint32_t)at[1] << 8;
		if (map_runs_decode(m, at + 2, (size_t)(end - at - 2), runs, PAGES_MOST, &err) < 0) {
			check_error(&err);
		} else {
			walk(m);
			written_and_read(m, data, size);
		}
	}
	pages_map_close(m);
}

/* ---- manifests */

static void manifest(const uint8_t *data, size_t size)
{
	const struct fm_snapshot_id id = { .job = JOB, .n = 1 };
	struct fm_error err = { 0 };
	FM_AUTO_JSON struct json_object *o = fm_json_parse((const char *)data, size, &err), *opened = NULL;
	FM_AUTO_FREE char *text = NULL, *again = NULL;

	if (!o)
		return;
	json_object_object_del(o, "sha256");
	text = manifest_seal(o, &err);
	MUST(text);
	opened = manifest_open(text, strlen(text), &id, &err);
	if (!opened) {
		check_error(&err);
		return;
	}
	json_object_object_del(opened, "sha256");
	again = manifest_seal(opened, &err);
	MUST(again && strcmp(again, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 1 && data[0] == 'F')
		file_bytes(data + 1, size - 1);
	else if (size > 1 && data[0] == 'R')
		entries(data + 1, size - 1);
	else if (size > 0)
		manifest(data, size);
	unlink(path());
	return 0;
}
