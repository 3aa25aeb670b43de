/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_net.h - the simulated network: what the sim gates let pass travels on loopback.
 *
 * A guest that is a process (agent/hypervisor/sim_guest.h) has two sockets, each
 * a datagram a frame: <dir>/<vif>.guest, its own, and <dir>/<vif>.gate, ours;
 * <dir>/<vif>.mac is its address.  Between agents a frame is a UDP datagram.
 * There is no bridge: a frame that is for no guest of this node goes to all
 * peers, and one that is for nobody ends there.
 *
 * <dir>/network says how, and may change (by rename) at any time but for listen:
 *
 *	listen ADDRESS PORT
 *	peer ADDRESS PORT [delay=MS] [drop=markers|all]
 *
 * delay, drop: of what we send that peer.  A path keeps its order whatever
 * happens to its delay.  The network lives in the agents: it dies with them.
 */
#ifndef FM_GATE_SIM_NET_H
#define FM_GATE_SIM_NET_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "queue.h"

struct gate;
struct sim_net;
struct sim_link;

struct sim_net *sim_net_create(const char *dir, struct event_base *base, struct fm_error *err);
void sim_net_destroy(struct sim_net *net); /* after its links; NULL is fine */
/* What has arrived goes to the gates now. */
void sim_net_read(struct sim_net *net);

/* *link_r NULL and 0: there is no process behind this vif. */
int sim_link_open(struct sim_net *net, struct gate *gate, struct sim_link **link_r, struct fm_error *err);
void sim_link_close(struct sim_link *link);
/* What the guest has sent goes to its gate now. */
void sim_link_read(struct sim_link *link);
/* Into the network. */
void sim_link_send(struct sim_link *link, const void *frame, size_t size);
/* To the guest: now or, in order, as soon as it has room. */
void sim_link_deliver(struct sim_link *link, const void *frame, size_t size);
/* To the guest if it has room for it and for all before it. */
bool sim_link_offer(struct sim_link *link, const void *frame, size_t size);
/* What the guest has had no room for so far is taken back, to the end of queue. */
void sim_link_take_back(struct sim_link *link, struct gate_queue *queue);

#endif
