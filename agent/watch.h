/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch.h - hears of guests that end by themselves: a worker that runs on, started again when it dies. */
#ifndef FM_WATCH_H
#define FM_WATCH_H

#include "agent/agent.h"

struct watch *watch_create(struct agent *agent, struct fm_error *err);
void watch_destroy(struct watch *watch); /* NULL is fine */

#endif
