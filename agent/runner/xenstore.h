/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstore.h - xenstore from inside a guest, through /dev/xen/xenbus.
 * The kernel's device speaks xenstore's wire protocol; no library is needed.
 * A key is relative to the domain's folder.
 */
#ifndef FM_RUNNER_XENSTORE_H
#define FM_RUNNER_XENSTORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define XENSTORE_DEVICE "/dev/xen/xenbus"
#define XENSTORE_PAYLOAD_MAX 4096u

/*
 * The value of `key` followed by those of key-1, key-2 … until one is missing: a
 * value has 4096 bytes at most.  With a NUL after it; caller frees.  FM_NOT_FOUND
 * when there is no such key.
 */
char *xenstore_read(const char *device, const char *key, size_t *size_r, struct fm_error *err);

/* ---- for who stays connected: requests out, messages in --------------------------- */

enum xenstore_type { /* the wire's numbers */
	XENSTORE_READ = 2,
	XENSTORE_WATCH = 4,
	XENSTORE_WRITE = 11,
	XENSTORE_EVENT = 15, /* a watched key may have changed; the first follows the request */
	XENSTORE_ERROR = 16,
};

struct xenstore_header { /* in the machine's byte order */
	uint32_t type, request, transaction, size;
};

/* Bytes that have come; begins zeroed. */
struct xenstore_input {
	size_t used;
	_Alignas(struct xenstore_header) char bytes[sizeof(struct xenstore_header) + XENSTORE_PAYLOAD_MAX + 1];
};

/* A request, its answer comes later: READ (value NULL), WRITE of a value, WATCH with a token. 0, -1 with errno. */
int xenstore_request(int fd, enum xenstore_type type, const char *key, const char *value);

struct xenstore_message {
	enum xenstore_type type;
	enum xenstore_type of; /* what was asked for, of an ERROR too */
	const char *text;      /* its payload, until the next call */
};

/* What has come, from a descriptor that does not block. 1: a whole message; 0: not yet; -1: broken, nothing more will come. */
int xenstore_receive(int fd, struct xenstore_input *in, struct xenstore_message *message_r);

#endif
