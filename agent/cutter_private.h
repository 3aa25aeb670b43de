/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cutter_private.h - between cutter.c (orders, answers, the machine) and cutter_do.c (what its actions do). */
#ifndef FM_CUTTER_PRIVATE_H
#define FM_CUTTER_PRIVATE_H

#include "agent/cutter.h"
#include "agent/drain.h"
#include "agent/store/store.h"

#define CUTTER_QUEUE 16

struct task;
struct worker;

struct cutter {
	struct job *job;
	struct fm_snapshot_id id;
	struct member m;
	struct worker *worker; /* save, or resume */
	struct task *task;
	struct event *timer, *lease;
	struct drain *drain;
	cutter_done done; /* of the order that waits */
	void *arg;
	struct fm_error why; /* the first thing that went wrong */
	char *dir;
	char map_name[32], held_name[32];
	/* what the answers tell */
	bool live;
	int64_t raw_bytes, suspend_ns, suspended_ns;
	double stopped_ms;
	struct json_object *rest; /* how the guest came to rest: keys of the manifest */
	struct json_object *map; /* the member's map, as the manifest has it */
	struct json_object *disks; /* as the manifest has them; NULL: none */
	struct json_object *progress; /* what is kept so far: the API's "saving" */
	struct store_file held;
	struct gate_stats stats;
	int64_t lease_ms;
	uint64_t lease_end_ns;
	uint64_t lost_before; /* frames the gate had lost when this hold began */
	void *frames;
	size_t frames_size;
	unsigned resume_tries;
	/* events that came while one was worked on */
	struct {
		enum member_event event;
		enum cut_round round;
	} queue[CUTTER_QUEUE];
	unsigned queued;
	bool busy;
};

/* cutter.c */
const char *cutter_tag(const struct cutter *c);
void cutter_tell(struct cutter *c, enum member_event event);
/* The first to be blamed stays. step: what was being done, or NULL. */
void cutter_blame(struct cutter *c, const struct fm_error *error, const char *step);
void cutter_set_timer(struct event *ev, int64_t ms);

/* cutter_do.c: one action; -1: it could not be done, and nothing follows of itself. */
int cutter_do(struct cutter *c, enum member_action action, struct fm_error *err);
/* For the peers' markers, from now on. */
int cutter_listen(struct cutter *c, const uint8_t key[MARK_KEY], struct fm_error *err);
struct json_object *cutter_file_json(const struct store_file *file);

#endif
