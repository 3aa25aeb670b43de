/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.c - a gate without a kernel (sim.h): what is captured waits in a list.
 */
#include "config.h"

#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "driver.h"
#include "marker.h"
#include "sim_net.h"

#define SIM_FRAME_SIZE 64

struct sim_conf {
	unsigned frames, full, unready;
	char fail[16], leak[8], network[256];
};

/* struct gate_system's state */
struct sim_system {
	struct sim_conf conf;
	struct sim_net *net; /* NULL: none */
};

struct sim_side {
	bool shut;
	uint64_t deadline_ns;
	struct gate_queue captured;
};

struct sim_port {
	struct gate *gate;
	const struct sim_conf *conf;
	struct sim_net *net;
	struct sim_link *link; /* NULL: no guest behind it */
	struct sim_side side[GATE_DIRS];
	unsigned full, unready, serial;
	uint64_t lost, leaked;
	void (*passed)(void *arg, enum gate_dir dir, const void *frame, size_t size);
	void *passed_arg;
};

static int sim_parse(struct sim_conf *conf, char *text, struct fm_error *err)
{
	char *save = NULL;

	for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (sscanf(word, "frames=%u", &conf->frames) != 1 && sscanf(word, "full=%u", &conf->full) != 1 &&
		    sscanf(word, "unready=%u", &conf->unready) != 1 && sscanf(word, "fail=%15s", conf->fail) != 1 &&
		    sscanf(word, "leak=%7s", conf->leak) != 1 && sscanf(word, "network=%255s", conf->network) != 1)
			return fm_fail(err, FM_USAGE, "FERMATA_GATE_SIM: '%s' is not understood", word);
	}
	return 0;
}

static int sim_fails(const struct sim_conf *conf, const char *slot, struct fm_error *err)
{
	if (strcmp(conf->fail, slot) != 0)
		return 0;
	return fm_fail(err, FM_FAILED, "failure injected into the simulated gate: %s", slot);
}

static int sim_setup(struct gate_system *system, struct fm_error *err)
{
	const char *env = getenv("FERMATA_GATE_SIM");
	FM_AUTO_FREE char *text = strdup(env ? env : "");
	FM_AUTO_FREE struct sim_system *sim = calloc(1, sizeof(*sim));

	if (!text || !sim)
		return fm_fail(err, FM_FAILED, "no memory");
	if (sim_parse(&sim->conf, text, err) < 0 || sim_fails(&sim->conf, "setup", err) < 0)
		return -1;
	if (*sim->conf.network) {
		sim->net = sim_net_create(sim->conf.network, system->base, err);
		if (!sim->net)
			return -1;
	}
	system->state = fm_steal_ptr(&sim);
	return 0;
}

static void sim_teardown(struct gate_system *system)
{
	struct sim_system *sim = system->state;

	sim_net_destroy(sim->net);
	free(sim);
}

static void *sim_attach(struct gate *gate, struct fm_error *err)
{
	const struct sim_system *sim = gate->system->state;
	const struct sim_conf *conf = &sim->conf;
	struct sim_port *port;

	if (sim_fails(conf, "attach", err) < 0)
		return NULL;
	port = calloc(1, sizeof(*port));
	if (!port) {
		fm_fail(err, FM_FAILED, "no memory");
		return NULL;
	}
	port->gate = gate;
	port->conf = conf;
	port->net = sim->net;
	port->full = conf->full;
	port->unready = conf->unready;
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_init(&port->side[dir].captured);
	if (sim->net && sim_link_open(sim->net, gate, &port->link, err) < 0) {
		free(port);
		return NULL;
	}
	return port;
}

static void sim_detach(void *p)
{
	struct sim_port *port = p;

	if (port->link)
		sim_link_close(port->link);
	for (int dir = 0; dir < GATE_DIRS; dir++)
		gate_queue_clear(&port->side[dir].captured);
	free(port);
}

static void sim_traffic(struct sim_port *port, enum gate_dir dir)
{
	char frame[SIM_FRAME_SIZE] = "";

	for (unsigned i = 0; i < port->conf->frames; i++) {
		snprintf(frame + GATE_FRAME_MIN, sizeof(frame) - GATE_FRAME_MIN, "%s %s %u", port->gate->vif,
			 dir == GATE_OUT ? "out" : "in", port->serial++);
		gate_sim_send(port->gate, dir, frame, sizeof(frame));
	}
}

static int sim_shut(void *p, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err)
{
	struct sim_port *port = p;
	struct sim_side *side = &port->side[dir];
	bool was_shut = side->shut;

	if (sim_fails(port->conf, dir == GATE_OUT ? "out" : "in", err) < 0)
		return -1;
	/* what waits for the guest has not reached it */
	if (!was_shut && dir == GATE_IN && port->link && strcmp(port->conf->leak, "in") != 0)
		sim_link_take_back(port->link, &side->captured);
	side->shut = true;
	side->deadline_ns = deadline_ns;
	if (!was_shut && deadline_ns != 0)
		sim_traffic(port, dir);
	return 0;
}

static unsigned sim_fetch(void *p, enum gate_dir dir, struct gate_queue *queue, unsigned max)
{
	struct sim_port *port = p;
	struct sim_side *side = &port->side[dir];
	unsigned n;

	if (port->link && dir == GATE_OUT)
		sim_link_read(port->link);
	if (port->link && dir == GATE_IN)
		sim_net_read(port->net);
	n = (unsigned)side->captured.frames;
	gate_queue_append(queue, &side->captured);
	return n;
}

static void sim_wait(void *port, int ms)
{
}

static bool sim_quiet(void *p, enum gate_dir dir)
{
	return ((struct sim_port *)p)->side[dir].captured.frames == 0;
}

static void sim_pass(struct sim_port *port, enum gate_dir dir, const void *frame, size_t size)
{
	if (port->passed)
		port->passed(port->passed_arg, dir, frame, size);
	if (port->link && dir == GATE_OUT)
		sim_link_send(port->link, frame, size);
	if (port->link && dir == GATE_IN)
		sim_link_deliver(port->link, frame, size);
}

static enum gate_given sim_give(void *p, enum gate_dir dir, const struct gate_frame *frame)
{
	struct sim_port *port = p;

	if (port->full > 0) {
		port->full--;
		return GATE_LATER;
	}
	if (dir == GATE_IN && port->link)
		return sim_link_offer(port->link, frame->data, frame->size) ? GATE_GIVEN : GATE_LATER;
	sim_pass(port, dir, frame->data, frame->size);
	return GATE_GIVEN;
}

static void sim_open(void *p, enum gate_dir dir)
{
	((struct sim_port *)p)->side[dir].shut = false;
}

static bool sim_ease(void *p, enum gate_dir dir, uint64_t deadline_ns)
{
	if (!sim_quiet(p, dir))
		return false;
	sim_open(p, dir);
	return true;
}

static uint64_t sim_lost(void *port)
{
	return ((struct sim_port *)port)->lost;
}

static uint64_t sim_leaked(void *port)
{
	return ((struct sim_port *)port)->leaked;
}

static bool sim_link_ready(void *p)
{
	struct sim_port *port = p;

	if (port->unready == 0)
		return true;
	port->unready--;
	return false;
}

void gate_sim_send(struct gate *gate, enum gate_dir dir, const void *frame, size_t size)
{
	static const uint8_t vnet[GATE_VNET_SIZE];
	struct sim_port *port = gate->port;
	struct sim_side *side = &port->side[dir];

	if (gate_marker_is(frame, size)) {
		if (dir == GATE_IN)
			gate_marked(gate, frame, size);
		return; /* a guest's own goes nowhere */
	}
	if (strcmp(port->conf->leak, dir == GATE_OUT ? "out" : "in") == 0) {
		sim_pass(port, dir, frame, size);
		return;
	}
	if (side->shut && side->deadline_ns != 0 && gate_now_ns() >= side->deadline_ns) {
		port->leaked++;
		sim_pass(port, dir, frame, size);
	} else if (!side->shut) {
		sim_pass(port, dir, frame, size);
	} else if (gate_queue_push(&side->captured, vnet, frame, size) < 0) {
		port->lost++;
	}
}

static int sim_mark(void *p, const void *frame, size_t size, struct fm_error *err)
{
	struct sim_port *port = p;

	if (sim_fails(port->conf, "mark", err) < 0)
		return -1;
	sim_pass(port, GATE_OUT, frame, size);
	return 0;
}

static bool sim_marks(const struct gate_system *system)
{
	return ((const struct sim_system *)system->state)->net != NULL;
}

void gate_sim_receive(struct gate *gate,
		      void (*passed)(void *arg, enum gate_dir dir, const void *frame, size_t size), void *arg)
{
	struct sim_port *port = gate->port;

	port->passed = passed;
	port->passed_arg = arg;
}

const struct gate_driver gate_driver_sim = {
	.name = "sim",
	.setup = sim_setup,
	.teardown = sim_teardown,
	.attach = sim_attach,
	.detach = sim_detach,
	.shut = sim_shut,
	.fetch = sim_fetch,
	.wait = sim_wait,
	.quiet = sim_quiet,
	.give = sim_give,
	.ease = sim_ease,
	.open = sim_open,
	.lost = sim_lost,
	.leaked = sim_leaked,
	.link_ready = sim_link_ready,
	.mark = sim_mark,
	.marks = sim_marks,
};
