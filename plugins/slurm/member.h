/* SPDX-License-Identifier: GPL-2.0-or-later */
/* member.h - fermata-slurm's prolog and epilog: this node's member of a job. */
#ifndef FM_SLURM_MEMBER_H
#define FM_SLURM_MEMBER_H

#include <stdint.h>
#include <sys/types.h>

#include "common/conf.h"
#include "common/error.h"

/* As the plug-in hands it over; strings from the user's environment are not trusted. */
struct fm_member_request {
	uint32_t job;
	uid_t uid;
	const char *node;         /* this node's name */
	const char *nodes;        /* the job's, a hostlist */
	const char *image;        /* "" = the site's default */
	const char *restart_from; /* "" = none */
	const char *run;          /* where the marker is */
	unsigned restart_count;
	int64_t interval_s, keep, max_age_s;
};

/* Marks the job as Fermata's, then asks the local agent for the member; blocks until it runs. */
int fm_member_create(const struct fm_conf *conf, const struct fm_member_request *q, struct fm_error *err);

/* Idempotent. An agent that is being restarted is waited for. */
int fm_member_destroy(const struct fm_conf *conf, uint32_t job, const char *run, struct fm_error *err);

#endif
