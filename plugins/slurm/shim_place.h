/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shim_place.h - where the job's guest is, as this node's agent says; or a fixed place, for tests. */
#ifndef FM_SHIM_PLACE_H
#define FM_SHIM_PLACE_H

#include "agent/runner/protocol.h"
#include "common/conf.h"

struct shim_place {
	char address[64];
	unsigned port;
	uint8_t token[FM_TOKEN_SIZE];
};

enum shim_verdict {
	SHIM_HERE,   /* the place is known */
	SHIM_WAIT,   /* not now: err says why; ask again */
	SHIM_SILENT, /* the same, but nobody answers at all */
	SHIM_NEVER,  /* there is no guest, and there will be none: err is the reason for the user */
};

/* Ask the agent. A guest that is being made, restored or held is waited for by asking again. */
enum shim_verdict shim_place_find(struct shim_place *place, const struct fm_conf *conf, uint32_t job,
				  struct fm_error *err);
/* "ADDR:PORT" and the file that holds the token. */
int shim_place_fixed(struct shim_place *place, const char *where, const char *token_file, struct fm_error *err);

#endif
