/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connection.h - the server's side of one connection: first who it is, then a
 * request, then a task's streams until either side is done.
 */
#ifndef FM_RUNNER_CONNECTION_H
#define FM_RUNNER_CONNECTION_H

#include "agent/runner/runner.h"

/* A new TCP connection; takes fd (closed on failure too). */
void connection_accept(struct runner *runner, int fd);

#endif
