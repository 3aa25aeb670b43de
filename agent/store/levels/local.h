/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local.h - this host's end of a transfer: the file that is read, and the file
 * that comes to be (levels only).
 *
 * An outgoing file is hashed before or while it is sent, so that a copy is never
 * made of what it must not be.  An incoming one has another name until it is
 * whole, verified and durable.
 */
#ifndef FM_STORE_LEVEL_LOCAL_H
#define FM_STORE_LEVEL_LOCAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "agent/store/levels/level.h"

/* `more` bytes are about to move, `done` with them: throttle, progress. FM_FAILED when told to stop. */
int transfer_move(const struct level_transfer *transfer, uint64_t more, uint64_t done, struct fm_error *err);

struct outgoing {
	const char *path; /* the caller's */
	int fd;
	struct level_object object; /* what it must be */
	const struct level_transfer *transfer;
};

/* FM_CORRUPT when its size is not the object's. */
int outgoing_open(struct outgoing *out, const char *path, const struct level_object *object,
		  const struct level_transfer *transfer, struct fm_error *err);
/* Exactly `size` bytes at `offset`; FM_CORRUPT when the file has become shorter. */
int outgoing_read(struct outgoing *out, void *data, size_t size, uint64_t offset, struct fm_error *err);
/* SHA-256 of a part of it; `whole` (may be NULL) gets the same bytes. */
int outgoing_hash(struct outgoing *out, uint64_t offset, uint64_t bytes, struct digest *whole, char hex_r[65],
		  struct fm_error *err);
/* FM_CORRUPT when the finished hash is not the object's. */
int outgoing_compare(const struct outgoing *out, const char *hex, struct fm_error *err);
void outgoing_close(struct outgoing *out);

struct incoming {
	const char *path; /* the caller's */
	char *temp;
	int fd;
	const struct level_object *expected; /* may be NULL */
	const struct level_transfer *transfer;
	struct level_object told; /* by the place */
	struct digest *digest;
	uint64_t done;
};

/* Dispose in any case. */
int incoming_create(struct incoming *in, const char *path, const struct level_object *expected,
		    const struct level_transfer *transfer, struct fm_error *err);
/* The place's answer begins, the first or another try's. FM_CORRUPT when it says at once that it has another object. */
int incoming_begin(struct incoming *in, const struct level_object *told, struct fm_error *err);
int incoming_add(struct incoming *in, const void *data, size_t size, struct fm_error *err);
/* Verify, make durable, give it its name. */
int incoming_finish(struct incoming *in, struct level_object *got_r, struct fm_error *err);
void incoming_dispose(struct incoming *in);

/* SHA-256 of `bytes` from `offset` on of an open file, into digest and the end of `whole`; see outgoing_hash(). */
int local_hash(int fd, const char *path, uint64_t offset, uint64_t bytes, struct digest *whole, char hex_r[65],
	       struct fm_error *err);

#endif
