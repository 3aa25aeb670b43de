/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent.h - calls to this host's agent, by its unix socket: there the kernel says
 * who calls.  Times are CLOCK_MONOTONIC ms.
 */
#ifndef FM_LSF_AGENT_H
#define FM_LSF_AGENT_H

#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"
#include "common/json.h"

int64_t lsf_now_ms(void);

/* An agent that is being restarted is waited for, but not past `until`. reply_r as for fm_http_call(). */
int lsf_agent_call(const struct fm_conf *conf, const char *method, const char *path, struct json_object *body,
		   int64_t until, struct json_object **reply_r, struct fm_error *err);

/*
 * A snapshot of the job, whole, or why not.  One that is under way already is let
 * finish first.  At `until` FM_TIMEOUT: it goes on, and this does not wait for it.
 */
int lsf_agent_snapshot(const struct fm_conf *conf, uint32_t job, int64_t until, struct json_object **reply_r,
		       struct fm_error *err);

/*
 * Tell the deferred group what it restarts from ("": afresh) and wait until it
 * runs.  *reply_r: the job.  One that has been told, and runs, is an answer, too.
 */
int lsf_agent_restart(const struct fm_conf *conf, uint32_t job, const char *from, int64_t until,
		      struct json_object **reply_r, struct fm_error *err);

#endif
