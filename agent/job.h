/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h - the record of one job's member on this node.
 *
 *	creating ──▶ running ──▶ crashed
 *	restoring ──▶ held ──▶ running
 *	any of the above ──▶ failed;  DELETE ──▶ gone
 *
 * Each change of state is on disk (RunDir/jobs/<id>.json) before anybody is
 * told, so that an agent killed at any moment knows afterwards what it owes.
 * A record in `creating`, `restoring` or `held` whose agent died is never
 * continued: its domain is destroyed (recover.h).
 */
#ifndef FM_JOB_H
#define FM_JOB_H

#include "agent/agent.h"
#include "agent/server.h"
#include "agent/spec.h"

#define JOB_OUTCOMES 8

enum job_state { JOB_CREATING, JOB_RESTORING, JOB_HELD, JOB_RUNNING, JOB_FAILED, JOB_CRASHED };

struct drop;
struct group;
struct guest;
struct cutter;
struct tracker;
struct snapshot;

/* Requests that wait for the same thing. */
struct waiter {
	struct waiter *next;
	struct request *req;
};

/* How a snapshot ended. */
struct outcome {
	struct fm_snapshot_id id; /* n 0: empty */
	struct fm_error error;    /* code FM_OK: it is whole */
	int64_t started;          /* seconds since 1970 */
	uint64_t bytes;
};

struct job {
	struct job *next;
	struct agent *agent;
	struct spec spec;
	unsigned rank;
	enum job_state state;
	struct fm_error error; /* why failed or crashed, or a sibling's end; code FM_OK: none */
	int64_t created;       /* seconds since 1970 */
	char domain[32];
	uint32_t domid; /* 0: not known: not built yet, or by an agent before this one */
	char vif[16];
	char type[8]; /* "pvh", "pv" */
	char *home;   /* the user's; NULL until known */
	unsigned disk_mib; /* of its writable disks: what a snapshot copies besides memory */

	/* The lead's plan. */
	bool planned;
	struct json_object *identity; /* {token, port, prefix, nodes:[{name, ip, mac}]} */
	struct fm_snapshot_id restored_from; /* job 0: created afresh */
	char restored_level[40]; /* the farthest place that something of this member came from: "store", or a level; "": not restored */
	unsigned fetched_files;  /* from levels, because StoreDir had them no more */
	uint64_t fetched_bytes;
	struct json_object *obtained; /* {level, local, shared, fetched, rebuilt (packs), bytes, from?}; NULL: no LocalDir */
	unsigned incarnation;

	bool checkpoint_disabled;
	bool no_runner; /* the driver has guests without one (sim) */
	bool unwatched; /* its domain is being destroyed by us: no crash */
	bool alone;     /* a snapshot failed here: the next ones leave nothing to others (claims.h) */
	char *last_map; /* this member's map in the last snapshot; NULL: none that this agent knows */
	pid_t save_pid; /* a save's worker, to wait for after a restart */

	struct gate *gate;
	struct guest *guest;       /* being created, restored or destroyed */
	struct group *group;       /* on the lead */
	struct cutter *cutter;     /* this member's side of a snapshot */
	struct tracker *tracker;   /* the worker that stays between two, NULL: none */
	struct snapshot *snapshot; /* on the lead: under way */
	struct event *periodic;    /* on the lead */
	struct outcome outcomes[JOB_OUTCOMES]; /* on the lead: newest first */
	struct fm_snapshot_id cutting; /* on the lead: under way, for the agent after this one; n 0: none */
	struct waiter *put, *attach, *plan;
	bool telling; /* the lead has not heard of the failure yet: the prolog waits for that */
	struct fm_error last_error; /* on the lead: of the last snapshot that failed; code FM_OK: none */

	struct drop *drops;            /* job_drop.h */
	struct fm_error destroy_error; /* the domain could not be made to go */
};

const char *job_state_name(enum job_state state);
struct job *job_find(struct agent *agent, uint32_t id);
const char *job_lead(const struct job *job); /* node of rank 0 */
bool job_is_lead(const struct job *job);
/* "job=12 member=0": what every log line about it begins with. */
const char *job_tag(const struct job *job);

/* spec is taken (emptied). FM_USAGE when this node is not one of its nodes. */
struct job *job_create(struct agent *agent, struct spec *spec, struct fm_error *err);
/* Nothing may be under way. Removes the record. */
void job_remove(struct job *job);
/* Nothing is removed: the agent ends. */
void jobs_free(struct agent *agent);

/* job_record.c */
int job_save(struct job *job, struct fm_error *err);
void job_record_remove(struct job *job);
/* Records that cannot be read are logged and left alone. */
int jobs_load(struct agent *agent, struct fm_error *err);
/* Save, log, then answer whom it concerns. error NULL: keep the one there is. */
void job_set_state(struct job *job, enum job_state state, const struct fm_error *error);
void job_set_error(struct job *job, const struct fm_error *error);

/* Answer PUT and attach requests, if the state is one to answer with. */
void job_wake(struct job *job);
void job_wait(struct waiter **list, struct request *req);
/* Its own entry in identity.nodes, or NULL. */
struct json_object *job_identity_node(const struct job *job);
struct json_object *job_to_json(const struct job *job);
/* Owner, root or admin; otherwise the request has been answered. */
bool job_allows(const struct job *job, struct request *req);

#endif
