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

#define CGROUP_JOB "fermata-job"

/* Where the cgroups are, /sys/fs/cgroup if not said; the text is the caller's. */
void cgroup_set_root(const char *path);

/* 0, or -1 where there are none. */
int cgroup_create(const char *name);
/* In the child, while still root. */
void cgroup_join(const char *name);
/* SIGKILL to all in it: 0, or -1 where the kernel cannot. */
int cgroup_kill(const char *name);
/* When nothing is left in it. */
void cgroup_remove(const char *name);

/* The job's own: made if it is not there yet. 0, or -1. */
int cgroup_create_job(void);
/* Stop all of the job's processes where they are, or let them go on: 0, or -1. It takes effect later. */
int cgroup_freeze(int freeze);
/* A descriptor (or -1) that has EPOLLPRI when cgroup_is_frozen() may say something else than before. */
int cgroup_open_events(void);
/* 1: not one of its processes runs; 0; -1: cannot be read. */
int cgroup_is_frozen(int events);

#endif
