/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * echkpnt.c - echkpnt.fermata: LSF's checkpoint method, run by sbatchd through
 * echkpnt on the job's first host, as the job's user, in the parent of the job's
 * checkpoint directory.
 *
 * Exit 0 says that a whole snapshot exists and that <dir>/fermata.snapshot names
 * it; nothing else is taken for that, here or by erestart.fermata.  LSF has no
 * deadline of its own and holds bkill back meanwhile: this has one.  LSF does not
 * end the job for -k: this does, after the file is on disk.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "plugins/lsf/agent.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/job.h"
#include "plugins/lsf/process.h"

#define TIMEOUT_ENV "FERMATA_CHKPNT_TIMEOUT" /* seconds */
#define TIMEOUT_DEFAULT_S 300
#define TIMEOUT_MAX_S 86400

static const char usage[] =
	"usage: echkpnt.fermata [-c] [-f] [-k | -s] [-x] -d DIRECTORY PROCESS_GROUP_ID\n"
	"\n"
	"LSF runs this, for jobs whose checkpoint method is fermata; ask for a checkpoint with bchkpnt.\n";

struct arguments {
	const char *dir;
	pid_t group;
	int kill, stop;
};

static int parse(struct arguments *a, int argc, char **argv, struct fm_error *err)
{
	long group;
	int c;

	*a = (struct arguments){ 0 };
	opterr = 0;
	while ((c = getopt(argc, argv, "cfksxd:")) != -1) {
		switch (c) {
		case 'c': /* files in use: the guests have their own */
		case 'f': /* nothing is refused that force would change */
		case 'x': break;
		case 'k': a->kill = 1; break;
		case 's': a->stop = 1; break;
		case 'd': a->dir = optarg; break;
		default: return fm_fail(err, FM_USAGE, "unknown option, or one without its value");
		}
	}
	if (!a->dir || optind + 1 != argc)
		return fm_fail(err, FM_USAGE, "it takes -d and a directory, and one process group");
	if (a->kill && a->stop)
		return fm_fail(err, FM_USAGE, "-k and -s exclude each other");
	if (lsf_number(argv[optind], 2, INT32_MAX, &group))
		return fm_fail(err, FM_USAGE, "\"%.32s\" is no process group", argv[optind]);
	a->group = (pid_t)group;
	return 0;
}

static int deadline(int64_t *until_r, struct fm_error *err)
{
	const char *text = getenv(TIMEOUT_ENV);
	long seconds = TIMEOUT_DEFAULT_S;

	if (text && *text && lsf_number(text, 1, TIMEOUT_MAX_S, &seconds))
		return fm_fail(err, FM_USAGE, TIMEOUT_ENV "=%.32s is not a number of seconds up to %d", text, TIMEOUT_MAX_S);
	*until_r = lsf_now_ms() + seconds * 1000;
	return 0;
}

/* The job's processes on this host stand for those in the guests, which its end takes along. */
static int end_job(const struct arguments *a, struct fm_error *err)
{
	int number = a->kill ? SIGKILL : SIGTSTP; /* a stop goes through to the guest, a SIGSTOP could not */

	if (!a->kill && !a->stop)
		return 0;
	if (kill(-a->group, number) && errno != ESRCH)
		return fm_fail(err, FM_FAILED, "process group %d cannot be %s: %s", (int)a->group,
			       a->kill ? "ended" : "stopped", strerror(errno));
	return 0;
}

static int checkpoint(const struct arguments *a, const struct lsf_job *job, const struct fm_conf *conf,
		      struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *snapshot = NULL;
	int64_t until = 0, began = lsf_now_ms();

	if (deadline(&until, err) || lsf_checkpoint_dir(a->dir, err) || lsf_checkpoint_clear(a->dir, err))
		return -1;
	if (lsf_agent_snapshot(conf, job->number, until, &snapshot, err) ||
	    lsf_checkpoint_write(a->dir, job, snapshot, err))
		return -1;
	lsf_say("job %s: snapshot %s is whole: %" PRId64 " bytes, %.1f s%s", job->name,
		fm_json_string_or(snapshot, "snapshot", "?"), fm_json_int_or(snapshot, "bytes", 0),
		(double)(lsf_now_ms() - began) / 1000, a->kill ? "; the job is ended" : a->stop ? "; the job is stopped" : "");
	return end_job(a, err);
}

int main(int argc, char **argv)
{
	struct lsf_job job = { 0 };
	struct fm_conf conf = { 0 };
	struct arguments a;
	struct fm_error err;
	int r;

	lsf_process_begin();
	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	lsf_log_open("echkpnt.fermata", ""); /* until it is known where */
	r = lsf_job_read(&job, &err);
	lsf_log_open("echkpnt.fermata", job.chkpnt_dir);
	if (!r)
		r = parse(&a, argc, argv, &err);
	if (!r)
		r = fm_conf_load(&conf, NULL, &err);
	if (!r)
		r = checkpoint(&a, &job, &conf, &err);
	fm_conf_dispose(&conf);
	return r ? lsf_failed(job.name, &err) : 0;
}
