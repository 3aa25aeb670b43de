/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * none.c - the gate of a site that has none: frames always pass.
 *
 * A snapshot then relies on the job's own protocol (TCP) to repeat what was
 * lost; its manifest says `"gate":"none"`.
 */
#include "config.h"

#include "driver.h"

static int none_setup(struct gate_system *system, struct fm_error *err)
{
	return 0;
}

static void none_teardown(struct gate_system *system)
{
}

static void *none_attach(struct gate *gate, struct fm_error *err)
{
	return gate; /* no state: any pointer will do */
}

static void none_detach(void *port)
{
}

static int none_shut(void *port, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err)
{
	return 0;
}

static unsigned none_fetch(void *port, enum gate_dir dir, struct gate_queue *queue, unsigned max)
{
	return 0;
}

static void none_wait(void *port, int ms)
{
}

static bool none_quiet(void *port, enum gate_dir dir)
{
	return true;
}

/* Frames of a snapshot that was taken with a gate, restored without one. */
static enum gate_given none_give(void *port, enum gate_dir dir, const struct gate_frame *frame)
{
	return GATE_LOST;
}

static bool none_ease(void *port, enum gate_dir dir, uint64_t deadline_ns)
{
	return true;
}

static void none_open(void *port, enum gate_dir dir)
{
}

static uint64_t none_count(void *port)
{
	return 0;
}

static bool none_link_ready(void *port)
{
	return true;
}

const struct gate_driver gate_driver_none = {
	.name = "none",
	.setup = none_setup,
	.teardown = none_teardown,
	.attach = none_attach,
	.detach = none_detach,
	.shut = none_shut,
	.fetch = none_fetch,
	.wait = none_wait,
	.quiet = none_quiet,
	.give = none_give,
	.ease = none_ease,
	.open = none_open,
	.lost = none_count,
	.leaked = none_count,
	.link_ready = none_link_ready,
};
