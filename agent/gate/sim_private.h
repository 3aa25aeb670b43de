/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_private.h - between sim_net.c (the wires) and sim_link.c (the guests' ends). */
#ifndef FM_GATE_SIM_PRIVATE_H
#define FM_GATE_SIM_PRIVATE_H

#include <netinet/in.h>
#include <sys/types.h>
#include <time.h>

#include "sim_net.h"

#define SIM_WIRES_MAX 64

/* A frame on its way. */
struct sim_flying {
	struct sim_flying *next;
	uint64_t due_ns;
	size_t size;
	uint8_t frame[];
};

/* To one peer. */
struct sim_wire {
	struct sim_net *net;
	struct sockaddr_in to;
	unsigned delay_ms;
	bool drop_markers, drop_all;
	struct sim_flying *head, **tail;
	uint64_t last_due_ns;
	struct event *timer;
};

struct sim_net {
	struct event_base *base;
	char *dir, *path;
	ino_t ino; /* of the file that was read last */
	struct timespec mtime;
	bool complained;
	struct sockaddr_in listen;
	int fd;
	struct event *readable;
	struct sim_wire wires[SIM_WIRES_MAX];
	unsigned wire_count;
	struct sim_link *links;
};

struct sim_link {
	struct sim_link *next;
	struct sim_net *net;
	struct gate *gate;
	uint8_t mac[6];
	char *guest_path, *gate_path;
	int fd;
	struct event *readable, *retry;
	struct gate_queue waiting; /* for room at the guest */
};

#endif
