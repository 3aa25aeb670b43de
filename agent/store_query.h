/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_query.h - requests that are answered from the store.
 *
 * The store may be slow: each runs as a task, which also decides, by the
 * manifest's own word, whether the caller may: owner, root, admin.  A snapshot by its
 * number that StoreDir has lost is looked for on the levels behind it, all of them
 * only by QUERY_LIST_LEVELS.
 */
#ifndef FM_STORE_QUERY_H
#define FM_STORE_QUERY_H

#include "agent/server.h"
#include "common/snapshot_id.h"

enum query { QUERY_LIST, QUERY_LIST_LEVELS, QUERY_SHOW, QUERY_REMOVE, QUERY_VERIFY, QUERY_REPAIR, QUERY_SCRIPT, QUERY_PIN,
	     QUERY_UNPIN };

void store_query(struct request *req, enum query query, const struct fm_snapshot_id *id);

#endif
