/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.h - SHA-256 of bytes that come in pieces (levels only). */
#ifndef FM_STORE_LEVEL_DIGEST_H
#define FM_STORE_LEVEL_DIGEST_H

#include <stddef.h>

#include "common/error.h"

struct digest;

struct digest *digest_create(struct fm_error *err);
int digest_add(struct digest *d, const void *data, size_t size, struct fm_error *err);
/* Lower-case hex; once. */
int digest_finish(struct digest *d, char hex_r[65], struct fm_error *err);
void digest_destroy(struct digest *d); /* NULL is fine */

#endif
