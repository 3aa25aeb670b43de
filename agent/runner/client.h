/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.h - reach a runner: connect, and prove the token both ways. Blocking, bounded in time. */
#ifndef FM_RUNNER_CLIENT_H
#define FM_RUNNER_CLIENT_H

#include "agent/runner/frames.h"

/* By TCP. FM_DENIED: one side does not hold the token; FM_NOT_FOUND: nobody answers there. */
int fm_client_connect(struct fm_frames *frames, const char *address, unsigned port,
		      const uint8_t token[FM_TOKEN_SIZE], long timeout_ms, struct fm_error *err);
/* By the unix socket inside the guest, on to the runner of `host`. */
int fm_client_connect_rsh(struct fm_frames *frames, const char *socket_path, const char *host, long timeout_ms,
			  struct fm_error *err);

#endif
