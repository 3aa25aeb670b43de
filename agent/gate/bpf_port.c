/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf_port.c - one vif under the eBPF gate: its two capture TAPs and map entries.
 *
 * The kernel counts what it captured and what of the frames given back passed;
 * comparing with what we read and wrote tells when nothing is on its way, and
 * what was lost in the TAP's queue, whatever lost it.
 */
#include "config.h"

#include "bpf_port.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "gate.skel.h"
#include "window.h"

/* Beside other users' classifiers on the same device. */
#define TC_PRIORITY 61
#define TC_HANDLE 1

/* Frames that may wait for the guest: what other members' gates give back comes in one go, and it may be waking up. */
#define VIF_QUEUE 4096

/* A frame handed to or by the kernel that is not heard of for so long is lost. */
#define MISSING_NS (50ull * 1000000u)

struct bpf_side {
	struct gate *gate;
	enum gate_dir dir;
	struct tap tap;
	struct event *readable;
	bool shut;
	uint64_t fetched;     /* of the kernel's `captured` */
	uint64_t unreturned;  /* accepted, but never came by; counted in lost */
	uint64_t lost;
	uint64_t missing_ns;  /* since when these counts do not agree; 0: they do */
	uint64_t inflight_ns; /* when the frame not yet counted was written; 0: none */
	int cpu;              /* on which the last frame was written, */
	uint64_t written_ns;  /* and when */
	struct gate_live known; /* accepted, gone, refused before that: no one but us makes them grow */
};

struct bpf_port {
	struct gate_bpf *skel;
	unsigned ifindex;
	struct window window;
	struct bpf_side side[GATE_DIRS];
};

static int live_read(const struct bpf_port *port, enum gate_dir dir, struct gate_live *live_r)
{
	struct gate_key key = { port->ifindex, dir };

	return bpf_map_lookup_elem_flags(bpf_map__fd(port->skel->maps.gate_live), &key, live_r, BPF_F_LOCK);
}

/* Put a program on a device; it replaces an earlier agent's, whose maps may be other ones. */
static int classifier_attach(unsigned ifindex, enum bpf_tc_attach_point point, struct bpf_program *prog,
			     struct fm_error *err)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(prog), .handle = TC_HANDLE,
		    .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return fm_fail(err, FM_INCOMPATIBLE, "clsact: %s (%s): is the module sch_ingress there?",
			       strerror(-r), bpf_complaint());
	r = bpf_tc_attach(&hook, &opts);
	if (r < 0)
		return fm_fail(err, FM_INCOMPATIBLE, "classifier: %s (%s): is the module cls_bpf there?",
			       strerror(-r), bpf_complaint());
	return 0;
}

static void classifier_detach(unsigned ifindex, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	/* The device may be gone, and its classifiers with it. */
	bpf_tc_detach(&hook, &opts);
}

static void tap_readable(evutil_socket_t fd, short what, void *arg)
{
	struct bpf_side *side = arg;

	gate_captured(side->gate, side->dir);
}

static int side_attach(struct bpf_port *port, struct bpf_side *side, struct fm_error *err)
{
	struct gate_key key = { port->ifindex, side->dir };
	struct gate_live start = { .captured = 0 };
	char name[16];

	snprintf(name, sizeof(name), TAP_PREFIX "%c%u", side->dir == GATE_OUT ? 'o' : 'i', port->ifindex);
	if (tap_open(&side->tap, name, err) < 0)
		return -1;
	start.tap = side->tap.ifindex;
	if (bpf_map_update_elem(bpf_map__fd(port->skel->maps.gate_live), &key, &start, BPF_ANY) < 0 ||
	    bpf_map_update_elem(bpf_map__fd(port->skel->maps.gate_back), &side->tap.ifindex, &key, BPF_ANY) < 0)
		return fm_fail(err, FM_FAILED, "map: %s", strerror(errno));
	if (classifier_attach(side->tap.ifindex, BPF_TC_EGRESS, port->skel->progs.take, err) < 0 ||
	    classifier_attach(side->tap.ifindex, BPF_TC_INGRESS, port->skel->progs.give_back, err) < 0)
		return fm_context(err, "%s", name);
	if (side->dir == GATE_OUT) {
		if (classifier_attach(port->ifindex, BPF_TC_INGRESS, port->skel->progs.hold_out, err) < 0)
			return -1;
	} else if (classifier_attach(port->ifindex, BPF_TC_EGRESS, port->skel->progs.hold_in, err) < 0) {
		return -1;
	}
	side->readable = event_new(side->gate->system->base, side->tap.fd, EV_READ | EV_PERSIST, tap_readable, side);
	if (!side->readable || event_add(side->readable, NULL) < 0)
		return fm_fail(err, FM_FAILED, "no memory");
	return 0;
}

void *bpf_port_attach(struct gate *gate, struct fm_error *err)
{
	struct bpf_port *port = calloc(1, sizeof(*port));

	if (!port) {
		fm_fail(err, FM_FAILED, "no memory");
		return NULL;
	}
	port->skel = ((struct bpf_system *)gate->system->state)->skel;
	for (int dir = 0; dir < GATE_DIRS; dir++)
		port->side[dir] = (struct bpf_side){ .gate = gate, .dir = dir, .tap = { .fd = -1 } };
	port->ifindex = if_nametoindex(gate->vif);
	if (port->ifindex == 0) {
		fm_fail(err, FM_NOT_FOUND, "no such network device");
		free(port);
		return NULL;
	}
	window_init(&port->window, gate->vif);
	if (device_fifo(port->ifindex, VIF_QUEUE) < 0) {
		fm_fail(err, FM_FAILED, "queue of %u frames: %s", VIF_QUEUE, strerror(errno));
		bpf_port_detach(port);
		return NULL;
	}
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		if (side_attach(port, &port->side[dir], err) < 0) {
			bpf_port_detach(port);
			return NULL;
		}
	}
	((struct bpf_system *)gate->system->state)->ours = true;
	return port;
}

void bpf_port_detach(void *p)
{
	struct bpf_port *port = p;

	classifier_detach(port->ifindex, BPF_TC_INGRESS);
	classifier_detach(port->ifindex, BPF_TC_EGRESS);
	for (int dir = 0; dir < GATE_DIRS; dir++) {
		struct bpf_side *side = &port->side[dir];
		struct gate_key key = { port->ifindex, dir };

		bpf_port_open(port, dir);
		bpf_map_delete_elem(bpf_map__fd(port->skel->maps.gate_live), &key);
		if (side->tap.ifindex != 0)
			bpf_map_delete_elem(bpf_map__fd(port->skel->maps.gate_back), &side->tap.ifindex);
		if (side->readable)
			event_free(side->readable);
		tap_close(&side->tap);
	}
	window_dispose(&port->window);
	free(port);
}

static int conf_write(struct bpf_port *port, enum gate_dir dir, const struct gate_conf *conf)
{
	struct gate_key key = { port->ifindex, dir };

	return bpf_map_update_elem(bpf_map__fd(port->skel->maps.gate_conf), &key, conf, BPF_ANY);
}

int bpf_port_shut(void *p, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err)
{
	struct bpf_port *port = p;
	struct gate_conf conf = {
		.state = GATE_CONF_SHUT,
		.tap = port->side[dir].tap.ifindex,
		.deadline_ns = deadline_ns,
	};

	if (conf_write(port, dir, &conf) < 0)
		return fm_fail(err, FM_FAILED, "map: %s", strerror(errno));
	if (!port->side[dir].shut && dir == GATE_IN)
		window_restart(&port->window);
	port->side[dir].shut = true;
	return 0;
}

void bpf_port_open(void *p, enum gate_dir dir)
{
	struct bpf_port *port = p;
	struct gate_key key = { port->ifindex, dir };

	port->side[dir].shut = false;
	bpf_map_delete_elem(bpf_map__fd(port->skel->maps.gate_conf), &key);
}

static void marker_read(void *gate, const void *frame, size_t size)
{
	gate_marked(gate, frame, size);
}

unsigned bpf_port_fetch(void *p, enum gate_dir dir, struct gate_queue *queue, unsigned max)
{
	struct bpf_side *side = &((struct bpf_port *)p)->side[dir];
	unsigned n = 0;

	/* The kernel counts no markers; a flood of them must not keep us here. */
	for (unsigned reads = 0; reads < max; reads++) {
		enum tap_got got = tap_read(&side->tap, queue, dir == GATE_IN ? marker_read : NULL, side->gate);

		if (got == TAP_EMPTY)
			break;
		if (got == TAP_MARKER)
			continue;
		n++;
		side->fetched++;
		if (got == TAP_LOST)
			side->lost++;
	}
	return n;
}

int bpf_port_mark(void *p, const void *frame, size_t size, struct fm_error *err)
{
	static const uint8_t vnet[GATE_VNET_SIZE];
	struct bpf_side *out = &((struct bpf_port *)p)->side[GATE_OUT];

	/* give_back puts it in where the guest's frames come in */
	if (tap_write(&out->tap, vnet, frame, size) < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", out->tap.name, strerror(errno));
	return 0;
}

void bpf_port_wait(void *p, int ms)
{
	struct bpf_port *port = p;
	struct pollfd fds[GATE_DIRS];

	for (int dir = 0; dir < GATE_DIRS; dir++)
		fds[dir] = (struct pollfd){ .fd = port->side[dir].tap.fd, .events = POLLIN };
	poll(fds, GATE_DIRS, ms);
}

/* live: read after the TAP was found empty. */
static bool side_quiet(struct bpf_side *side, const struct gate_live *live)
{
	uint64_t now;

	if (side->inflight_ns != 0)
		return false;
	if (live->captured == side->fetched && live->accepted == live->returned + side->unreturned) {
		side->missing_ns = 0;
		return true;
	}
	now = gate_now_ns();
	if (side->missing_ns == 0)
		side->missing_ns = now;
	if (now - side->missing_ns < MISSING_NS)
		return false;
	/* The TAP's queue, or the kernel's backlog, overflowed. */
	if (live->captured > side->fetched) {
		side->lost += live->captured - side->fetched;
		side->fetched = live->captured;
	}
	side->lost += live->accepted - live->returned - side->unreturned;
	side->unreturned = live->accepted - live->returned;
	side->missing_ns = 0;
	return false;
}

bool bpf_port_quiet(void *p, enum gate_dir dir)
{
	struct bpf_port *port = p;
	struct gate_live live;

	if (live_read(port, dir, &live) < 0)
		return true;
	return side_quiet(&port->side[dir], &live);
}

bool bpf_port_ease(void *p, enum gate_dir dir, uint64_t deadline_ns)
{
	struct bpf_port *port = p;
	struct bpf_side *side = &port->side[dir];
	struct gate_conf conf = {
		.state = GATE_CONF_EASING,
		.tap = side->tap.ifindex,
		.deadline_ns = deadline_ns,
	};
	struct gate_live live;

	if (live_read(port, dir, &live) < 0)
		return true;
	if (!side_quiet(side, &live))
		return false;
	conf.offset = live.returned - live.captured;
	return conf_write(port, dir, &conf) == 0;
}

/* What became of the frame in flight: the kernel counts it, at once but for unusual set-ups (RPS). */
static enum gate_given given(struct bpf_side *side, const struct gate_live *live, bool *counted_r)
{
	*counted_r = true;
	if (live->accepted != side->known.accepted)
		return GATE_GIVEN;
	if (live->gone != side->known.gone)
		return GATE_GONE;
	*counted_r = live->refused != side->known.refused;
	return GATE_LATER;
}

/* What we wrote on another processor may still be in that one's backlog: what is written here would overtake it. */
static bool in_order_here(const struct bpf_port *port, struct bpf_side *side)
{
	struct gate_live live;
	int cpu = sched_getcpu();

	if (cpu != side->cpu && live_read(port, side->dir, &live) == 0 &&
	    live.accepted != live.returned + side->unreturned && gate_now_ns() - side->written_ns < MISSING_NS)
		return false;
	side->cpu = cpu;
	return true;
}

enum gate_given bpf_port_give(void *p, enum gate_dir dir, const struct gate_frame *frame)
{
	struct bpf_port *port = p;
	struct bpf_side *side = &port->side[dir];
	struct gate_live live;
	enum gate_given r;
	bool counted;

	if (dir == GATE_IN && !window_open(&port->window, &side->lost))
		return GATE_LATER;
	if (side->inflight_ns == 0) {
		if (!in_order_here(port, side))
			return GATE_LATER;
		if (tap_write(&side->tap, frame->vnet, frame->data, frame->size) < 0)
			return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? GATE_LATER : GATE_LOST;
		side->inflight_ns = side->written_ns = gate_now_ns();
	}
	if (live_read(port, dir, &live) < 0)
		return GATE_GONE;
	r = given(side, &live, &counted);
	if (!counted) {
		if (gate_now_ns() - side->inflight_ns < MISSING_NS)
			return GATE_LATER; /* do not write it again */
		r = GATE_LOST;
	}
	if (dir == GATE_IN && r == GATE_GIVEN)
		window_given(&port->window, frame->size);
	side->known = live;
	side->inflight_ns = 0;
	return r;
}

uint64_t bpf_port_lost(void *p)
{
	struct bpf_port *port = p;

	return port->side[GATE_OUT].lost + port->side[GATE_IN].lost;
}

uint64_t bpf_port_leaked(void *p)
{
	struct bpf_port *port = p;
	uint64_t leaked = 0;

	for (int dir = 0; dir < GATE_DIRS; dir++) {
		struct gate_key key = { port->ifindex, dir };
		struct gate_conf conf;
		struct gate_live live;

		if (live_read(port, dir, &live) == 0)
			leaked += live.leaked;
		/* somebody opened it behind our back, and nobody counts */
		if (port->side[dir].shut &&
		    bpf_map_lookup_elem(bpf_map__fd(port->skel->maps.gate_conf), &key, &conf) < 0)
			leaked += 1ull << 32;
	}
	return leaked;
}

bool bpf_port_link_ready(void *p)
{
	return device_link_ready(((struct bpf_port *)p)->side[GATE_OUT].gate->vif);
}
