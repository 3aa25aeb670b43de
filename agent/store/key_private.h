/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key_private.h - keys from inside, for the store and its pages only. */
#ifndef FM_STORE_KEY_PRIVATE_H
#define FM_STORE_KEY_PRIVATE_H

#include <stdbool.h>

#include "agent/store/key.h"
#include "agent/store/seal.h"

struct site_key {
	uint8_t data[SEAL_KEY];
	uint8_t id[4];
	char id_text[9];
	char *path;
};

struct pages_key {
	uint32_t job;
	uint8_t data[SEAL_KEY]; /* from it all others are derived */
	uint8_t name[SEAL_KEY]; /* pages are named by their HMAC-SHA-256 with this */
	uint8_t id[8];
	char id_text[17];
};

/*
 * Does what says of itself that it is (encrypted) by the key called id fit the key that we have (NULL: none)? FM_DENIED.
 * The caller puts the file's name before it.
 */
int pages_key_fits(const struct pages_key *key, bool encrypted, const uint8_t id[8], struct fm_error *err);

#endif
