/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hypervisor.c - the table of drivers, and what all of them need. */
#include "config.h"

#include "agent/hypervisor/hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

static const struct hypervisor_ops *const drivers[] = { &xen_ops, &sim_ops };

const struct hypervisor_ops *hypervisor_find(const char *name, struct fm_error *err)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	fm_fail(err, FM_USAGE, "no hypervisor driver \"%.32s\"", name);
	return NULL;
}

bool domain_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t length = strlen(name), prefix = strlen(DOMAIN_NAME_PREFIX);

	return length > prefix && length < DOMAIN_NAME_SIZE &&
	       strncmp(name, DOMAIN_NAME_PREFIX, prefix) == 0 && strspn(name, allowed) == length;
}

const char *domain_state_name(enum domain_state state)
{
	switch (state) {
	case DOMAIN_RUNNING:
		return "running";
	case DOMAIN_PAUSED:
		return "paused";
	case DOMAIN_SUSPENDED:
		return "suspended";
	case DOMAIN_DEAD:
		return "dead";
	case DOMAIN_DYING:
		return "dying";
	}
	return "unknown";
}

const char *domain_death_name(enum domain_death death)
{
	switch (death) {
	case DEATH_NONE:
		return "none";
	case DEATH_POWEROFF:
		return "poweroff";
	case DEATH_REBOOT:
		return "reboot";
	case DEATH_CRASH:
		return "crash";
	case DEATH_WATCHDOG:
		return "watchdog";
	case DEATH_GONE:
		return "gone";
	}
	return "unknown";
}

int64_t hypervisor_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int domain_lock(const char *rundir, const char *name, int wait_ms, struct fm_error *err)
{
	FM_AUTO_FREE char *path = fm_format("%s/%s.lock", rundir, name);
	FM_AUTO_CLOSE int fd = -1;

	if (!path)
		return fm_fail(err, FM_FAILED, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
	/* flock has no time-out that needs neither a signal nor a thread: ask again. */
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += 20) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
		if (waited >= wait_ms)
			return fm_fail(err, FM_BUSY, "another operation on domain %s is under way", name);
		poll(NULL, 0, 20);
	}
	return fm_steal_fd(&fd);
}
