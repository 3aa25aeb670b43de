/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_map.h - what the kernel's programs (gate.bpf.c) and the agent (bpf.c) share.
 *
 * Three maps, pinned in /sys/fs/bpf/fermata, keyed by the vif's ifindex and the
 * direction.  `gate_conf` is written by the agent alone: no entry means open,
 * so that emptying it opens every gate.  `gate_live` is counted by the kernel
 * alone, but for `tap`.  `gate_back` says for a capture TAP where its frames came from.
 */
#ifndef FM_GATE_MAP_H
#define FM_GATE_MAP_H

#include <linux/types.h>

/* directions: enum gate_dir */
#define GATE_DIR_OUT 0 /* guest → bridge: the vif's ingress */
#define GATE_DIR_IN 1  /* bridge → guest: the vif's egress */

/* What makes a frame a marker (marker.h): ethertype and magic at this offset. */
#define GATE_MARKER_AT 12
#define GATE_MARKER_ETHERTYPE 0x88b5
#define GATE_MARKER_MAGIC 'f', 'm', '-', 'm', 'a', 'r', 'k', '\n'

struct gate_key {
	__u32 ifindex;
	__u32 dir;
};

#define GATE_CONF_SHUT 1
#define GATE_CONF_EASING 2

struct gate_conf {
	__u32 state;
	__u32 tap;         /* ifindex of the capture device */
	__u64 deadline_ns; /* CLOCK_MONOTONIC; past it frames pass. 0: never */
	/* easing: returned minus captured when nothing was on its way; frames pass while that is still so */
	__u64 offset;
};

/* The same layout without the kernel's lock type, which only BPF knows. */
#ifdef __bpf__
#define GATE_LOCK struct bpf_spin_lock
#else
#define GATE_LOCK struct { __u32 val; }
#endif

struct gate_live {
	GATE_LOCK lock;
	__u32 tap;      /* for markers: ifindex of the capture device, whether shut or open; the agent wrote it */
	__u64 captured; /* handed to the capture device */
	__u64 accepted; /* given back, taken by the vif */
	__u64 returned; /* given back, seen passing this gate */
	__u64 refused;  /* given back, vif full */
	__u64 gone;     /* given back, vif not there or down */
	__u64 leaked;   /* passed a shut gate: past the deadline, or the capture device gone */
};

#endif
