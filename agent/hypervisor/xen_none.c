/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_none.c - stands for the Xen driver in a build --with-xen=no. */
#include "config.h"

#include "agent/hypervisor/hypervisor.h"

static struct hypervisor *none_open(const char *rundir, struct fm_error *err)
{
	fm_fail(err, FM_INCOMPATIBLE, "this Fermata was built without Xen");
	return NULL;
}

const struct hypervisor_ops xen_ops = { .name = "xen", .open = none_open };
