/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim_inject.c - faults for the simulated domains, see sim.h. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/hypervisor/sim.h"
#include "common/cleanup.h"
#include "common/io.h"

#define INJECT_MAX ((size_t)64 << 10)
#define HOLD_LOOK_MS 5
#define HOLD_MAX_MS 120000 /* whoever holds it may have died */
#define HELD 1

/* In an agent a worker's end is a signal: it must not end the delay. */
static void stand_still(int ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static int act(const char *action, const char *slot, struct fm_error *err)
{
	if (strcmp(action, "kill") == 0) {
		kill(getpid(), SIGKILL);
	} else if (strcmp(action, "hold") == 0) {
		return HELD;
	} else if (strncmp(action, "delay:", 6) == 0) {
		stand_still(atoi(action + 6));
		return 0;
	} else if (strcmp(action, "fail") == 0) {
		return fm_fail(err, FM_FAILED, "injected failure at %s", slot);
	} else if (strncmp(action, "fail:", 5) == 0) {
		return fm_fail(err, FM_FAILED, "%s", action + 5);
	}
	return fm_fail(err, FM_USAGE, "sim: unknown injection \"%.64s\" at %s", action, slot);
}

static bool matches(char *key, const char *name, const char *slot)
{
	char *slash = strrchr(key, '/');

	if (slash) {
		*slash = '\0';
		if (strcmp(key, name) != 0)
			return false;
		key = slash + 1;
	}
	return strcmp(key, slot) == 0;
}

static int apply(char *entries, const char *name, const char *slot, struct fm_error *err)
{
	char *save = NULL;

	for (char *e = strtok_r(entries, ";\n", &save); e; e = strtok_r(NULL, ";\n", &save)) {
		char *equals = strchr(e, '=');

		if (!equals)
			return fm_fail(err, FM_USAGE, "sim: malformed injection \"%.64s\"", e);
		*equals = '\0';
		if (matches(e, name, slot))
			return act(equals + 1, slot, err);
	}
	return 0;
}

/* HELD: a hold is in force. */
static int look(const char *dir, const char *name, const char *slot, struct fm_error *err)
{
	const char *variable = getenv("FERMATA_SIM_INJECT");
	FM_AUTO_FREE char *path = fm_format("%s/inject", dir);
	FM_AUTO_FREE char *file = NULL;
	FM_AUTO_FREE char *copy = variable ? strdup(variable) : NULL;
	int r = copy ? apply(copy, name, slot, err) : 0;

	if (r != 0)
		return r;
	file = path ? fm_file_read(path, INJECT_MAX, NULL, err) : NULL;
	if (!file)
		return path && err->code == FM_NOT_FOUND ? 0 : -1;
	return apply(file, name, slot, err);
}

int sim_inject_in(const char *dir, const char *name, const char *slot, struct fm_error *err)
{
	int r, ms = 0;

	while ((r = look(dir, name, slot, err)) == HELD && ms < HOLD_MAX_MS) {
		stand_still(HOLD_LOOK_MS);
		ms += HOLD_LOOK_MS;
	}
	return r == HELD ? 0 : r;
}

int sim_inject(struct hypervisor *hv, const char *name, const char *slot, struct fm_error *err)
{
	return sim_inject_in(hv->dir, name, slot, err);
}
