/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.h - SHA-256 of bytes that come in pieces (parity only). */
#ifndef FM_STORE_PARITY_DIGEST_H
#define FM_STORE_PARITY_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct digest;

struct digest *digest_create(struct fm_error *err);
int digest_add(struct digest *d, const void *data, size_t size, struct fm_error *err);
/* Of the bytes so far: more may follow. */
int digest_so_far(const struct digest *d, uint8_t sha256_r[32], struct fm_error *err);
void digest_destroy(struct digest *d); /* NULL is fine */

#endif
