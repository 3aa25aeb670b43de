/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver.h - between the gate's states (gate.c, release.c) and what does the holding.
 *
 * A driver makes one port for each gate.  Each direction of a port is open,
 * shut (frames are captured) or easing: captured only as long as an earlier
 * frame is still on its way back, so that the change to open lets none
 * overtake.  gate.c owns queues, leases and order; a driver only moves frames.
 */
#ifndef FM_GATE_DRIVER_H
#define FM_GATE_DRIVER_H

#include <net/if.h>

#include "gate.h"
#include "queue.h"

enum gate_given {
	GATE_GIVEN,
	GATE_LATER, /* the other side is full: keep the frame, try again */
	GATE_LOST,  /* this frame cannot be given back */
	GATE_GONE,  /* none can: the device is not there any more */
};

struct gate_driver {
	const char *name;
	/* The node's part; its state goes to system->state. recover may be NULL. */
	int (*setup)(struct gate_system *system, struct fm_error *err);
	void (*teardown)(struct gate_system *system);
	int (*recover)(struct gate_system *system, struct fm_error *err);

	/* A port with both directions open. It calls gate_captured() when there is something to fetch. */
	void *(*attach)(struct gate *gate, struct fm_error *err);
	void (*detach)(void *port);
	/* Capture from now on, until deadline_ns (0: for good). Again: changes the deadline. */
	int (*shut)(void *port, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err);
	/* Move what was captured into queue, at most max frames; how many. */
	unsigned (*fetch)(void *port, enum gate_dir dir, struct gate_queue *queue, unsigned max);
	/* Wait at most ms for something to fetch. */
	void (*wait)(void *port, int ms);
	/* All that was captured has been fetched, all that was given has passed. */
	bool (*quiet)(void *port, enum gate_dir dir);
	/* The caller stays on one processor during a batch of calls; a driver to which that matters answers LATER on another. */
	enum gate_given (*give)(void *port, enum gate_dir dir, const struct gate_frame *frame);
	/* shut → easing; false: not quiet. */
	bool (*ease)(void *port, enum gate_dir dir, uint64_t deadline_ns);
	/* any → open, also when not quiet. */
	void (*open)(void *port, enum gate_dir dir);
	/* Since the port was made: frames lost in capturing; frames that passed a shut port. */
	uint64_t (*lost)(void *port);
	uint64_t (*leaked)(void *port);
	bool (*link_ready)(void *port);
	/* Send a frame (marker.h) as if the guest had sent it, past a shut port. NULL: this driver has no markers. */
	int (*mark)(void *port, const void *frame, size_t size, struct fm_error *err);
	/* Will they arrive anywhere? NULL: yes. */
	bool (*marks)(const struct gate_system *system);
};

extern const struct gate_driver gate_driver_bpf, gate_driver_none, gate_driver_sim;

struct gate_system {
	const struct gate_driver *driver;
	struct event_base *base;
	struct gate *gates;
	void *state;
};

struct gate_marker;

enum gate_side_state { GATE_OPEN, GATE_HELD, GATE_EASING };

struct gate_side {
	enum gate_side_state state;
	uint64_t deadline_ns; /* 0: none */
	struct gate_queue queue;
};

struct gate {
	struct gate_system *system;
	struct gate *next, **link;
	const struct gate_driver *driver;
	void *port;
	char vif[IFNAMSIZ];
	struct gate_side side[GATE_DIRS];
	struct event *lease; /* fires at the nearer deadline */
	struct event *pump;  /* the next step of a release */
	bool releasing;
	uint64_t release_by_ns, step_ns; /* its end at the latest; its last step */
	void (*done)(void *arg);
	void *done_arg;
	bool expired;
	uint64_t leaked_before; /* driver's count when this hold began */
	uint64_t dropped, reinjected;
	void (*on_marker)(const void *payload, size_t size, uint64_t at_ns, void *arg);
	void *on_marker_arg;
	struct gate_marker *markers, **markers_tail; /* that nobody has been told of yet */
	unsigned markers_waiting;
	struct event *marker_due;
};

uint64_t gate_now_ns(void);
/* Driver → core: this direction has frames to fetch. */
void gate_captured(struct gate *gate, enum gate_dir dir);
/* Driver → core, at any time: a frame that is one (gate_marker_is()) has arrived for the guest. */
void gate_marked(struct gate *gate, const void *frame, size_t size);

/* marker.c */
void gate_marker_due(evutil_socket_t fd, short what, void *arg);
void gate_markers_clear(struct gate *gate);

/* release.c */
void gate_release_start(struct gate *gate);
void gate_release_step(struct gate *gate);
void gate_release_at_once(struct gate *gate); /* whatever can be given back now; then open */
/* Fetch a batch; past GATE_HELD_MAX the hold is given up. Returns the number of frames. */
unsigned gate_fetch(struct gate *gate, enum gate_dir dir);

#endif
