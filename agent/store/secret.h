/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secret.h - the small things beside a job's pages that are not for everybody who can read the store: the job's script,
 * and the token in the manifest's "guest", by which its holder acts as the job's owner inside the guests.
 *
 * Where the job is encrypted (access.h) both are sealed like its held frames (key.h); else they are as they are:
 *
 *	<store>/<job>/script           sealed for the place "<job>/script"
 *	guest.token_sealed             in "token"'s place: hex of the token, sealed for "<job>/<n>/token"
 *
 * Errors: FM_DENIED without the right key, FM_CORRUPT for what does not open with it, else as store.h.
 */
#ifndef FM_STORE_SECRET_H
#define FM_STORE_SECRET_H

#include "agent/store/access.h"

/* Makes the job's folder if it is missing; replaces what is there. Durable. */
int store_script_write(const struct store_access *a, const char *script, struct fm_error *err);
/* FM_NOT_FOUND. Caller frees. */
char *store_script_read(const struct store_access *a, struct fm_error *err);

/* Before store_commit(): the manifest gets a "guest" of its own, sealed where the job is encrypted. */
int store_guest_seal(const struct store_access *a, const struct fm_snapshot_id *id, struct json_object *manifest,
		     struct fm_error *err);
/* A checked manifest's "guest" with its token as it was. Caller puts it. */
struct json_object *store_guest_open(const struct store_access *a, const struct fm_snapshot_id *id,
				     struct json_object *manifest, struct fm_error *err);

#endif
