/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netbed.h - a host for gate tests: a bridge, and guests in network namespaces.
 *
 * Each test runs in a process of its own that has made itself a private network
 * namespace, /sys, /run and BPF file system; it goes with the process.
 *
 *	guest a  10.9.0.1 ─ eth0 ═ va ┐
 *	                              br0 (10.9.0.254)
 *	guest b  10.9.0.2 ─ eth0 ═ vb ┘
 */
#ifndef FM_TESTS_GATE_NETBED_H
#define FM_TESTS_GATE_NETBED_H

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/gate/gate.h"

#define EXIT_SKIP 77

/* Prints the reason and exits 77 where this machine cannot. */
void bed_enter(void);
void bed_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* must succeed */
void bed_guests(void);
void bed_link_wait(struct gate *gate);
/* fn's socket, made in a guest. */
int bed_in_guest(char guest, int (*fn)(unsigned short type, const char *device), unsigned short type, const char *device);

/* A test's failure: prints and exits 1. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* What die() said last, in any process forked since this was first called. */
char *bed_why(void);
#define CHECK(cond, ...) ((cond) ? (void)0 : die(__VA_ARGS__))

struct udp_result {
	unsigned sent, received, lost, duplicated, reordered;
	double gap_s; /* longest silence between two datagrams */
};

/* Between a sender, its receiver and the test. */
struct udp_shared {
	atomic_uint received, sent; /* so far; in all */
	atomic_bool ended, stop;    /* nothing more is sent; nothing more is to be */
};

#define ENDLESS 1000000 /* datagrams: longer than any test */

/* A stream of numbered datagrams from one guest to another. */
struct udp_stream {
	pid_t sender, receiver;
	int result_fd;
	struct udp_shared *shared;
};

/* size: payload; rate: datagrams a second, 0: as fast as it goes, but no more than 3000 ahead of the receiver. */
void udp_start(struct udp_stream *s, char from, char to, unsigned count, unsigned rate, unsigned size);
void udp_stop(struct udp_stream *s); /* before all of count was sent */
void udp_finish(struct udp_stream *s, struct udp_result *result_r);
/* Receiver or sender alone; s->shared->ended = false keeps the receiver waiting. */
void udp_receive_start(struct udp_stream *s, char at, unsigned count);
pid_t udp_send_start(char from, char to, unsigned count, unsigned rate, unsigned size);
/* Datagrams first … first + count - 1 of a stream, by a sender that has ended when this returns. */
void udp_send_part(char from, char to, unsigned first, unsigned count, unsigned size);

/* One guest sends a counted byte stream for some time; the other checks every byte. */
struct tcp_stream {
	pid_t sender, receiver;
	int result_fd;
};
void tcp_start(struct tcp_stream *s, char from, char to, unsigned ms);
uint64_t tcp_finish(struct tcp_stream *s); /* bytes received, all right */

/* Run the loop for ms, or until *flag. */
void loop_for(struct event_base *base, unsigned ms);
void loop_until(struct event_base *base, const bool *flag);
uint64_t now_ns(void);

#endif
