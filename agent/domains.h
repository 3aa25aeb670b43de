/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domains.h - the worker's short operations on domains, for those who need only the result. */
#ifndef FM_DOMAINS_H
#define FM_DOMAINS_H

#include "agent/agent.h"

/* Called once, from the loop. result: what the worker said, an object that is not the callee's; NULL with error. */
typedef void (*domains_done)(struct agent *agent, struct json_object *result, const struct fm_error *error, void *arg);

/* result: {domains:[{name, domid, state, vifs:[…]}]} */
void domains_list(struct agent *agent, domains_done done, void *arg);
/* op "destroy" or "resume" (result: {was_suspended}). */
void domains_do(struct agent *agent, const char *op, const char *name, domains_done done, void *arg);

#endif
