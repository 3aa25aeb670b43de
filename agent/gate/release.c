/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * release.c - gives held frames back, in order, a batch at a time from the loop.
 *
 * A direction goes held → easing → open.  While held, what arrives goes behind
 * the queue.  When queue and driver are empty it eases: the driver lets a frame
 * pass as soon as no earlier one is on its way.  When that is so it opens.
 * Batches leave receivers time to take what comes: a burst of all at once would
 * overrun their buffers, and be lost there.
 */
#include "config.h"

#include <sched.h>
#include <time.h>

#include "driver.h"

#define FETCH_BATCH 256
#define STEP_US 1000
/* What one direction gives back in a millisecond at least; a longer queue goes faster. */
#define BATCH_MIN 32
#define BATCH_BYTES (512u << 10)
#define BATCH_MAX_MS 8 /* a late step makes up for that much */
#define AT_ONCE_MS 20 /* for a guest that is slow to take them, when there is no loop to wait in */
#define SPEEDUP_NS (100ull * 1000000u)
#define RELEASE_MAX_NS (5ull * 1000000000u)

unsigned gate_fetch(struct gate *gate, enum gate_dir dir)
{
	struct gate_side *side = &gate->side[dir];
	unsigned n = gate->driver->fetch(gate->port, dir, &side->queue, FETCH_BATCH);
	uint64_t memory = gate->side[GATE_OUT].queue.memory + gate->side[GATE_IN].queue.memory;

	if (memory > GATE_HELD_MAX && !gate->releasing) {
		gate->expired = true;
		gate_release_start(gate);
	}
	return n;
}

static void step_in(struct gate *gate, long us)
{
	struct timeval tv = { .tv_usec = us };

	event_add(gate->pump, &tv);
}

void gate_release_start(struct gate *gate)
{
	struct fm_error ignored;

	event_del(gate->lease);
	gate->releasing = true;
	gate->step_ns = gate_now_ns();
	gate->release_by_ns = gate->step_ns + RELEASE_MAX_NS;
	/* The kernel must not open by itself before the queue is empty. */
	for (int dir = 0; dir < GATE_DIRS; dir++)
		if (gate->side[dir].state == GATE_HELD)
			gate->driver->shut(gate->port, dir, gate->release_by_ns, &ignored);
	step_in(gate, 0);
}

struct budget {
	uint64_t frames, bytes;
};

/*
 * The kernel keeps frames in order on one processor only: each has a backlog of its own.  So a batch is given on one,
 * and the driver waits with the next batch if that is another (driver.h, give).  False: nothing to undo.
 */
static bool stay_here(cpu_set_t *before_r)
{
	cpu_set_t here;
	int cpu = sched_getcpu();

	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(*before_r), before_r) < 0)
		return false;
	CPU_ZERO(&here);
	CPU_SET((unsigned)cpu, &here);
	return sched_setaffinity(0, sizeof(here), &here) == 0;
}

/* The queue's head, as far as the budget goes. True when all of it went. */
static bool give_head(struct gate *gate, enum gate_dir dir, struct budget *left)
{
	struct gate_queue *queue = &gate->side[dir].queue;

	while (queue->head && left->frames > 0 && left->bytes > 0) {
		uint32_t size = queue->head->size;

		switch (gate->driver->give(gate->port, dir, queue->head)) {
		case GATE_GIVEN:
			gate->reinjected++;
			break;
		case GATE_LATER:
			return false;
		case GATE_LOST:
			gate->dropped++;
			break;
		case GATE_GONE:
			gate->dropped += queue->frames;
			gate_queue_clear(queue);
			return true;
		}
		gate_queue_pop(queue);
		left->frames--;
		left->bytes -= size < left->bytes ? size : left->bytes;
	}
	return queue->head == NULL;
}

static bool give_batch(struct gate *gate, enum gate_dir dir, struct budget *left)
{
	cpu_set_t before;
	bool all, stays;

	if (!gate->side[dir].queue.head)
		return true;
	stays = stay_here(&before);
	all = give_head(gate, dir, left);
	if (stays)
		sched_setaffinity(0, sizeof(before), &before);
	return all;
}

/* Give, then open if nothing is left; true when it is open and empty. */
static bool side_step(struct gate *gate, enum gate_dir dir, struct budget left)
{
	struct gate_side *side = &gate->side[dir];

	/* What came while the last batch was given goes in this step too, or a steady trickle would keep us here. */
	do {
		if (!give_batch(gate, dir, &left))
			return false;
	} while (gate_fetch(gate, dir) > 0);
	if (side->state == GATE_HELD && gate->driver->ease(gate->port, dir, gate->release_by_ns))
		side->state = GATE_EASING;
	if (side->state == GATE_EASING && gate->driver->quiet(gate->port, dir)) {
		gate->driver->open(gate->port, dir);
		side->state = GATE_OPEN;
	}
	return side->state == GATE_OPEN;
}

/* Open now, and give what can be given; the rest is lost: whoever should take it does not. */
static void side_open_at_once(struct gate *gate, enum gate_dir dir)
{
	struct gate_side *side = &gate->side[dir];
	struct budget all = { UINT64_MAX, UINT64_MAX };

	gate->driver->open(gate->port, dir); /* first: a flood would keep us here */
	side->state = GATE_OPEN;
	while (give_batch(gate, dir, &all) && gate_fetch(gate, dir) > 0)
		;
	gate->dropped += side->queue.frames;
	gate_queue_clear(&side->queue);
}

static void finish(struct gate *gate)
{
	void (*done)(void *arg) = gate->done;

	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate->side[dir].deadline_ns = 0;
	gate->releasing = false;
	gate->done = NULL;
	if (done)
		done(gate->done_arg); /* may destroy the gate: nothing after it */
}

/* What one direction may give back in this step, ms after the last one. */
static struct budget step_budget(const struct gate *gate, enum gate_dir dir, uint64_t now, uint64_t ms)
{
	uint64_t share = gate->side[dir].queue.frames / 16 + BATCH_MIN;
	/* Faster with time, or what arrives meanwhile could be more than what goes. */
	uint64_t speed = 1 + (now + RELEASE_MAX_NS - gate->release_by_ns) / SPEEDUP_NS;

	return (struct budget){ share * ms * speed, BATCH_BYTES * ms * speed };
}

void gate_release_step(struct gate *gate)
{
	uint64_t now = gate_now_ns(), ms = (now - gate->step_ns) / 1000000u;
	bool open = true;

	ms = ms < 1 ? 1 : ms > BATCH_MAX_MS ? BATCH_MAX_MS : ms;
	gate->step_ns = now;
	for (int dir = 0; dir < GATE_DIRS; dir++)
		open = side_step(gate, dir, step_budget(gate, dir, now, ms)) && open;
	if (!open && now < gate->release_by_ns) {
		step_in(gate, STEP_US);
		return;
	}
	for (int dir = 0; dir < GATE_DIRS && !open; dir++)
		side_open_at_once(gate, dir);
	finish(gate);
}

void gate_captured(struct gate *gate, enum gate_dir dir)
{
	struct gate_side *side = &gate->side[dir];

	gate_fetch(gate, dir);
	/* Easing, the next frames pass only when this one has: do not make them wait for the next step. */
	if (gate->releasing && side->state == GATE_EASING) {
		struct budget left = { BATCH_MIN, BATCH_BYTES };

		give_batch(gate, dir, &left);
	}
	/* A frame that was on its way into the capture device when the gate opened. */
	if (!gate->releasing && side->state == GATE_OPEN && side->queue.head)
		gate_release_start(gate);
}

void gate_release_at_once(struct gate *gate)
{
	event_del(gate->lease);
	event_del(gate->pump);
	gate->releasing = true; /* so that a full queue does not start one */
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		struct budget all = { UINT64_MAX, UINT64_MAX };

		while (gate_fetch(gate, dir) > 0)
			;
		for (int ms = 0; ms < AT_ONCE_MS && !give_batch(gate, dir, &all); ms++)
			gate->driver->wait(gate->port, 1);
		side_open_at_once(gate, dir);
	}
}
