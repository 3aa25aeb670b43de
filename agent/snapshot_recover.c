/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot_recover.c - snapshot.h: what becomes of a snapshot whose lead's agent died. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/snapshot.h"
#include "agent/store/store.h"
#include "agent/task.h"
#include "agent/tree.h"

#define ABORT_MS 60000

struct remains {
	struct agent *agent;
	struct fm_snapshot_id id;
};

static int discard_old(void *arg, struct json_object *result, struct task_blob *blob, struct fm_error *err)
{
	const struct remains *r = arg;

	(void)result, (void)blob;
	return store_discard(r->agent->conf.store_dir, &r->id, err);
}

/* Only now is it known how it ended: with its manifest written it is whole (FM_BUSY). */
static void on_old_discarded(struct json_object *result, const struct task_blob *blob,
			     const struct fm_error *error, void *arg)
{
	struct remains *r = arg;
	struct job *job = job_find(r->agent, r->id.job);
	struct fm_error err = { 0 };

	(void)result, (void)blob;
	if (!error || error->code != FM_BUSY)
		fm_fail(&err, FM_FAILED, "the lead's agent was restarted");
	if (error)
		fm_info("job=%u snapshot=%u.%u from before the restart stays: %s", r->id.job, r->id.job, r->id.n,
			error->text);
	if (job && job->cutting.n == r->id.n) {
		memmove(job->outcomes + 1, job->outcomes, (JOB_OUTCOMES - 1) * sizeof(job->outcomes[0]));
		job->outcomes[0] = (struct outcome){ .id = r->id, .error = err };
		job->last_error = err;
		job->cutting.n = 0;
		if (job_save(job, &err))
			fm_err("%s the record cannot be written: %s", job_tag(job), err.text);
	}
	free(r);
}

/* Its links broke with the agent, and every member aborted; this is for those whom that did not reach. */
static void on_aborted(const struct tree_answer *answer, void *arg)
{
	(void)arg;
	tree_end(answer->tree);
}

void snapshot_recover(struct job *job)
{
	struct remains *r;
	struct tree *tree;
	struct fm_error err;

	if (!job->cutting.n)
		return;
	tree = tree_create(job, &job->cutting, on_aborted, NULL, &err);
	if (tree)
		tree_order(tree, CUT_ABORT, tree_within_ms(tree, ABORT_MS), 0);
	r = calloc(1, sizeof(*r));
	if (!r)
		return; /* the next snapshot clears the folder */
	*r = (struct remains){ job->agent, job->cutting };
	if (!task_start(job->agent, discard_old, r, on_old_discarded, r, &err))
		on_old_discarded(NULL, NULL, &err, r);
}
