/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device.h - settings of a network device. All: 0, or -1 with errno. */
#ifndef FM_GATE_DEVICE_H
#define FM_GATE_DEVICE_H

/* Up, with room for so many frames in the device's own queue. */
int device_up(const char *name, int queue);

/*
 * A plain first-in first-out queue of so many frames in front of the device,
 * in place of what the system's default is: fq_codel, the usual one, drops
 * what waits for a guest that is slow for a tenth of a second.
 */
int device_fifo(unsigned ifindex, unsigned frames);

#endif
