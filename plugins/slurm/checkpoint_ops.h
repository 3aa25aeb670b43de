/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint_ops.h - the operations of `scontrol checkpoint`, one function each. */
#ifndef FM_SLURM_CHECKPOINT_OPS_H
#define FM_SLURM_CHECKPOINT_OPS_H

#include <stdint.h>

#include "common/conf.h"
#include "common/error.h"
#include "plugins/slurm/checkpoint.h"

struct fm_checkpoint_request {
	const struct fm_front *front;
	struct fm_conf conf;
	uint32_t job;
	int64_t max_wait_s; /* -1 = as long as it takes */
	int stick;          /* StickToNodes */
};

/* 0, or -1 with the text that follows "scontrol_checkpoint error: ". */
typedef int fm_checkpoint_op(const struct fm_checkpoint_request *q, struct fm_error *err);

fm_checkpoint_op fm_checkpoint_able, fm_checkpoint_create, fm_checkpoint_vacate, fm_checkpoint_requeue,
	fm_checkpoint_restart, fm_checkpoint_disable, fm_checkpoint_enable, fm_checkpoint_error;

#endif
