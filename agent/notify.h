/* SPDX-License-Identifier: GPL-2.0-or-later */
/* notify.h - tell systemd how we are; nothing happens without it. */
#ifndef FM_NOTIFY_H
#define FM_NOTIFY_H

#include "agent/agent.h"

void notify_ready(struct agent *agent); /* and keeps its watchdog fed from the loop */
void notify_stopping(void);

#endif
