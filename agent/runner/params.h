/* SPDX-License-Identifier: GPL-2.0-or-later */
/* params.h - what the agent tells the guest: who it is, whose job, which peers. */
#ifndef FM_RUNNER_PARAMS_H
#define FM_RUNNER_PARAMS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/runner/protocol.h"
#include "common/error.h"

#define PARAMS_MAX (1024u * 1024)
#define PARAMS_MAX_NODES 4096
#define PARAMS_MAX_GIDS 1024

struct params_node {
	char *name;
	struct in_addr ip;
};

struct params {
	uint32_t job;
	unsigned rank;
	unsigned incarnation;
	uid_t uid;
	gid_t gid;
	gid_t *gids;
	size_t gid_count;
	char *user;
	char *home;
	struct params_node *nodes; /* by rank */
	size_t node_count;
	struct in_addr ip;
	unsigned prefix;
	uint16_t port;
	uint8_t token[FM_TOKEN_SIZE];
};

/* The JSON of HACKING's "Runner params"; every value is checked. Dispose in any case. */
int params_parse(struct params *params, const char *text, size_t size, struct fm_error *err);
/* From a file. */
int params_load(struct params *params, const char *path, struct fm_error *err);
void params_dispose(struct params *params);

/* The member called so: its name, its name up to a dot, its address; "localhost" is this one. NULL when none. */
const struct params_node *params_node(const struct params *params, const char *host);

#endif
