/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pin.h - a mark on a snapshot: it is not removed, by nobody and by no rule, until it is unpinned.
 *
 * "<store>/<job>/<n>/pinned", beside the manifest, which is sealed: {by, uid, when, comment?}. That the file is there
 * is the mark; what is in it is for people, so damage to it takes no mark away. Of a pin and a removal at the same
 * moment one fails.
 */
#ifndef FM_STORE_PIN_H
#define FM_STORE_PIN_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"
#include "common/snapshot_id.h"

#define PIN_NAME "pinned"
#define PIN_COMMENT_MAX 1024

/* Durable. A second pin takes the first one's place. FM_NOT_FOUND: no such snapshot, or it is being removed. comment may be NULL. */
int store_pin(const char *store, const struct fm_snapshot_id *id, uid_t uid, const char *comment, struct fm_error *err);
/* Durable; fine when there is none. FM_NOT_FOUND: no such snapshot. */
int store_unpin(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

/* 1 pinned, 0 not, -1 cannot tell. */
int pin_is(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);
/* What it says, an empty object where that cannot be read; NULL: not pinned, or cannot tell. Caller puts it. */
struct json_object *pin_read(const char *store, const struct fm_snapshot_id *id);
/* FM_BUSY with "snapshot 7.1 is pinned by alice, for the paper: unpin it first"; -1. */
int pin_refuse(const char *store, const struct fm_snapshot_id *id, struct fm_error *err);

#endif
