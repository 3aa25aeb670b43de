/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * records.h - all records of a job, and which of them a snapshot depends on: its own; those whose parity protects packs
 * that it needs; those whose nodes have packs that it needs and no node of its own record has.
 */
#ifndef FM_LOCAL_RECORDS_H
#define FM_LOCAL_RECORDS_H

#include "agent/local/placement.h"
#include "common/snapshot_id.h"

struct records {
	struct placement *record;
	bool *matters;     /* of each */
	size_t count;
	size_t own;        /* the snapshot's; SIZE_MAX: it has none (yet), or it cannot be read: */
	struct fm_error why; /* then why not; code FM_OK: there is none */
};

/* Others that cannot be read are left out. Dispose in any case. */
int records_read(const char *store, const struct fm_snapshot_id *id, struct records *records_r, struct fm_error *err);
void records_dispose(struct records *records);

/* The snapshot's own record: does a member need it; does a node of its say that it has it? */
bool records_needed(const struct records *records, const char *pack);
bool records_held(const struct records *records, const char *pack);
/* Is that node to have the pack, as a member of record i, for the sake of the snapshot? Its bundle, too. */
bool records_expects(const struct records *records, size_t i, const struct placement_member *m, const struct placement_pack *pack);
/* Bytes of the pack as it is in a bundle of that node's, of which there is parity, so it must not change; 0: in none. */
uint64_t records_bundled(const struct records *records, const char *node, const char *pack);
/* A node has said that it has brought the pack to StoreDir. */
bool records_flushed(const char *store, const struct records *records, const char *pack);

#endif
