/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_guest.h - a simulated domain with a process behind it, which sends and receives frames.
 *
 * Only where $FERMATA_SIM_GUEST names the program (tests/cluster/sim_guest.c); a
 * simulated domain is a mere file otherwise.  It runs
 *
 *	PROGRAM DOMAIN-FILE GATE-SOCKET MAC RANK MEMBERS
 *
 * with fd 3, a listening unix socket (<name>.ctl), and fd 4, a datagram socket
 * (<vif>.guest): a frame each, to and from GATE-SOCKET.  It begins stopped, and
 * ends when DOMAIN-FILE is gone.  Orders are lines on a connection to fd 3, each
 * answered by a line:
 *
 *	load JSON   this is your memory         {}
 *	run         go on                       {}
 *	stop        read what has reached you,  its memory, one JSON object
 *	            then stand still
 *	look        as it is, without a stop    the same
 *	quit        end                         {}
 *
 * The memory is part of the domain's stream: a restored guest goes on from it.
 */
#ifndef FM_SIM_GUEST_H
#define FM_SIM_GUEST_H

#include <stdbool.h>

#include "common/error.h"
#include "common/json.h"

struct hypervisor;
struct sim_domain;

/* Are domains made now to have a process? */
bool sim_guest_wanted(void);
/* d's names, ports and params are set; d->memory, if there is any, becomes its. It stands still. */
int sim_guest_start(struct hypervisor *hv, struct sim_domain *d, struct fm_error *err);
/* memory_r may be NULL; else the caller puts it. */
int sim_guest_order(struct hypervisor *hv, const char *name, const char *order, struct json_object **memory_r,
		    struct fm_error *err);
/* It ends, whatever state it is in; its sockets go. */
void sim_guest_end(struct hypervisor *hv, const struct sim_domain *d);

#endif
