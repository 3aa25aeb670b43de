/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.h - SHA-256 of bytes that come in pieces. */
#ifndef FM_DIGEST_H
#define FM_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct digest;

struct digest *digest_create(struct fm_error *err);
int digest_add(struct digest *d, const void *data, size_t size, struct fm_error *err);
/* Of the bytes so far: more may follow. */
int digest_so_far(const struct digest *d, uint8_t sha256_r[32], struct fm_error *err);
/* The same as 64 lower-case digits and a NUL. */
int digest_hex(const struct digest *d, char hex_r[65], struct fm_error *err);
void digest_destroy(struct digest *d); /* NULL is fine */

#endif
