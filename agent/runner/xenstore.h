/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstore.h - read one value from inside a guest, through /dev/xen/xenbus.
 * The kernel's device speaks xenstore's wire protocol; no library is needed.
 */
#ifndef FM_RUNNER_XENSTORE_H
#define FM_RUNNER_XENSTORE_H

#include <stddef.h>

#include "common/error.h"

#define XENSTORE_DEVICE "/dev/xen/xenbus"

/*
 * The value of `key` (relative to the domain's folder) followed by those of
 * key-1, key-2 … until one is missing: a value has 4096 bytes at most.  With a
 * NUL after it; caller frees.  FM_NOT_FOUND when there is no such key.
 */
char *xenstore_read(const char *device, const char *key, size_t *size_r, struct fm_error *err);

#endif
