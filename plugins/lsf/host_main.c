/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_main.c - what fermata-hostpre and fermata-hostpost have in common; see member.h. */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "plugins/lsf/member.h"
#include "plugins/lsf/process.h"

enum { A_ALWAYS = 256, A_ALL_HOSTS, A_CONF, A_HELP };

static const struct option names[] = {
	{ "always", no_argument, NULL, A_ALWAYS },
	{ "all-hosts", no_argument, NULL, A_ALL_HOSTS },
	{ "conf", required_argument, NULL, A_CONF },
	{ "help", no_argument, NULL, A_HELP },
	{ NULL, 0, NULL, 0 },
};

/* What failed for good fails on any host; an agent that is away, or has no room, does not. */
static int is_for_good(const struct lsf_member *m, enum fm_code code)
{
	if (m->no_agent)
		return 0;
	return code == FM_USAGE || code == FM_NOT_FOUND || code == FM_DENIED || code == FM_CORRUPT || code == FM_INCOMPATIBLE;
}

static int run(const struct lsf_host_program *program, const char *conf, int all_hosts)
{
	struct lsf_member m;
	struct fm_error err;
	int ready = lsf_member_init(&m, program->name, conf, &err) == 0, r;

	m.all_hosts = all_hosts;
	r = ready ? program->run(&m, &err) : -1;
	if (r) {
		lsf_failed(m.job.name, &err);
		syslog(LOG_ERR, "job %s: %s", *m.job.name ? m.job.name : "?", err.text); /* LSF throws stderr away */
		r = ready && program->for_good && is_for_good(&m, err.code) ? program->for_good : 1;
	}
	lsf_member_dispose(&m);
	return r;
}

int lsf_host_main(const struct lsf_host_program *program, int argc, char **argv)
{
	const char *marked = getenv("FERMATA_JOB"), *conf = NULL;
	int always = 0, all_hosts = 0, option;

	lsf_process_begin();
	openlog(program->name, LOG_PID, LOG_DAEMON);
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case A_ALWAYS: always = 1; break;
		case A_ALL_HOSTS: all_hosts = 1; break;
		case A_CONF: conf = optarg; break;
		case A_HELP: fputs(program->usage, stdout); return 0;
		default: fputs(program->usage, stderr); return FM_USAGE;
		}
	}
	if (optind < argc) {
		fputs(program->usage, stderr);
		return FM_USAGE;
	}
	if (!always && (!marked || strcmp(marked, "lsf")))
		return 0; /* a queue has other jobs, too */
	return run(program, conf, all_hosts);
}
