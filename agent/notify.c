/* SPDX-License-Identifier: GPL-2.0-or-later */
/* notify.c - see notify.h. */
#include "config.h"

#include "agent/notify.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

static struct event *watchdog; /* lives as long as the process */

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	sd_notify(0, "WATCHDOG=1");
}

void notify_ready(struct agent *agent)
{
	uint64_t usec = 0;

	sd_notifyf(0, "READY=1\nSTATUS=%s, hypervisor %s, gate %s", agent->conf.node_name,
		   agent->conf.hypervisor, agent->conf.gate);
	if (sd_watchdog_enabled(0, &usec) > 0 && usec) {
		struct timeval tv = { (time_t)(usec / 3 / 1000000), (suseconds_t)(usec / 3 % 1000000) };

		watchdog = event_new(agent->base, -1, EV_PERSIST, on_watchdog, NULL);
		if (watchdog)
			event_add(watchdog, &tv);
	}
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

#else

void notify_ready(struct agent *agent)
{
	(void)agent;
}

void notify_stopping(void)
{
}
#endif
