/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.h - where the runner listens: TCP for the shim and the other members, a unix socket for the user's programs. */
#ifndef FM_RUNNER_SERVER_H
#define FM_RUNNER_SERVER_H

#include "agent/runner/runner.h"

struct server;

/* On params.ip:params.port, and on the socket at runner->paths.socket (anyone may connect; who it is is asked). */
struct server *server_create(struct runner *runner, struct fm_error *err);
/* Takes NULL. Connections are left to the process's end. */
void server_destroy(struct server *server);

#endif
