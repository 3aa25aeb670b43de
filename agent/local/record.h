/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - what of a snapshot lies on the nodes' own disks, and what was done about it: small files in StoreDir.
 *
 *	StoreDir/<job>/local/<n>/record.json     written by the lead when snapshot n is whole, never changed
 *	StoreDir/<job>/local/<n>/code-<set>-<code>.json   how far the parity of one code is: by who makes it
 *	StoreDir/<job>/local/<n>/flush-<rank>.json        how far this node's packs are in StoreDir
 *
 * record.json: {version, job, n, kind, k, m, flush, created, notes, members:[{node, rack, needs:[[id, bytes]…],
 * packs:[[id, bytes]…]}] (by rank), spares:[{node, rack}]}. needs: the packs that the member's map names and its node
 * had. packs: those of them that nothing protected yet, one behind the other in this order: the node's "bundle", of which
 * parity is made; so they stay as long as any pack of the record is needed, and a record may outlive its snapshot.
 *
 * A state: {state: "copying"|"whole"|"failed", done, total, time, error?}; of a code also {id, shards:[{node, name, bytes,
 * sha256}]}.
 */
#ifndef FM_LOCAL_RECORD_H
#define FM_LOCAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/folder.h"
#include "agent/store/parity/sets.h"
#include "common/error.h"
#include "common/json.h"

#define RECORD_VERSION 1
#define RECORD_STALE_S 180 /* a copy that has said nothing for that long is not going on */

struct record_pack {
	char id[65];
	uint64_t bytes;
};

struct record_packs {
	struct record_pack *pack;
	size_t count;
	uint64_t bytes;
};

struct record_member {
	char *node, *rack; /* rack "": not known */
	struct record_packs needs, packs;
};

struct record {
	uint32_t job, n;
	char kind[16]; /* "none", "partner", "xor", "rs" */
	unsigned k, m; /* 0: no parity */
	bool flush;
	int64_t created;               /* seconds since 1970 */
	struct record_member *member;  /* by rank, then the spares, who have no packs */
	size_t members, spares;
};

/* "<store>/<job>/local", "<store>/<job>/local/<n>[/name]". Caller frees. */
char *record_root(const char *store, uint32_t job);
char *record_path(const char *store, uint32_t job, uint32_t n, const char *name);
/* Numbers of the records there are; none is no error. Dispose in any case. */
int record_numbers(const char *store, uint32_t job, struct folder_numbers *numbers_r, struct fm_error *err);

/* o as above; FM_USAGE, FM_CORRUPT: it is not. Durable, at once. */
int record_write(const char *store, uint32_t job, uint32_t n, struct json_object *o, struct fm_error *err);
/* FM_NOT_FOUND, FM_CORRUPT. Dispose when it succeeded. */
int record_read(const char *store, uint32_t job, uint32_t n, struct record *r_r, struct fm_error *err);
void record_dispose(struct record *r);

/* The same on every node. Dispose. No sets where k is 0. */
int record_sets(const struct record *r, struct sets *sets_r, struct fm_error *err);
/* Of a code: who makes it. */
size_t record_maker(const struct record *r, const struct sets *sets, size_t set, unsigned code);
/* The shard's file name on its node. Caller frees. */
char *record_shard_name(const struct record *r, size_t set, unsigned code, unsigned j);

/* [[id, bytes]…], both ways. */
struct json_object *record_packs_json(const struct record_packs *packs);
int record_packs_parse(struct json_object *array, struct record_packs *packs_r, struct fm_error *err);
int record_packs_add(struct record_packs *packs, const char *id, uint64_t bytes, struct fm_error *err);
void record_packs_dispose(struct record_packs *packs);
const struct record_pack *record_packs_find(const struct record_packs *packs, const char *id);

/* States, under a name as above. NULL: none that can be read; caller puts it. */
struct json_object *record_state_read(const char *store, uint32_t job, uint32_t n, const char *name);
int record_state_write(const char *store, uint32_t job, uint32_t n, const char *name, struct json_object *o,
		       struct fm_error *err);

#endif
