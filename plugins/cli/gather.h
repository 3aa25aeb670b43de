/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gather.h - how far each member of a job is with its save, asked of their agents in the background.
 *
 * Only an agent knows its own member. Few threads ask them in turn, each at most every GATHER_MS, large groups less often. An agent that
 * does not answer costs its own time only, and nothing but its row.
 */
#ifndef FM_CLI_GATHER_H
#define FM_CLI_GATHER_H

#include <stdint.h>

#include "common/conf.h"
#include "plugins/cli/bars.h"

#define GATHER_MS 500

struct gather;

/* nodes: the job's, in the order of ranks (a hostlist). conf is used until gather_stop(). NULL: there is nobody to ask, or no memory. */
struct gather *gather_start(const struct fm_conf *conf, uint32_t job, const char *nodes);
size_t gather_count(const struct gather *g);
/* gather_count() of them, as last heard. */
void gather_copy(struct gather *g, struct bars_member *members_r);
/* Waits for calls under way, GATHER_CALL_MS at most. NULL is fine. */
#define GATHER_CALL_MS 3000L
void gather_stop(struct gather *g);

#endif
