/* SPDX-License-Identifier: GPL-2.0-or-later */
/* operations.h - what the worker does with a request, between agent, driver and store. */
#ifndef FM_WORKER_OPERATIONS_H
#define FM_WORKER_OPERATIONS_H

#include "agent/hypervisor/hypervisor.h"
#include "agent/worker/control.h"
#include "agent/worker/disks.h"
#include "agent/worker/request.h"

struct worker {
	struct control *control;
	const struct request *request;
	const struct hypervisor_ops *ops;
	struct hypervisor *hv;
	struct worker_disks *disks; /* the domain's */
};

/* Each returns 0 when it did what it was told (an abort too), having said so; -1
 * with the error that is to be told. */
int worker_run(struct worker *w, struct fm_error *err);

int operation_save(struct worker *w, struct fm_error *err);
int operation_copy(struct control *control, const struct request *request, struct fm_error *err); /* needs no driver */
int operation_restore(struct worker *w, struct fm_error *err);

/* A domain that was built waits for its orders: release, and then, when it was restored, thaw; anything else and it goes.
 * restored: what else is said of one that was, taken; NULL: it was created. */
int operation_hold_new(struct worker *w, const char *event, const struct domain_info *info, struct json_object *restored,
		       struct fm_error *err);

#endif
