/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netback.h - how far Xen's network backend is with one vif's frames, from the
 * kernel's debugfs (xen-netback/<vif>/io_ring_q<n>).  Nothing else in Dom0 knows:
 * a frame in the receive ring has left the vif as far as its statistics go, and
 * one in the transmit ring has not come yet.
 *
 * debugfs need not be mounted: a mount of our own that nobody else sees will do.
 */
#ifndef FM_NETBACK_H
#define FM_NETBACK_H

#include <stdbool.h>

struct netback; /* one an open debugfs */

/* NULL: this kernel, or its lockdown, does not let us. */
struct netback *netback_open(void);
void netback_close(struct netback *netback);

struct netback_state {
	bool taken; /* what the guest had put into its transmit rings has entered the vif */
	bool given; /* what was for the guest is in its receive rings, and the guest has taken it from there */
};

/* 0, or -1: there is no such vif, or its files make no sense. */
int netback_look(struct netback *netback, const char *vif, struct netback_state *state_r);

/* One queue's file. Adds to state (which begins as all true): 0, or -1 when the text is not what it should be. */
int netback_parse(const char *text, struct netback_state *state);

#endif
