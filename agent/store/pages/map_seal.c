/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map_seal.c - a map's entries and skeleton encrypted where they lie, compressed, in the file's bytes.
 *
 * Bound to both is all that lies before them: header, with the salt, and packs.
 */
#include "config.h"

#include "agent/store/key_format.h"
#include "agent/store/key_private.h"
#include "agent/store/pages/format.h"
#include "agent/store/pages/map.h"

#define ENTRIES_NUMBER 0u
#define SKELETON_NUMBER 1u

int map_seal(const struct disk_map_header *h, const struct pages_key *key, uint8_t *file, struct fm_error *err)
{
	const struct seal_bound bound = { file, sizeof(*h) + (size_t)h->packs * sizeof(struct disk_map_pack) };
	uint8_t *entries = file + bound.size, *skeleton = entries + h->entries_stored, own[SEAL_KEY];
	size_t entries_size = h->entries_stored - SEAL_TAG, skeleton_size = h->skeleton_stored - SEAL_TAG;
	struct seal seal = { 0 };
	int rc = seal_derive(key->data, DISK_MAP_PURPOSE, h->salt, own, err);

	if (rc == 0)
		rc = seal_close(&seal, own, ENTRIES_NUMBER, &bound, entries, entries_size, entries + entries_size, err);
	if (rc == 0)
		rc = seal_close(&seal, own, SKELETON_NUMBER, &bound, skeleton, skeleton_size, skeleton + skeleton_size,
				err);
	seal_dispose(&seal);
	seal_wipe(own, sizeof(own));
	return rc;
}

int map_unseal(struct disk_map_header *h, const struct pages_key *key, uint8_t *file, struct fm_error *err)
{
	const struct seal_bound bound = { file, sizeof(*h) + (size_t)h->packs * sizeof(struct disk_map_pack) };
	uint8_t *entries = file + bound.size, *skeleton = entries + h->entries_stored, own[SEAL_KEY];
	struct seal seal = { 0 };
	int rc;

	if (pages_key_fits(key, h->cipher != DISK_CIPHER_NONE, h->key, err) < 0)
		return -1;
	if (h->cipher == DISK_CIPHER_NONE)
		return 0;
	if (h->entries_stored < SEAL_TAG || h->skeleton_stored < SEAL_TAG)
		return fm_fail(err, FM_CORRUPT, "its header's numbers do not fit together");
	h->entries_stored -= SEAL_TAG;
	h->skeleton_stored -= SEAL_TAG;
	rc = seal_derive(key->data, DISK_MAP_PURPOSE, h->salt, own, err);
	if (rc == 0)
		rc = seal_open(&seal, own, ENTRIES_NUMBER, &bound, entries, h->entries_stored, entries + h->entries_stored,
			       err);
	if (rc == 0)
		rc = seal_open(&seal, own, SKELETON_NUMBER, &bound, skeleton, h->skeleton_stored,
			       skeleton + h->skeleton_stored, err);
	seal_dispose(&seal);
	seal_wipe(own, sizeof(own));
	return rc;
}
