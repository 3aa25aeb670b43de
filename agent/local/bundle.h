/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bundle.h - a node's packs of one record, one behind the other, as a source of parity.h: from this node's disk or
 * another's.
 */
#ifndef FM_LOCAL_BUNDLE_H
#define FM_LOCAL_BUNDLE_H

#include "agent/local/placement.h"
#include "agent/local/remote.h"

struct bundle;

/* Bytes offset … offset+length-1 of that member's bundle. remotes, conf and the record must outlive it. */
struct bundle *bundle_open(const struct fm_conf *conf, struct remotes *remotes, const struct placement *record, size_t member,
			   uint64_t offset, uint64_t length, struct parity_source *source_r, struct fm_error *err);
void bundle_close(struct bundle *b); /* NULL is fine */

#endif
