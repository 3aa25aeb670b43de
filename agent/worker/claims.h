/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * claims.h - a save's questions to the owners of hashes (agent/claims.h has the protocol and why it is safe).
 *
 * A thread of its own asks; whoever wants to know waits wait_ms for it at most, then does without, for good: an owner
 * that is slow once is not waited for again. Nothing here fails.
 */
#ifndef FM_WORKER_CLAIMS_H
#define FM_WORKER_CLAIMS_H

#include "agent/store/pages/pages.h"
#include "common/json.h"

struct claims;

/* request: {snapshot, rank, port, wait_ms (all owners together), node_addr, munge_socket, owners:[node…]}; stays until the end. FM_USAGE, … */
struct claims *claims_create(struct json_object *request, struct fm_error *err);
/* For a writer of pages. */
const struct pages_claims *claims_calls(const struct claims *c);
/* Who waits for an answer waits no longer, now and later. From any thread; NULL is fine. */
void claims_cancel(struct claims *c);
void claims_destroy(struct claims *c); /* NULL is fine. A thread that hangs is left behind: the process ends soon. */

#endif
