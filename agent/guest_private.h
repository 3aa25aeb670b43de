/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_private.h - between guest.c (what shall be) and guest_steps.c (how). */
#ifndef FM_GUEST_PRIVATE_H
#define FM_GUEST_PRIVATE_H

#include "agent/guest.h"
#include "agent/task.h"
#include "agent/worker_client.h"
#include "common/cleanup.h"

enum guest_stage {
	GUEST_PLANNING,
	GUEST_PREPARING,
	GUEST_BUILDING,
	GUEST_STARTING,
	GUEST_LINKING,
	GUEST_LINKED, /* waits for the group's word */
	GUEST_REINJECTING,
	GUEST_THAWING,
	GUEST_PROBING,
	GUEST_READY,
	GUEST_UNDOING,
};

struct call;

struct guest {
	struct job *job;
	enum guest_stage stage;
	struct event *deadline, *timer;
	struct call *call;
	struct task *task;
	struct worker *worker;
	struct json_object *request; /* the worker's */
	void *held;                  /* the snapshot's frames, until they are in the gate */
	size_t held_size;
	struct fm_error died; /* the watch has said so; code FM_OK: it has not */
	uint32_t died_domid;  /* of which domain; 0: whichever is there */
	bool told; /* the failure is the lead's word, not this member's */
	int probe_fd;
	struct event *probe;
	guest_done released, destroyed; /* released: of the group's order that is followed */
	void *released_arg, *destroyed_arg;
};

void guest_free(struct guest *g);
void guest_set_timer(struct event *timer, int64_t ms);
void guest_on_deadline(evutil_socket_t fd, short what, void *arg);
void guest_on_timer(evutil_socket_t fd, short what, void *arg);

void guest_fail(struct guest *g, const struct fm_error *why);
/* It has got there; -1: a test had it fail. */
int guest_enter(struct guest *g, enum guest_stage stage);
void guest_ready(struct guest *g);
void guest_linked(struct guest *g);
void guest_running(struct guest *g);
void guest_undone(struct guest *g);

/* guest_steps.c */
void guest_prepare(struct guest *g);
void guest_let_run(struct guest *g);   /* a held one: unpause, and so on up to linked */
void guest_poll_link(struct guest *g);
void guest_reinject(struct guest *g);  /* a linked one, and so on up to running */
void guest_probe(struct guest *g);
void guest_stop_probe(struct guest *g);

#endif
