/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cut_inject.c - see cut_inject.h. */
#include "config.h"

#include "agent/cut_inject.h"

#include <stdio.h>
#include <string.h>

#include "agent/hypervisor/sim.h"
#include "common/cleanup.h"
#include "common/io.h"

int cut_inject(const struct job *job, const char *role, const char *state, struct fm_error *err)
{
	const struct fm_conf *conf = &job->agent->conf;
	FM_AUTO_FREE char *dir = NULL;
	char slot[48];

	if (strcmp(conf->hypervisor, "sim"))
		return 0;
	snprintf(slot, sizeof(slot), "%s.%s", role, state);
	dir = fm_format("%s/sim", conf->run_dir);
	return dir ? sim_inject_in(dir, job->domain, slot, err) : 0;
}
