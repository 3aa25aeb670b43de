/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * placement.h - what of a snapshot lies on the nodes' own disks, and what was done about it: small files in StoreDir.
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
 * A state: {state: "waiting"|"copying"|"whole"|"failed"|"damaged", done, total, time, error?}; of a code that is, or was, whole
 * also {id, shards:[{node, name, bytes, sha256}]}. "damaged": a verify has found that a shard is not what it was made as. It is
 * not made anew by itself: the packs may be damaged, too, and then what is left of the parity is all there is. A repair
 * (survey.h) sees to the packs first, then makes it "waiting", which its maker takes up.
 */
#ifndef FM_LOCAL_PLACEMENT_H
#define FM_LOCAL_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/folder.h"
#include "agent/store/parity/sets.h"
#include "common/error.h"
#include "common/json.h"

#define PLACEMENT_VERSION 1
#define PLACEMENT_STALE_S 180 /* a copy that has said nothing for that long is not going on */

struct placement_pack {
	char id[65];
	uint64_t bytes;
};

struct placement_packs {
	struct placement_pack *pack;
	size_t count;
	uint64_t bytes;
};

struct placement_member {
	char *node, *rack; /* rack "": not known */
	struct placement_packs needs, packs;
};

struct placement {
	uint32_t job, n;
	char kind[16]; /* "none", "partner", "xor", "rs" */
	unsigned k, m; /* 0: no parity */
	bool flush;
	int64_t created;               /* seconds since 1970 */
	struct placement_member *member;  /* by rank, then the spares, who have no packs */
	size_t members, spares;
};

/* "<store>/<job>/local", "<store>/<job>/local/<n>[/name]". Caller frees. */
char *placement_root(const char *store, uint32_t job);
char *placement_path(const char *store, uint32_t job, uint32_t n, const char *name);
/* Numbers of the records there are; none is no error. Dispose in any case. */
int placement_numbers(const char *store, uint32_t job, struct folder_numbers *numbers_r, struct fm_error *err);

/* o as above; FM_USAGE, FM_CORRUPT: it is not. Durable, at once. */
int placement_write(const char *store, uint32_t job, uint32_t n, struct json_object *o, struct fm_error *err);
/* FM_NOT_FOUND, FM_CORRUPT. Dispose when it succeeded. */
int placement_read(const char *store, uint32_t job, uint32_t n, struct placement *r_r, struct fm_error *err);
void placement_dispose(struct placement *r);

/* The same on every node. Dispose. No sets where k is 0. */
int placement_sets(const struct placement *r, struct sets *sets_r, struct fm_error *err);
/* Of a code: who makes it. */
size_t placement_maker(const struct placement *r, const struct sets *sets, size_t set, unsigned code);
/* The shard's file name on its node. Caller frees. */
char *placement_shard_name(const struct placement *r, size_t set, unsigned code, unsigned j);

/* As Protect= has it: "partner", "xor:4", "rs:4+2". */
#define PLACEMENT_KIND_MAX 40
void placement_kind(const struct placement *r, char text_r[PLACEMENT_KIND_MAX]);

/* [[id, bytes]…], both ways. */
struct json_object *placement_packs_json(const struct placement_packs *packs);
int placement_packs_parse(struct json_object *array, struct placement_packs *packs_r, struct fm_error *err);
int placement_packs_add(struct placement_packs *packs, const char *id, uint64_t bytes, struct fm_error *err);
void placement_packs_dispose(struct placement_packs *packs);
const struct placement_pack *placement_packs_find(const struct placement_packs *packs, const char *id);

/* States, under a name as above. NULL: none that can be read; caller puts it. */
struct json_object *placement_state_read(const char *store, uint32_t job, uint32_t n, const char *name);
/* Of a code's state (may be NULL): its shards; NULL: none are said to be there. */
struct json_object *placement_made(struct json_object *state);
/* It is not to be made (again): whole, or damaged and not to be touched. */
bool placement_state_settled(struct json_object *state);
int placement_state_write(const char *store, uint32_t job, uint32_t n, const char *name, struct json_object *o,
		       struct fm_error *err);

#endif
