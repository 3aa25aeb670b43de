/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.c - the gate's states, leases and queues; the drivers do the holding.
 *
 * Each direction is open, held or easing (driver.h).  Invariant: a frame is in
 * the driver, in our queue, or past the gate, never in two of these, and the
 * order of each direction is driver behind queue behind past.
 */
#include "config.h"

#include "gate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver.h"

static const struct gate_driver *const drivers[] = {
	&gate_driver_bpf,
	&gate_driver_none,
	&gate_driver_sim,
};

uint64_t gate_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct gate_system *gate_system_create(const char *driver, struct event_base *base,
				       struct fm_error *err)
{
	struct gate_system *system;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strcmp(drivers[i]->name, driver) != 0)
			continue;
		system = calloc(1, sizeof(*system));
		if (!system) {
			fm_fail(err, FM_FAILED, "gate: no memory");
			return NULL;
		}
		system->driver = drivers[i];
		system->base = base;
		if (system->driver->setup(system, err) < 0) {
			fm_context(err, "gate %s", driver);
			free(system);
			return NULL;
		}
		return system;
	}
	fm_fail(err, FM_USAGE, "there is no gate driver '%s': use bpf, none or sim", driver);
	return NULL;
}

void gate_system_destroy(struct gate_system *system)
{
	if (!system)
		return;
	while (system->gates)
		gate_destroy(system->gates);
	system->driver->teardown(system);
	free(system);
}

const char *gate_system_driver(const struct gate_system *system)
{
	return system->driver->name;
}

int gate_system_recover(struct gate_system *system, struct fm_error *err)
{
	if (!system->driver->recover)
		return 0;
	if (system->driver->recover(system, err) < 0)
		return fm_context(err, "gate %s", system->driver->name);
	return 0;
}

/* The lease ended and nobody told us to release: do it ourselves, in order. */
static void lease_over(evutil_socket_t fd, short what, void *arg)
{
	struct gate *gate = arg;

	if (gate->releasing)
		return;
	gate->expired = true;
	gate_release_start(gate);
}

static void pump_due(evutil_socket_t fd, short what, void *arg)
{
	gate_release_step(arg);
}

static void gate_free(struct gate *gate)
{
	if (gate->lease)
		event_free(gate->lease);
	if (gate->pump)
		event_free(gate->pump);
	if (gate->marker_due)
		event_free(gate->marker_due);
	free(gate);
}

struct gate *gate_create(struct gate_system *system, const char *vif, struct fm_error *err)
{
	struct gate *gate;

	if (!*vif || strlen(vif) >= sizeof(gate->vif) || strchr(vif, '/')) {
		fm_fail(err, FM_USAGE, "gate: '%s' is no name of a network device", vif);
		return NULL;
	}
	gate = calloc(1, sizeof(*gate));
	if (!gate) {
		fm_fail(err, FM_FAILED, "gate: no memory");
		return NULL;
	}
	gate->system = system;
	gate->driver = system->driver;
	strcpy(gate->vif, vif);
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_init(&gate->side[dir].queue);
	gate->lease = evtimer_new(system->base, lease_over, gate);
	gate->pump = evtimer_new(system->base, pump_due, gate);
	gate->marker_due = evtimer_new(system->base, gate_marker_due, gate);
	gate->markers_tail = &gate->markers;
	if (!gate->lease || !gate->pump || !gate->marker_due) {
		fm_fail(err, FM_FAILED, "gate %s: no memory", vif);
		goto fail;
	}
	gate->port = gate->driver->attach(gate, err);
	if (!gate->port) {
		fm_context(err, "gate %s", vif);
		goto fail;
	}
	gate->next = system->gates;
	gate->link = &system->gates;
	if (gate->next)
		gate->next->link = &gate->next;
	system->gates = gate;
	return gate;
fail:
	gate_free(gate);
	return NULL;
}

void gate_destroy(struct gate *gate)
{
	if (!gate)
		return;
	gate_release_at_once(gate);
	gate->driver->detach(gate->port);
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_clear(&gate->side[dir].queue);
	gate_markers_clear(gate);
	*gate->link = gate->next;
	if (gate->next)
		gate->next->link = gate->link;
	gate_free(gate);
}

/* One timer for both directions: the nearer deadline. */
static int lease_arm(struct gate *gate)
{
	uint64_t deadline = 0, now = gate_now_ns(), left;
	struct timeval tv;

	for (int dir = 0; dir < GATE_DIRS; dir++) {
		uint64_t d = gate->side[dir].deadline_ns;

		if (gate->side[dir].state == GATE_HELD && d != 0 && (deadline == 0 || d < deadline))
			deadline = d;
	}
	if (deadline == 0)
		return event_del(gate->lease);
	left = deadline > now ? deadline - now : 0;
	tv.tv_sec = (time_t)(left / 1000000000u);
	tv.tv_usec = (suseconds_t)(left % 1000000000u / 1000);
	return event_add(gate->lease, &tv);
}

static int hold(struct gate *gate, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err)
{
	struct gate_side *side = &gate->side[dir];

	if (gate->releasing)
		return fm_fail(err, FM_BUSY, "gate %s: its last release is still under way", gate->vif);
	if (dir == GATE_OUT && side->state == GATE_OPEN) {
		gate->expired = false;
		gate->leaked_before = gate->driver->leaked(gate->port);
	}
	if (gate->driver->shut(gate->port, dir, deadline_ns, err) < 0)
		return fm_context(err, "gate %s: hold", gate->vif);
	side->state = GATE_HELD;
	side->deadline_ns = deadline_ns;
	if (lease_arm(gate) < 0)
		return fm_fail(err, FM_FAILED, "gate %s: no timer for its lease", gate->vif);
	return 0;
}

static int hold_until(struct gate *gate, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err)
{
	if (deadline_ns <= gate_now_ns())
		return fm_fail(err, FM_TIMEOUT, "gate %s: the deadline to hold until is over", gate->vif);
	return hold(gate, dir, deadline_ns, err);
}

int gate_hold_out(struct gate *gate, uint64_t deadline_ns, struct fm_error *err)
{
	return hold_until(gate, GATE_OUT, deadline_ns, err);
}

int gate_hold_in(struct gate *gate, uint64_t deadline_ns, struct fm_error *err)
{
	if (gate->side[GATE_OUT].state != GATE_HELD)
		return fm_fail(err, FM_TIMEOUT, "gate %s: the hold of what the guest sends is over", gate->vif);
	return hold_until(gate, GATE_IN, deadline_ns, err);
}

int gate_close(struct gate *gate, struct fm_error *err)
{
	if (hold(gate, GATE_OUT, 0, err) < 0)
		return -1;
	return hold(gate, GATE_IN, 0, err);
}

int gate_drain(struct gate *gate, struct fm_error *err)
{
	/* The backend may hand over the guest's last frames a moment after the guest stood still: look again
	 * after a pause, until a pause brought nothing. */
	for (int ms = 0; ms < GATE_DRAIN_MAX_MS; ms++) {
		unsigned n = 0, batch;
		bool quiet = true;

		for (int dir = 0; dir < GATE_DIRS; dir++) {
			while ((batch = gate_fetch(gate, dir)) > 0)
				n += batch;
			if (gate->side[dir].state == GATE_HELD)
				quiet = quiet && gate->driver->quiet(gate->port, dir);
		}
		if (gate->releasing)
			break;
		if (n == 0 && quiet && ms > 0)
			return 0;
		gate->driver->wait(gate->port, 1);
	}
	if (gate->releasing)
		return fm_fail(err, FM_TIMEOUT, "gate %s: the hold was given up", gate->vif);
	return 0; /* frames keep coming from a running peer; what is lost shows in `dropped` */
}

bool gate_expired(const struct gate *gate)
{
	uint64_t now = gate_now_ns();

	if (gate->expired)
		return true;
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		const struct gate_side *side = &gate->side[dir];

		if (!gate->releasing && side->state == GATE_HELD && side->deadline_ns != 0 &&
		    now >= side->deadline_ns)
			return true;
	}
	return !gate->releasing && gate->side[GATE_OUT].state == GATE_HELD &&
	       gate->driver->leaked(gate->port) != gate->leaked_before;
}

void gate_stats(const struct gate *gate, struct gate_stats *stats_r)
{
	*stats_r = (struct gate_stats){
		.held_out_frames = gate->side[GATE_OUT].queue.frames,
		.held_out_bytes = gate->side[GATE_OUT].queue.bytes,
		.held_in_frames = gate->side[GATE_IN].queue.frames,
		.held_in_bytes = gate->side[GATE_IN].queue.bytes,
		.dropped = gate->dropped + gate->driver->lost(gate->port),
		.reinjected = gate->reinjected,
	};
}

int gate_export(const struct gate *gate, void **data_r, size_t *size_r, struct fm_error *err)
{
	struct gate_queue queues[GATE_DIRS] = { gate->side[GATE_OUT].queue, gate->side[GATE_IN].queue };

	if (gate_queue_export(queues, data_r, size_r, err) < 0)
		return fm_context(err, "gate %s", gate->vif);
	return 0;
}

int gate_import(struct gate *gate, const void *data, size_t size, struct fm_error *err)
{
	struct gate_queue queues[GATE_DIRS];

	for (int dir = 0; dir < GATE_DIRS; dir++) {
		if (gate->side[dir].state != GATE_HELD || gate->side[dir].queue.frames > 0)
			return fm_fail(err, FM_FAILED, "gate %s: frames can be loaded only into a closed, empty gate",
				       gate->vif);
		gate_queue_init(&queues[dir]);
	}
	if (gate_queue_import(queues, data, size, err) < 0)
		return fm_context(err, "gate %s", gate->vif);
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_append(&gate->side[dir].queue, &queues[dir]);
	return 0;
}

int gate_release(struct gate *gate, void (*done)(void *arg), void *arg, struct fm_error *err)
{
	if (gate->done)
		return fm_fail(err, FM_BUSY, "gate %s: its release is under way", gate->vif);
	gate->done = done;
	gate->done_arg = arg;
	if (!gate->releasing) {
		gate->expired = gate_expired(gate);
		gate_release_start(gate);
	}
	return 0;
}

bool gate_link_ready(const struct gate *gate)
{
	return gate->driver->link_ready(gate->port);
}
