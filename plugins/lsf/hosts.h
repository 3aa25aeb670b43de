/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hosts.h - the job's execution hosts in LSF's order: the first is rank 0. */
#ifndef FM_LSF_HOSTS_H
#define FM_LSF_HOSTS_H

#include <stddef.h>

#include "common/error.h"

#define LSF_HOSTS_MAX 4096

struct lsf_hosts {
	char **names;
	unsigned *slots; /* of each */
	size_t count;
};

/*
 * LSB_MCPU_HOSTS ("hA 2 hB 2 "), else LSB_HOSTS (a name a slot); each host once.
 * Names become those the agents have: where `self` is none of them but is the
 * first label of one, all are cut to their first label.  Dispose in any case.
 */
int lsf_hosts_read(struct lsf_hosts *hosts, const char *self, struct fm_error *err);
void lsf_hosts_dispose(struct lsf_hosts *hosts);
long lsf_hosts_rank(const struct lsf_hosts *hosts, const char *name); /* -1: none of them */

#endif
