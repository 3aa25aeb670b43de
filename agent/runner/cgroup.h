/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cgroup.h - one cgroup (v2) for the job, one below it for each task, so that
 * all of a task's processes, or all of the job's, can be reached at once
 * whatever sessions they made for themselves.
 *
 * Where there is no cgroup file system these do nothing.
 */
#ifndef FM_RUNNER_CGROUP_H
#define FM_RUNNER_CGROUP_H

#define CGROUP_JOB "/sys/fs/cgroup/fermata-job"

/* 0, or -1 where there are none. */
int cgroup_create(const char *name);
/* In the child, while still root. */
void cgroup_join(const char *name);
/* SIGKILL to all in it: 0, or -1 where the kernel cannot. */
int cgroup_kill(const char *name);
/* When nothing is left in it. */
void cgroup_remove(const char *name);

#endif
