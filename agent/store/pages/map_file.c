/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_file.c - a map on disk: header, packs, entries, skeleton, and the SHA-256 of all that.
 *
 * The file's hash is checked before anything in it is looked at; sizes are bounded before they are allocated. Entries
 * and skeleton are compressed, then encrypted; all that lies before them is bound to both.
 */
#include "config.h"

#include "agent/store/pages/map.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "agent/store/key_format.h"
#include "agent/store/key_private.h"
#include "agent/store/pages/hash.h"
#include "common/cleanup.h"
#include "common/io.h"

#define MAP_FILE_MAX ((size_t)16 << 30)
#define SKELETON_MAX ((uint64_t)4 << 30)
#define RUN_BYTES 22 /* of a run, at the most */
#define LEVEL 1
#define HASH_BYTES 32u

struct layout {
	struct disk_map_header header;
	struct disk_map_pack *pack;
	uint32_t *number; /* of the map's packs in the file */
	void *entries;    /* raw */
};

static void layout_dispose(struct layout *l)
{
	free(l->pack);
	free(l->number);
	free(l->entries);
}

/* The packs that pages are in, in the map's order. */
static int packs_choose(const struct pages_map *m, struct layout *l, struct fm_error *err)
{
	FM_AUTO_FREE bool *used = calloc(m->packs + 1, sizeof(*used));
	size_t last = 0;

	l->pack = calloc(m->packs + 1, sizeof(*l->pack));
	l->number = calloc(m->packs + 1, sizeof(*l->number));
	if (!used || !l->pack || !l->number)
		return fm_fail(err, FM_FAILED, "out of memory");
	for (uint64_t pfn = map_next(m, 0); pfn < PAGES_PFN_END; pfn = map_next(m, pfn + 1)) {
		uint32_t ref = map_get(m, pfn);

		if (ref < REF_FIRST)
			continue;
		if (ref - m->pack[last].base >= m->pack[last].slots)
			last = map_pack_of(m, ref);
		used[last] = true;
	}
	for (size_t i = 0; i < m->packs; i++) {
		if (!used[i])
			continue;
		l->number[i] = l->header.packs;
		l->pack[l->header.packs].slots = m->pack[i].slots;
		memcpy(l->pack[l->header.packs++].id, m->pack[i].id, 32);
	}
	return 0;
}

static int layout_make(const struct pages_map *m, const struct pages_key *key, size_t skeleton_size, struct layout *l,
		       struct fm_error *err)
{
	size_t size;

	l->header = (struct disk_map_header){
		.version = DISK_VERSION, .header_size = sizeof(l->header), .job = m->job, .page_size = PAGES_SIZE,
		.pages = m->pages, .zero_pages = m->zero_pages, .pfn_end = pages_map_pfn_end(m),
		.skeleton_raw = skeleton_size,
	};
	memcpy(l->header.magic, DISK_MAP_MAGIC, sizeof(l->header.magic));
	if (key) {
		l->header.cipher = DISK_CIPHER_AES_256_GCM;
		memcpy(l->header.key, key->id, sizeof(l->header.key));
		if (seal_random(l->header.salt, sizeof(l->header.salt), err) < 0)
			return -1;
	}
	if (packs_choose(m, l, err) < 0)
		return -1;
	l->entries = map_runs_encode(m, l->number, &size, &l->header.runs, err);
	l->header.entries_raw = size;
	return l->entries ? 0 : -1;
}

static int compress(uint8_t *to, size_t room, const void *data, size_t size, uint64_t *stored_r, struct fm_error *err)
{
	size_t r = ZSTD_compress(to, room, data, size, LEVEL);

	if (ZSTD_isError(r))
		return fm_fail(err, FM_FAILED, "zstd: %s", ZSTD_getErrorName(r));
	*stored_r = r;
	return 0;
}

/* Header, packs, compressed pieces into the file, which has room. */
static int pieces_put(struct layout *l, const struct pages_key *key, const void *skeleton, uint8_t *file,
		      struct fm_error *err)
{
	struct disk_map_header *h = &l->header;
	size_t packs = h->packs * sizeof(*l->pack), at = sizeof(*h) + packs, tag = key ? SEAL_TAG : 0;

	if (compress(file + at, ZSTD_compressBound(h->entries_raw), l->entries, h->entries_raw, &h->entries_stored,
		     err) < 0)
		return -1;
	h->entries_stored += tag;
	if (compress(file + at + h->entries_stored, ZSTD_compressBound(h->skeleton_raw), skeleton, h->skeleton_raw,
		     &h->skeleton_stored, err) < 0)
		return -1;
	h->skeleton_stored += tag;
	memcpy(file, h, sizeof(*h));
	memcpy(file + sizeof(*h), l->pack, packs);
	return key ? map_seal(h, key, file, err) : 0;
}

/* The file's bytes. Caller frees. */
static uint8_t *assemble(struct layout *l, const struct pages_key *key, const void *skeleton, size_t *size_r,
			 struct fm_error *err)
{
	struct disk_map_header *h = &l->header;
	size_t at = sizeof(*h) + h->packs * sizeof(*l->pack);
	uint8_t *file = malloc(at + ZSTD_compressBound(h->entries_raw) + ZSTD_compressBound(h->skeleton_raw) +
			       2 * SEAL_TAG + HASH_BYTES);

	if (!file) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	if (pieces_put(l, key, skeleton, file, err) < 0) {
		free(file);
		return NULL;
	}
	at += h->entries_stored + h->skeleton_stored;
	if (!EVP_Digest(file, at, file + at, NULL, EVP_sha256(), NULL)) {
		free(file);
		fm_fail(err, FM_FAILED, "SHA-256 failed");
		return NULL;
	}
	*size_r = at + HASH_BYTES;
	return file;
}

static int file_describe(const char *path, const uint8_t *file, size_t size, uint64_t raw, struct store_file *file_r,
			 struct fm_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	uint8_t hash[32];

	memset(file_r, 0, sizeof(*file_r));
	if (strlen(name) >= sizeof(file_r->name))
		return fm_fail(err, FM_USAGE, "the name is too long");
	memcpy(file_r->name, name, strlen(name));
	file_r->bytes = size;
	file_r->raw_bytes = raw;
	if (!EVP_Digest(file, size, hash, NULL, EVP_sha256(), NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	hash_hex(hash, file_r->sha256);
	return 0;
}

int map_write(const struct pages_map *m, const char *path, const struct pages_key *key, const void *skeleton,
	      size_t skeleton_size, struct store_file *file_r, struct fm_error *err)
{
	FM_AUTO_FREE uint8_t *file = NULL;
	struct layout l = { 0 };
	size_t size = 0;
	int rc = -1;

	if (skeleton_size > SKELETON_MAX)
		fm_fail(err, FM_USAGE, "a skeleton of %zu bytes is too large", skeleton_size);
	else if (access(path, F_OK) == 0 || errno != ENOENT)
		fm_fail(err, FM_FAILED, "it is there already, or cannot be looked for");
	else if (layout_make(m, key, skeleton_size, &l, err) == 0 && (file = assemble(&l, key, skeleton, &size, err)))
		rc = file_describe(path, file, size, m->pages * PAGES_SIZE + skeleton_size, file_r, err);
	layout_dispose(&l);
	if (rc < 0)
		return fm_context(err, "%s", path);
	return fm_file_write(path, 0600, file, size, err);
}

static int hash_check(const uint8_t *file, size_t size, const char *sha256, struct fm_error *err)
{
	uint8_t hash[32];
	char hex[65];

	if (size < sizeof(struct disk_map_header) + HASH_BYTES)
		return fm_fail(err, FM_CORRUPT, "it is cut short (%zu bytes)", size);
	if (!EVP_Digest(file, size, hash, NULL, EVP_sha256(), NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	hash_hex(hash, hex);
	if (sha256 && strcmp(hex, sha256) != 0)
		return fm_fail(err, FM_CORRUPT, "its SHA-256 is not the manifest's");
	if (!EVP_Digest(file, size - HASH_BYTES, hash, NULL, EVP_sha256(), NULL))
		return fm_fail(err, FM_FAILED, "SHA-256 failed");
	if (memcmp(hash, file + size - HASH_BYTES, HASH_BYTES) != 0)
		return fm_fail(err, FM_CORRUPT, "its SHA-256 is wrong: damaged, or cut short");
	return 0;
}

static int header_check(const struct disk_map_header *h, uint32_t job, uint64_t size, struct fm_error *err)
{
	if (memcmp(h->magic, DISK_MAP_MAGIC, 8) != 0)
		return fm_fail(err, FM_CORRUPT, "it does not begin like a map");
	if (h->version != DISK_VERSION)
		return fm_fail(err, FM_INCOMPATIBLE, "its format is version %u, this is for %u", h->version,
			       DISK_VERSION);
	if (h->job != job)
		return fm_fail(err, FM_CORRUPT, "it is job %u's, not job %u's", h->job, job);
	if (h->cipher > DISK_CIPHER_AES_256_GCM)
		return fm_fail(err, FM_INCOMPATIBLE, "its cipher is number %u", h->cipher);
	if (h->header_size != sizeof(*h) || h->page_size != PAGES_SIZE || h->pfn_end > PAGES_PFN_END ||
	    h->pages > h->pfn_end || h->zero_pages > h->pages || h->runs > h->pages || h->skeleton_raw > SKELETON_MAX ||
	    h->entries_raw > (uint64_t)h->runs * RUN_BYTES || h->entries_stored > size || h->skeleton_stored > size ||
	    size != sizeof(*h) + (uint64_t)h->packs * sizeof(struct disk_map_pack) + h->entries_stored +
		    h->skeleton_stored + HASH_BYTES)
		return fm_fail(err, FM_CORRUPT, "its header's numbers do not fit together");
	return 0;
}

/* Caller frees; one byte more, so that there is something to free. */
static void *expand(const uint8_t *data, uint64_t stored, uint64_t raw, const char *what, struct fm_error *err)
{
	void *out = malloc(raw + 1);
	size_t r;

	if (!out) {
		fm_fail(err, FM_FAILED, "out of memory");
		return NULL;
	}
	r = ZSTD_decompress(out, raw, data, stored);
	if (!ZSTD_isError(r) && r == raw)
		return out;
	fm_fail(err, FM_CORRUPT, "its %s cannot be decompressed", what);
	free(out);
	return NULL;
}

static int content_load(struct pages_map *m, const struct disk_map_header *h, const uint8_t *at, struct fm_error *err)
{
	size_t tag = h->cipher == DISK_CIPHER_NONE ? 0 : SEAL_TAG;
	FM_AUTO_FREE void *entries = NULL;

	for (uint32_t i = 0; i < h->packs; i++, at += sizeof(struct disk_map_pack)) {
		struct disk_map_pack p;

		memcpy(&p, at, sizeof(p));
		if (p.slots == 0 || p.slots > PAGES_PACK_MAX)
			return fm_fail(err, FM_CORRUPT, "its pack %u has %u slots", i, p.slots);
		if (map_pack_add(m, p.id, p.slots, err) < 0)
			return -1;
	}
	entries = expand(at, h->entries_stored, h->entries_raw, "entries", err);
	if (!entries || map_runs_decode(m, entries, h->entries_raw, h->runs, h->pages, err) < 0)
		return -1;
	if (m->pages != h->pages || m->zero_pages != h->zero_pages || pages_map_pfn_end(m) != h->pfn_end)
		return fm_fail(err, FM_CORRUPT, "its entries are not those its header counts");
	m->skeleton = expand(at + h->entries_stored + tag, h->skeleton_stored, h->skeleton_raw, "skeleton", err);
	m->skeleton_size = h->skeleton_raw;
	return m->skeleton ? 0 : -1;
}

/* fm_file_read() takes an empty file for one of /proc. */
static uint8_t *file_load(const char *path, size_t *size_r, struct fm_error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size == 0) {
		fm_fail(err, FM_CORRUPT, "%s: it is empty", path);
		return NULL;
	}
	return (uint8_t *)fm_file_read(path, MAP_FILE_MAX, size_r, err);
}

struct pages_map *pages_map_open(const char *path, uint32_t job, const struct pages_key *key, const char *sha256,
				 struct fm_error *err)
{
	size_t size;
	FM_AUTO_FREE uint8_t *file = file_load(path, &size, err);
	struct pages_map *m = file ? map_create(job, err) : NULL;
	struct disk_map_header header;

	if (!m)
		return NULL;
	if (hash_check(file, size, sha256, err) == 0) {
		memcpy(&header, file, sizeof(header));
		if (header_check(&header, job, size, err) == 0 && map_unseal(&header, key, file, err) == 0 &&
		    content_load(m, &header, file + sizeof(header), err) == 0)
			return m;
	}
	fm_context(err, "%s", path);
	pages_map_close(m);
	return NULL;
}
