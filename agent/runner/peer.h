/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer.h - the way of a user's program in this guest to another member's
 * runner: the unix socket's connections.
 *
 * The program says RSH host; this runner connects there and proves the token,
 * which the program never sees, then carries frames both ways.
 */
#ifndef FM_RUNNER_PEER_H
#define FM_RUNNER_PEER_H

#include "agent/runner/runner.h"

/* A new connection of the unix socket; takes fd (closed on failure too). */
void peer_accept(struct runner *runner, int fd);

#endif
