/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device.h - settings and state of a network device. */
#ifndef FM_GATE_DEVICE_H
#define FM_GATE_DEVICE_H

#include <stdbool.h>

/* Up, with room for so many frames in the device's own queue. 0, or -1 with errno. */
int device_up(const char *name, int queue);

/*
 * A plain first-in first-out queue of so many frames in front of the device,
 * in place of what the system's default is: fq_codel, the usual one, drops
 * what waits for a guest that is slow for a tenth of a second.  0, or -1 with errno.
 */
int device_fifo(unsigned ifindex, unsigned frames);

/* gate_link_ready() of this vif. */
bool device_link_ready(const char *vif);

#endif
