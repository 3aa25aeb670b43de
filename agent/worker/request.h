/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * request.h - the worker's first line, checked.  Everything in it points into
 * the JSON object it was read from.
 */
#ifndef FM_WORKER_REQUEST_H
#define FM_WORKER_REQUEST_H

#include "agent/hypervisor/hypervisor.h"
#include "common/json.h"

enum request_op { OP_CREATE, OP_SAVE, OP_RESTORE, OP_DESTROY, OP_RESUME, OP_LIST, OP_WATCH };

struct request {
	enum request_op op;
	const char *driver;
	const char *rundir;
	const char *log_level; /* NULL: warning */
	const char *map;       /* save, restore: absolute path of the member's map */
	const char *folder;    /* save, restore: the job's, in the store */
	uint32_t job;          /* save, restore: whose folder it is */
	const char *key_file;  /* save, restore: KeyFile; may be NULL */
	const char *parent;    /* save: a map to look at first; may be NULL */
	bool track;            /* save: and stay, for the next one to be of what has changed */
	const char *base;      /* save: the map of the last snapshot, known to be good to go on from; may be NULL */
	const char *sha256;    /* restore: of the map */
	uint64_t raw_bytes;    /* restore: of the state */
	int64_t hold_max_ms;   /* save: from armed to the order to cut */
	int64_t stop_max_ms;   /* save: from cut to the order to release */
	int64_t buffer_bytes;  /* save: memory between guest and store; 0: as the host has */
	struct domain_spec domain;
};

#define REQUEST_HOLD_MAX_MS 120000
#define REQUEST_STOP_MAX_MS 10000
#define REQUEST_RUNDIR "/run/fermata"

/* FM_USAGE naming the field. root must outlive the request (params that are
 * objects are replaced in it by their text). */
int request_parse(struct request *r, struct json_object *root, struct fm_error *err);

#endif
