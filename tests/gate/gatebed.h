/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gatebed.h - the eBPF gate on a port of netbed.h's bridge, for its tests. All calls end the test when they fail. */
#ifndef FM_TESTS_GATE_GATEBED_H
#define FM_TESTS_GATE_GATEBED_H

#include "agent/gate/driver.h"
#include "netbed.h"

#define MS 1000000ull

struct bed {
	struct event_base *base;
	struct gate_system *system;
	struct gate *gate;
};

/* These exit 77 where this kernel has no such gate. */
struct gate_system *bed_system(struct event_base *base);
struct gate *gate_on(struct gate_system *system, const char *vif);

/* Recovered, a gate on vif, its link up. */
void bed_up(struct bed *bed, const char *vif);
void bed_down(struct bed *bed);
/* Out, or both ways, for ms at most. */
void bed_hold(struct gate *gate, bool in, unsigned ms);
void bed_flag(void *arg); /* *(bool *)arg = true: for gate_release() */
/* Until done; nothing may be held or dropped then. */
void bed_release(struct bed *bed);
/* Held of what a test had guest a send: UDP, and the markers' type. Kernels chatter besides (IGMP, router solicitations). */
uint64_t held_of_a(const struct gate *gate, enum gate_dir dir);

/* marker_tests.c */
void marker_comes_last(void);
void marker_is_no_frame(void);
void guest_makes_no_markers(void);
void dead_agent_lets_no_marker_through(void);
void marker_to_all_moves_the_guest(void);

#endif
