/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * serve.h - the process that gives other nodes' agents the files of this node's own disk, and takes theirs.
 *
 * A helper process of the agent with a port (LocalPort) and threads of its own: a slow disk or a fast network is not
 * the agent's. Every request carries a MUNGE credential of root's, bound to method, path, query and body. HTTP:
 *
 *	GET /v1/local/<job>/<what>/<name>?offset=&length=    what: pages, parity; at most REMOTE_PIECE
 *		200, the bytes; Fermata-Size: of the file; Fermata-SHA256: of the bytes
 *	PUT /v1/local/<job>/parity/<name>?offset=[&commit=1]  in order, one connection a file; at most REMOTE_PUT
 *
 * What is put has no name until it is committed, whole and durable; a connection that ends before leaves nothing.
 */
#ifndef FM_LOCAL_SERVE_H
#define FM_LOCAL_SERVE_H

#include "common/conf.h"
#include "common/error.h"

/* Until the process is killed; -1: it could not begin. */
int local_serve(const struct fm_conf *conf, struct fm_error *err);

#endif
