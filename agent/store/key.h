/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key.h - who may read a job's snapshots: the site's key, the job's key, and small files sealed by it.
 *
 * A job is encrypted from its first snapshot on, or never. What is encrypted is encrypted by the job's key: 32 random
 * bytes that lie in the job's folder, "<store>/<job>/key", wrapped by the site's key. The site's key is in a file
 * (configuration: KeyFile=) on every node, and nowhere in the store: whoever has the store alone has nothing, and a job's
 * data is destroyed by destroying its key file. Whoever copies a job's packs elsewhere copies its key file, too.
 *
 * A process without KeyFile calls pages_key_open() with site NULL all the same: that keeps it from going on unencrypted
 * with a job that is encrypted.
 *
 * The wrap is AES-256-GCM with the job's number, the site key's id and all else in the file bound to it, under a key
 * derived from the site's and the file's random salt. Not RFC 3394 key wrap: that binds nothing, so one job's key file put
 * in another's place would open. (That it needs no nonce is no gain: a salted key does not, either. See seal.h.)
 *
 * Errors: FM_DENIED for whatever has to do with not having the right key, FM_CORRUPT for a key file that is damaged or
 * another job's, FM_INCOMPATIBLE for a later version, FM_FAILED for the rest. The text names the file. All calls block;
 * keys may be used by any number of threads.
 */
#ifndef FM_STORE_KEY_H
#define FM_STORE_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* ---- the site's ---- */

struct site_key;

/*
 * 32 bytes as they are, or as 64 hexadecimal digits, or in base64 (44 characters); white space at the end of the latter
 * two is ignored. Refused unless it is a plain file (no symbolic link) of root's or of our own effective user's that
 * nobody else may read or write (mode 0600 or stricter).
 */
struct site_key *site_key_load(const char *path, struct fm_error *err);
void site_key_free(struct site_key *k); /* wiped; NULL is fine */
/* The first 4 bytes of its SHA-256, 8 hex digits: tells generations apart. The key's. */
const char *site_key_id(const struct site_key *k);

/* ---- the job's ---- */

struct pages_key;

/*
 * The key of the job whose folder this is. *key_r is NULL, and that is no error, when the job is not encrypted (it has
 * no key file). site may be NULL, when there is no KeyFile: an encrypted job is FM_DENIED then.
 */
int pages_key_open(const char *folder, uint32_t job, const struct site_key *site, struct pages_key **key_r,
		   struct fm_error *err);
/*
 * For a writer at a site with a KeyFile: the job's key, made if there is none yet; the folder, too. Durable. Of any
 * number that make it at once, on any node, one wins and all get its key (link(2)). packs: where the job's packs are,
 * or will be; when there are some, and no key, then it is too late to encrypt, or the key is lost: FM_DENIED. (Snapshots
 * of a form without packs are the caller's to look for.)
 */
int pages_key_make(const char *folder, uint32_t job, const struct site_key *site, const char *packs,
		   struct pages_key **key_r, struct fm_error *err);
/*
 * Wrap the job's key by another site key, in place of the old one: after that `was` is not needed for this job any more.
 * Atomic and durable; who has the job's key goes on. The job has to have a key.
 */
int pages_key_rewrap(const char *folder, uint32_t job, const struct site_key *was, const struct site_key *is,
		     struct fm_error *err);
void pages_key_free(struct pages_key *k); /* wiped; NULL is fine */
/* What it is called in packs and maps, 16 hex digits. The key's. */
const char *pages_key_id(const struct pages_key *k);

/* ---- small files ---- */

/*
 * data as it may lie on disk: encrypted with key; with key NULL, a copy. `place` is bound to it: what it is and where it
 * belongs ("77.3/member-0.held"), so that no other of the job's can be put there. Caller frees.
 */
int blob_seal(const struct pages_key *key, const char *place, const void *data, size_t size, void **sealed_r,
	      size_t *sealed_size_r, struct fm_error *err);
/*
 * And back; one NUL behind it. FM_DENIED when it is sealed and there is no key, or the wrong one, or it is not sealed
 * and there is a key. The store's hash (struct store_file) is of the sealed bytes, and checked before: what is damaged is
 * not for this to tell from what is forged.
 */
int blob_open(const struct pages_key *key, const char *place, const void *sealed, size_t sealed_size, void **data_r,
	      size_t *size_r, struct fm_error *err);

#endif
