/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint.c - see checkpoint.h; the grammar. */
#include "config.h"

#include "plugins/slurm/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/slurm/checkpoint_ops.h"
#include "plugins/slurm/slurm_job.h"

#define MAX_WAIT_S 86400

enum { TAKES_NOTHING = 0, TAKES_WAIT = 1, TAKES_STICK = 2, TAKES_DIR = 4 };

/* The order and the least letters are scontrol's: "re" is requeue, "d" disable. */
static const struct operation {
	const char *name;
	size_t least;
	int takes;
	fm_checkpoint_op *run;
} operations[] = {
	{ "able", 1, TAKES_NOTHING, fm_checkpoint_able },
	{ "disable", 1, TAKES_NOTHING, fm_checkpoint_disable },
	{ "enable", 2, TAKES_NOTHING, fm_checkpoint_enable },
	{ "create", 2, TAKES_WAIT | TAKES_DIR, fm_checkpoint_create },
	{ "requeue", 2, TAKES_WAIT | TAKES_DIR, fm_checkpoint_requeue },
	{ "vacate", 2, TAKES_WAIT | TAKES_DIR, fm_checkpoint_vacate },
	{ "restart", 2, TAKES_STICK | TAKES_DIR, fm_checkpoint_restart },
	{ "error", 2, TAKES_NOTHING, fm_checkpoint_error },
};

static const struct operation *operation_find(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
		size_t n = length > operations[i].least ? length : operations[i].least;

		if (!strncasecmp(word, operations[i].name, n))
			return &operations[i];
	}
	return NULL;
}

/* "12" or "12.3"; the step is the job's, and goes with it */
static int parse_job(const char *text, uint32_t *job_r, struct fm_error *err)
{
	unsigned long long job, step;
	char *end;

	errno = 0;
	job = strtoull(text, &end, 10);
	if (end != text && *end == '.') {
		const char *from = end + 1;

		step = strtoull(from, &end, 10);
		if (end == from || step > UINT32_MAX)
			end = (char *)"?";
	}
	if (!job || job > UINT32_MAX || *text < '0' || *text > '9' || errno || *end)
		return fm_fail(err, FM_USAGE, "Invalid job step name");
	*job_r = (uint32_t)job;
	return 0;
}

static int parse_wait(const char *text, int64_t *seconds_r)
{
	char *end;

	errno = 0;
	*seconds_r = strtoll(text, &end, 10);
	return end == text || *end || errno || *seconds_r < 0 || *seconds_r > MAX_WAIT_S ? -1 : 0;
}

/* MaxWait=s, ImageDir=dir, StickToNodes (abbreviable to five letters), as far as the operation takes them. */
static int parse_option(struct fm_checkpoint_request *q, int takes, const char *word, struct fm_error *err)
{
	if ((takes & TAKES_WAIT) && !strncasecmp(word, "MaxWait=", 8)) {
		if (!parse_wait(word + 8, &q->max_wait_s))
			return 0;
	} else if ((takes & TAKES_STICK) && strlen(word) >= 5 &&
		   !strncasecmp(word, "StickToNodes", strlen(word))) {
		q->stick = 1;
		return 0;
	} else if ((takes & TAKES_DIR) && !strncasecmp(word, "ImageDir=", 9)) {
		if (!q->front->quiet)
			fprintf(stderr, "scontrol: %s has no effect: snapshots lie in the site's store\n", word);
		return 0;
	}
	return fm_fail(err, FM_USAGE, "Invalid input: %s", word);
}

static int complain(const struct fm_front *front, const char *prefix, const char *text)
{
	if (!front->quiet)
		fprintf(stderr, "%s%s\n", prefix, text);
	return 1;
}

static int perform(const struct operation *op, struct fm_checkpoint_request *q)
{
	struct fm_error err;
	int r = -1;

	if (!fm_conf_load(&q->conf, NULL, &err) && !fm_slurm_init(q->front->cluster, &err))
		r = op->run(q, &err);
	fm_conf_dispose(&q->conf);
	return r ? complain(q->front, "scontrol_checkpoint error: ", err.text) : 0;
}

int fm_checkpoint(const struct fm_front *front, int argc, char **argv)
{
	struct fm_checkpoint_request q = { .front = front, .max_wait_s = -1 };
	const struct operation *op;
	struct fm_error err;

	if (argc > 5 || argc < 3) {
		fm_fail(&err, FM_USAGE, "too %s arguments for keyword:%s", argc > 5 ? "many" : "few", argv[0]);
		return complain(front, "", err.text);
	}
	if (parse_job(argv[2], &q.job, &err))
		return complain(front, "", err.text);
	op = operation_find(argv[1]);
	if (!op) {
		fm_fail(&err, FM_USAGE, "Invalid checkpoint operation: %s", argv[1]);
		return complain(front, "", err.text);
	}
	for (int i = 3; i < argc; i++)
		if (parse_option(&q, op->takes, argv[i], &err)) {
			complain(front, "scontrol: error: ", err.text);
			return complain(front, "scontrol: error: ", "Request aborted");
		}
	return perform(op, &q);
}
