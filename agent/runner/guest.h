/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - make the machine around the runner the job's: file systems, name,
 * network, user.  Each step takes what is already there as done, so an image
 * may bring its own init.
 */
#ifndef FM_RUNNER_GUEST_H
#define FM_RUNNER_GUEST_H

#include "agent/runner/params.h"

/* proc, sys, dev, pts, shm, run, tmp, cgroup2 and the links in /dev. Only as PID 1. */
int guest_mount(struct fm_error *err);

/* Host name, /etc/hosts, the user and groups in /etc/passwd and /etc/group, the home. */
int guest_identity(const struct params *params, struct fm_error *err);

/* lo, and the address on `interface`, which is waited for. */
int guest_network(const struct params *params, const char *interface, struct fm_error *err);

/* mkdir -p: folders above belong to root, the last one to uid:gid. One that exists is left as it is. */
int guest_make_dir(const char *path, uid_t uid, gid_t gid, struct fm_error *err);

/* End everything and switch the machine off; returns only on failure. */
void guest_power_off(void);

#endif
