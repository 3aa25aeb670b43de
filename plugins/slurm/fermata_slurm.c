/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fermata_slurm.c - fermata-slurm, the plug-in's helper (see helper_run.h).
 *
 *	fermata-slurm [--conf=PATH] check --image=I --restart-from=S   "J.n members MiB vcpus"
 *	fermata-slurm [--conf=PATH] script S                           the script on stdout
 *	fermata-slurm [--conf=PATH] prolog --job=… --uid=… …           as root
 *	fermata-slurm [--conf=PATH] epilog --job=… --run=…             as root
 *
 * Errors: one line on stderr, enum fm_code as the exit code.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/error.h"
#include "plugins/slurm/compat.h"
#include "plugins/slurm/lookup.h"
#include "plugins/slurm/member.h"

struct arguments {
	const char *conf; /* NULL = default */
	const char *op;
	const char *snapshot;
	struct fm_member_request q;
};

enum { A_CONF = 256, A_JOB, A_UID, A_RUN, A_NODE, A_NODES, A_COUNT, A_IMAGE, A_RESTART, A_INTERVAL, A_KEEP, A_MAX_AGE };

static const struct option long_options[] = {
	{ "conf", required_argument, NULL, A_CONF },
	{ "job", required_argument, NULL, A_JOB },
	{ "uid", required_argument, NULL, A_UID },
	{ "run", required_argument, NULL, A_RUN },
	{ "node", required_argument, NULL, A_NODE },
	{ "nodes", required_argument, NULL, A_NODES },
	{ "restart-count", required_argument, NULL, A_COUNT },
	{ "image", required_argument, NULL, A_IMAGE },
	{ "restart-from", required_argument, NULL, A_RESTART },
	{ "interval", required_argument, NULL, A_INTERVAL },
	{ "keep", required_argument, NULL, A_KEEP },
	{ "max-age", required_argument, NULL, A_MAX_AGE },
	{ NULL, 0, NULL, 0 },
};

static int number(const char *text, int64_t max, int64_t *value_r)
{
	char *end;

	errno = 0;
	*value_r = strtoll(text, &end, 10);
	return end == text || *end || errno || *value_r < 0 || *value_r > max ? -1 : 0;
}

static int take_number(struct fm_member_request *q, int option, const char *text)
{
	int64_t value;

	if (number(text, option == A_INTERVAL || option == A_KEEP || option == A_MAX_AGE ? INT64_MAX : UINT32_MAX, &value))
		return -1;
	switch (option) {
	case A_JOB: q->job = (uint32_t)value; break;
	case A_UID: q->uid = (uid_t)value; break;
	case A_COUNT: q->restart_count = (unsigned)value; break;
	case A_INTERVAL: q->interval_s = value; break;
	case A_KEEP: q->keep = value; break;
	case A_MAX_AGE: q->max_age_s = value; break;
	default: return -1;
	}
	return 0;
}

static int parse(struct arguments *a, int argc, char **argv)
{
	int option;

	memset(a, 0, sizeof *a);
	a->q.node = a->q.nodes = a->q.image = a->q.restart_from = a->q.run = "";
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case A_CONF: a->conf = optarg; break;
		case A_RUN: a->q.run = optarg; break;
		case A_NODE: a->q.node = optarg; break;
		case A_NODES: a->q.nodes = optarg; break;
		case A_IMAGE: a->q.image = optarg; break;
		case A_RESTART: a->q.restart_from = optarg; break;
		default:
			if (option == '?' || take_number(&a->q, option, optarg))
				return -1;
		}
	}
	a->op = optind < argc ? argv[optind++] : "";
	a->snapshot = optind < argc ? argv[optind++] : "";
	return optind < argc ? -1 : 0;
}

static int op_check(const struct fm_conf *conf, const struct arguments *a, struct fm_error *err)
{
	struct fm_snapshot_needs needs;

	if (*a->q.image && fm_lookup_image(conf, a->q.image, err))
		return -1;
	if (!*a->q.restart_from)
		return 0;
	if (fm_lookup_snapshot(conf, a->q.restart_from, &needs, err))
		return -1;
	printf("%s %ld %ld %ld\n", needs.name, needs.members, needs.memory_mib, needs.vcpus);
	return 0;
}

static int op_script(const struct fm_conf *conf, const struct arguments *a, struct fm_error *err)
{
	FM_AUTO_FREE char *script = fm_lookup_script(conf, a->snapshot, err);

	if (!script)
		return -1;
	fputs(script, stdout);
	return 0;
}

static int op_prolog(const struct fm_conf *conf, const struct arguments *a, struct fm_error *err)
{
	struct fm_member_request q = a->q;

	if (!*q.node)
		q.node = conf->node_name;
	fm_compat_init();
	return fm_member_create(conf, &q, err);
}

static int op_epilog(const struct fm_conf *conf, const struct arguments *a, struct fm_error *err)
{
	return fm_member_destroy(conf, a->q.job, a->q.run, err);
}

static const struct {
	const char *name;
	int (*run)(const struct fm_conf *, const struct arguments *, struct fm_error *);
	int needs_job;
} ops[] = {
	{ "check", op_check, 0 },
	{ "script", op_script, 0 },
	{ "prolog", op_prolog, 1 },
	{ "epilog", op_epilog, 1 },
};

static int run(const struct arguments *a, struct fm_error *err)
{
	struct fm_conf conf;
	int r = -1;

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		if (strcmp(ops[i].name, a->op))
			continue;
		if (ops[i].needs_job && (!a->q.job || !*a->q.run))
			return fm_fail(err, FM_USAGE, "%s needs --job and --run", a->op);
		if (!fm_conf_load(&conf, a->conf, err))
			r = ops[i].run(&conf, a, err);
		fm_conf_dispose(&conf);
		return r;
	}
	return fm_fail(err, FM_USAGE, "no operation \"%s\": check, script, prolog, epilog", a->op);
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct fm_error err;

	if (parse(&a, argc, argv)) {
		fprintf(stderr, "fermata-slurm: bad arguments\n");
		return FM_USAGE;
	}
	if (run(&a, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	return fflush(stdout) ? FM_FAILED : 0;
}
