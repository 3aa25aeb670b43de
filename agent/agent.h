/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent.h - the one context of fermatad: what every part of the agent shares.
 *
 * One thread, one event loop.  Nothing here blocks: what may (store, hypervisor,
 * name service) runs in child processes (task.h, worker_client.h).
 */
#ifndef FM_AGENT_H
#define FM_AGENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/gate/gate.h"
#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"
#include "common/log.h"

struct children;
struct claims;
struct compaction;
struct copier;
struct links;
struct peers;
struct local_disk;
struct local_round;
struct server;
struct sweeping;
struct job;
struct tree;
struct watch;

struct agent {
	struct fm_conf conf;
	struct event_base *base;
	struct children *children;
	struct peers *peers;
	struct links *links;   /* to and from other agents, for cuts */
	struct tree *trees;    /* this node's places in snapshots under way */
	struct gate_system *gates;
	struct server *local;  /* unix socket, SO_PEERCRED */
	struct server *remote; /* TCP, MUNGE */
	struct watch *watch;   /* tells of guests' deaths */
	struct job *jobs;      /* this node's members */
	struct local_disk *local_disk;    /* LocalDir; NULL: none */
	struct local_round *local_rounds; /* of leads here */
	struct sweeping *sweepings; /* of jobs' pages, by us (prune.c) */
	struct compaction *compactions; /* compact.h */
	struct claims *claims;          /* claims.h */
	struct copier *copier; /* NULL: there is nothing to copy, or no level */
	uid_t *admins;
	size_t admin_count;
	uint64_t started_ns;
	bool stopping;
	struct fm_error fatal; /* why the loop was left; code FM_OK: told to */
};

/* Root or one of AdminUsers. */
bool agent_is_admin(const struct agent *agent, uid_t uid);

/* CLOCK_MONOTONIC; CLOCK_REALTIME. */
uint64_t agent_now_ns(void);
uint64_t agent_wall_ns(void);

/* 64 random hex digits, for a job's token. */
int agent_random_token(char hex_r[65], struct fm_error *err);

#endif
