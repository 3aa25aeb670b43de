/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * level.h - a place that keeps copies of a job's files, as named objects.
 *
 * A place is opened by its kind's own call (directory.h, s3.h) and then used
 * through these.  All of them block: they are for a worker process, never for
 * the agent.  One handle is one thread's; several may be open on one place,
 * in one process or in many on many hosts.
 *
 * A name is a relative path such as "1234/pages/<64 hex>.pack": 1 to 900 bytes,
 * its components of A-Z a-z 0-9 . _ - and not beginning with a dot.
 *
 * What a place promises:
 *  - an object is listed and readable whole or not at all, whatever is killed;
 *  - when level_put() has returned 0 the object survives a crash of either end;
 *  - putting a name that exists replaces it in one step: a reader gets the old
 *    object or the new one.
 *
 * Errors are 0 or -1 with err; its text names the place and the object and has
 * what the system or the server said, and never a secret.  Codes:
 *	FM_NOT_FOUND   no such object
 *	FM_CORRUPT     the bytes are not those they must be
 *	FM_DENIED      wrong or expired credentials, no permission: asking again is of no use
 *	FM_TIMEOUT     no answer in time, or none any more
 *	FM_USAGE       not a name, not a configuration
 *	FM_FAILED      anything else: no room, the server's error after all tries, stopped
 */
#ifndef FM_STORE_LEVEL_H
#define FM_STORE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/levels/throttle.h"
#include "common/error.h"

#define LEVEL_NAME_MAX 900

struct level;

/* What an object is made of. */
struct level_object {
	uint64_t bytes;
	char sha256[65]; /* lower-case hex; "" where it is not known */
};

/* How the bytes of one put or get move. NULL in its place: unthrottled, unseen. */
struct level_transfer {
	struct throttle *throttle; /* shared by all transfers of a process; NULL: none */
	/*
	 * Called as bytes move, with those of this object so far; begins again at
	 * less when a transfer is tried again.  Not 0: stop; the call then fails
	 * with FM_FAILED and leaves nothing.  May be NULL.
	 */
	int (*progress)(void *arg, uint64_t bytes);
	void *arg;
};

enum level_put_result {
	LEVEL_STORED,
	LEVEL_THERE, /* it was there with this size and hash: nothing was sent */
};

struct level_usage {
	uint64_t objects, bytes;
	int64_t free_bytes; /* -1: the place does not say */
};

/* "directory /srv/fermata", "s3 https://s3.example:443/bucket/prefix": as errors name it. */
const char *level_where(const struct level *level);

/*
 * Copy the local file `path`, which has exactly this size and SHA-256 (both
 * needed; FM_CORRUPT if it has not), to `name`.  result_r may be NULL.
 * To know whether an object of the same size is the same, a directory reads
 * it; S3 is asked for the hash it was put with.  So list first, and put what
 * is missing.
 */
int level_put(struct level *level, const char *name, const char *path, const struct level_object *object,
	      const struct level_transfer *transfer, enum level_put_result *result_r, struct fm_error *err);

/*
 * Copy an object to the local file `path`, replacing it when all of the object
 * is here, verified and durable: until then it is "<path>.XXXXXX.part", locked,
 * removed when the call fails.  What a killed process leaves in a job's folder of
 * pages is removed by pages_store_sweep(), elsewhere by the caller.  `expected` NULL: the caller
 * verifies what is inside (a manifest, a pack: both can); then the length the
 * place says, and the SHA-256 if it keeps one (S3), must be met.  got_r (may be
 * NULL) has what came, hash included.
 */
int level_get(struct level *level, const char *name, const char *path, const struct level_object *expected,
	      const struct level_transfer *transfer, struct level_object *got_r, struct fm_error *err);

/* What there is without its bytes: sha256 is "" for a directory, for S3 the one it was put with. */
int level_head(struct level *level, const char *name, struct level_object *object_r, struct fm_error *err);

/*
 * All objects whose names begin with `prefix` ("" for all), in no order; what
 * is not named as ours is passed over.  `each` not 0 ends the listing, which is
 * no error.  It may not use the handle.
 */
typedef int (*level_each)(void *arg, const char *name, uint64_t bytes);
int level_list(struct level *level, const char *prefix, level_each each, void *arg, struct fm_error *err);

/* One that is not there is fine. */
int level_remove(struct level *level, const char *name, struct fm_error *err);

/* Sums of a listing. */
int level_usage(struct level *level, const char *prefix, struct level_usage *usage_r, struct fm_error *err);

/*
 * Remove what puts that were killed have left and no listing shows, when it is
 * older than `age_s` by the place's own clock; younger ones may be under way.
 */
int level_sweep(struct level *level, int64_t age_s, unsigned *removed_r, struct fm_error *err);

/*
 * For a doctor: put, list, read back and remove a probe of 64 KiB, named
 * "probe/<host>-<pid>-<random>".  An error says which step failed.
 */
int level_check(struct level *level, struct fm_error *err);

/* The size and SHA-256 of a local file. */
int level_object_of_file(const char *path, struct level_object *object_r, struct fm_error *err);

bool level_name_is_valid(const char *name);

void level_close(struct level *level); /* NULL is fine */

#endif
