/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h - a gate without a kernel, for tests.
 *
 * Traffic comes from gate_sim_send(), or, for whole agents under test, from the
 * environment: FERMATA_GATE_SIM="frames=N,fail=SLOT,full=N,unready=N,leak=SIDE,network=DIR" makes each hold of
 * a direction capture N made-up frames (distinct, numbered), one SLOT (setup,
 * attach, out, in, mark) fail, the far side refuse the first N frames given back, and the link come up only when asked
 * for the N+1st time; a leaking SIDE (out, in) holds nothing, and does not say so.  With network, guests that are
 * processes talk through their gates and the network of sim_net.h.  Deadlines are kept as the kernel keeps them.
 */
#ifndef FM_GATE_SIM_H
#define FM_GATE_SIM_H

#include "gate.h"
#include "queue.h"

/* A frame from the guest (GATE_OUT) or for it. */
void gate_sim_send(struct gate *gate, enum gate_dir dir, const void *frame, size_t size);
/* Called with every frame that has passed the gate, in order. */
void gate_sim_receive(struct gate *gate,
		      void (*passed)(void *arg, enum gate_dir dir, const void *frame, size_t size), void *arg);

#endif
