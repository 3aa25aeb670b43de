/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blob.c - small files sealed as a whole: header, ciphertext. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/store/key_format.h"
#include "agent/store/key_private.h"
#include "common/cleanup.h"
#include "common/io.h"

/* Header and place; caller frees. */
static void *bound_make(const struct disk_blob *h, const char *place, struct seal_bound *bound_r, struct fm_error *err)
{
	size_t fixed = offsetof(struct disk_blob, tag);
	char *bytes = malloc(fixed + strlen(place) + 1);

	if (!bytes) {
		fm_fail(err, FM_FAILED, "%s: out of memory", place);
		return NULL;
	}
	memcpy(bytes, h, fixed);
	memcpy(bytes + fixed, place, strlen(place) + 1);
	*bound_r = (struct seal_bound){ bytes, fixed + strlen(place) };
	return bytes;
}

static int copy(const char *place, const void *data, size_t size, void **copy_r, size_t *size_r, struct fm_error *err)
{
	char *to = malloc(size + 1);

	if (!to)
		return fm_fail(err, FM_FAILED, "%s: out of memory", place);
	if (size > 0)
		memcpy(to, data, size);
	to[size] = '\0';
	*copy_r = to;
	*size_r = size;
	return 0;
}

int blob_seal(const struct pages_key *key, const char *place, const void *data, size_t size, void **sealed_r,
	      size_t *sealed_size_r, struct fm_error *err)
{
	struct disk_blob h = { .version = DISK_KEY_VERSION, .header_size = sizeof(h), .cipher = DISK_CIPHER_AES_256_GCM,
			       .size = size };
	FM_AUTO_FREE char *sealed = NULL;
	FM_AUTO_FREE void *bytes = NULL;
	struct seal_bound bound;
	struct seal seal = { 0 };
	uint8_t own[SEAL_KEY];
	int rc = -1;

	if (!key)
		return copy(place, data, size, sealed_r, sealed_size_r, err);
	memcpy(h.magic, DISK_BLOB_MAGIC, sizeof(h.magic));
	h.job = key->job;
	memcpy(h.key, key->id, sizeof(h.key));
	sealed = malloc(sizeof(h) + size);
	if (!sealed)
		return fm_fail(err, FM_FAILED, "%s: out of memory", place);
	if (size > 0)
		memcpy(sealed + sizeof(h), data, size);
	if (seal_random(h.salt, sizeof(h.salt), err) == 0 && (bytes = bound_make(&h, place, &bound, err)) &&
	    seal_derive(key->data, DISK_BLOB_PURPOSE, h.salt, own, err) == 0)
		rc = seal_close(&seal, own, 0, &bound, sealed + sizeof(h), size, h.tag, err);
	seal_dispose(&seal);
	seal_wipe(own, sizeof(own));
	if (rc < 0)
		return -1;
	memcpy(sealed, &h, sizeof(h));
	*sealed_r = fm_steal_ptr(&sealed);
	*sealed_size_r = sizeof(h) + size;
	return 0;
}

static int header_check(const struct disk_blob *h, size_t sealed_size, const struct pages_key *key, struct fm_error *err)
{
	if (h->version != DISK_KEY_VERSION || h->header_size != sizeof(*h) || h->cipher != DISK_CIPHER_AES_256_GCM)
		return fm_fail(err, FM_INCOMPATIBLE, "its format is version %u, cipher %u; this is for %u and %u",
			       h->version, h->cipher, DISK_KEY_VERSION, DISK_CIPHER_AES_256_GCM);
	if (h->size != sealed_size - sizeof(*h))
		return fm_fail(err, FM_CORRUPT, "it has not the %llu bytes it says it has", (unsigned long long)h->size);
	if (pages_key_fits(key, true, h->key, err) < 0)
		return -1;
	if (h->job != key->job)
		return fm_fail(err, FM_CORRUPT, "it is job %u's, not job %u's", h->job, key->job);
	return 0;
}

int blob_open(const struct pages_key *key, const char *place, const void *sealed, size_t sealed_size, void **data_r,
	      size_t *size_r, struct fm_error *err)
{
	bool is_sealed = sealed_size >= 8 && memcmp(sealed, DISK_BLOB_MAGIC, 8) == 0;
	FM_AUTO_FREE void *bytes = NULL, *data = NULL;
	struct seal_bound bound;
	struct seal seal = { 0 };
	uint8_t own[SEAL_KEY];
	struct disk_blob h;
	size_t size = 0;
	int rc = -1;

	if (!is_sealed && pages_key_fits(key, false, (const uint8_t[8]){ 0 }, err) < 0)
		return fm_context(err, "%s", place);
	if (!is_sealed)
		return copy(place, sealed, sealed_size, data_r, size_r, err);
	if (sealed_size < sizeof(h))
		return fm_fail(err, FM_CORRUPT, "%s: it is cut short (%zu bytes)", place, sealed_size);
	memcpy(&h, sealed, sizeof(h));
	if (header_check(&h, sealed_size, key, err) < 0)
		return fm_context(err, "%s", place);
	if (copy(place, (const char *)sealed + sizeof(h), sealed_size - sizeof(h), &data, &size, err) < 0 ||
	    !(bytes = bound_make(&h, place, &bound, err)))
		return -1;
	if (seal_derive(key->data, DISK_BLOB_PURPOSE, h.salt, own, err) == 0)
		rc = seal_open(&seal, own, 0, &bound, data, size, h.tag, err);
	seal_dispose(&seal);
	seal_wipe(own, sizeof(own));
	if (rc < 0)
		return fm_context(err, "%s", place);
	*data_r = fm_steal_ptr(&data);
	*size_r = size;
	return 0;
}
