/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * member.h - the job's virtual machines, asked of the agents as root before the
 * job starts and after it has ended.
 *
 * On this host alone (HOST_PRE_EXEC runs on every host), or on all of the job's
 * from here (PRE_EXEC runs on the first one only): then by TCP, with MUNGE.
 */
#ifndef FM_LSF_MEMBER_H
#define FM_LSF_MEMBER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/conf.h"
#include "plugins/lsf/hosts.h"
#include "plugins/lsf/job.h"

struct lsf_member {
	struct fm_conf conf;
	struct lsf_job job;
	struct lsf_hosts hosts;
	char user[256]; /* LSFUSER, which sbatchd sets over what the environment had */
	uid_t uid;
	gid_t gid;
	unsigned starts; /* lsf_starts_read() */
	bool all_hosts;
	bool no_agent; /* what failed is that nobody answers: another host may do */
};

/*
 * conf: a path, or NULL for the site's; what the environment says of it is the user's, and not heard.
 * Everything but `all_hosts`, which is the caller's; opens the job's log.  Must be root.
 * FM_DENIED: it is not, or LSFUSER is not whose groups this process has.  Dispose in any case.
 */
int lsf_member_init(struct lsf_member *m, const char *program, const char *conf, struct fm_error *err);
void lsf_member_dispose(struct lsf_member *m);

/* Whatever an earlier start has left is removed first. Blocks until the group runs; a deferred one (LSB_RESTART) not. */
int lsf_member_create(struct lsf_member *m, struct fm_error *err);
/* Idempotent. */
int lsf_member_destroy(struct lsf_member *m, struct fm_error *err);

/* The whole of fermata-hostpre and fermata-hostpost: options, and whether the job is one of Fermata's. */
struct lsf_host_program {
	const char *name, *usage;
	int (*run)(struct lsf_member *m, struct fm_error *err);
	int for_good; /* exit code where no other host would do; 0: 1, as for all */
};
int lsf_host_main(const struct lsf_host_program *program, int argc, char **argv);

#endif
