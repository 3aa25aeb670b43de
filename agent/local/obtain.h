/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * obtain.h - "pack ID is missing: get it", for a member that is to be restored here.
 *
 * Looked for in this order: this node's own disk, StoreDir, the disks of the nodes that had it, and, where these are
 * gone, parity: it is rebuilt from what is left of its code. What comes from elsewhere is verified, page by page,
 * before it gets its name in LocalDir/<job>/pages; what is damaged here is replaced so, from StoreDir, too. A pack of which
 * parity was made comes back in the same bytes where any place has them. A node that does not answer costs seconds, once.
 *
 * Blocks, for helper processes and workers. Killed anywhere it leaves files in LocalDir/<job>/incoming, which the next
 * one, or the sweep, removes.
 */
#ifndef FM_LOCAL_OBTAIN_H
#define FM_LOCAL_OBTAIN_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"
#include "common/snapshot_id.h"

struct obtained {
	size_t local, shared, fetched, rebuilt; /* packs */
	uint64_t bytes;  /* that came from elsewhere */
	char level[16];  /* the farthest one of them: "local", "shared", "node", "partner", "xor", "rs" */
	char from[128];  /* nodes that gave some: "n1,n3" */
};

/*
 * All packs of this map (sha256: the manifest's); what was done is added to *obtained, zeros at first. FM_CORRUPT: one is
 * nowhere: the text names it, and each place with what it said.
 */
int local_obtain(const struct fm_conf *conf, const struct fm_snapshot_id *id, const char *map, const char *sha256,
		 struct obtained *obtained, struct fm_error *err);

#endif
