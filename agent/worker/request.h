/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request.h - the worker's first line, checked.  Everything in it points into
 * the JSON object it was read from.
 */
#ifndef FM_WORKER_REQUEST_H
#define FM_WORKER_REQUEST_H

#include "agent/hypervisor/hypervisor.h"
#include "common/json.h"

enum request_op { OP_CREATE, OP_SAVE, OP_RESTORE, OP_DESTROY, OP_RESUME, OP_LIST, OP_WATCH, OP_COPY, OP_SWEEP_DISKS };

/* A disk's content in a snapshot. */
struct request_disk {
	const char *vdev;
	const char *map;    /* absolute path */
	const char *sha256; /* of the map */
	uint64_t raw_bytes, size;
};

struct request {
	enum request_op op;
	const char *driver;
	const char *rundir;
	const char *log_level; /* NULL: warning */
	const char *map;       /* save, restore: absolute path of the member's map */
	const char *folder;    /* save, restore: the job's, in the store */
	uint32_t job;          /* save, restore: whose folder it is */
	const char *local;     /* save, restore: its packs on this node's own disk; NULL: they are in folder */
	const char *key_file;  /* save, restore, copy: KeyFile; may be NULL */
	const char *store;     /* copy: StoreDir */
	char **levels;         /* copy, restore: fermata.conf's lines, NULL-terminated; free(); NULL: none */
	uint64_t bandwidth;    /* copy: bytes a second; 0: any */
	struct json_object *claims; /* save: whom to ask what other members store (claims.h); NULL: nobody */
	const char *parent;    /* save: a map to look at first; may be NULL */
	bool track;            /* save: and stay, for the next one to be of what has changed */
	const char *base;      /* save: the map of the last snapshot, known to be good to go on from; may be NULL */
	const char *sha256;    /* restore: of the map */
	uint64_t raw_bytes;    /* restore: of the state */
	int64_t hold_max_ms;   /* save: from armed to the order to cut */
	int64_t stop_max_ms;   /* save: from cut to the order to release */
	int64_t buffer_bytes;  /* save: memory between guest and store; 0: as the host has */
	const char *disk_place; /* Disks= of the configuration; NULL: members have none here */
	struct request_disk disks[DOMAIN_DISKS_MAX]; /* restore */
	unsigned disk_count;
	struct domain_spec domain;
};

#define REQUEST_HOLD_MAX_MS 120000
#define REQUEST_STOP_MAX_MS 10000
#define REQUEST_RUNDIR "/run/fermata"

/* FM_USAGE naming the field. root must outlive the request (params that are
 * objects are replaced in it by their text). */
int request_parse(struct request *r, struct json_object *root, struct fm_error *err);
void request_dispose(struct request *r); /* in any case; root stays */

#endif
