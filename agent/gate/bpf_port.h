/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf_port.h - one vif's part of the eBPF gate: struct gate_driver's calls on a port. */
#ifndef FM_GATE_BPF_PORT_H
#define FM_GATE_BPF_PORT_H

#include "driver.h"
#include "gate_map.h"
#include "tap.h"

/* struct gate_system's state */
struct bpf_system {
	struct gate_bpf *skel;
	bool ours; /* pins and maps: nobody else uses them */
};

/* libbpf's last warning, for error texts; "" when there was none. */
const char *bpf_complaint(void);

void *bpf_port_attach(struct gate *gate, struct fm_error *err);
void bpf_port_detach(void *port);
int bpf_port_shut(void *port, enum gate_dir dir, uint64_t deadline_ns, struct fm_error *err);
unsigned bpf_port_fetch(void *port, enum gate_dir dir, struct gate_queue *queue, unsigned max);
void bpf_port_wait(void *port, int ms);
bool bpf_port_quiet(void *port, enum gate_dir dir);
enum gate_given bpf_port_give(void *port, enum gate_dir dir, const struct gate_frame *frame);
bool bpf_port_ease(void *port, enum gate_dir dir, uint64_t deadline_ns);
void bpf_port_open(void *port, enum gate_dir dir);
uint64_t bpf_port_lost(void *port);
uint64_t bpf_port_leaked(void *port);
bool bpf_port_link_ready(void *port);
int bpf_port_mark(void *port, const void *frame, size_t size, struct fm_error *err);

#endif
