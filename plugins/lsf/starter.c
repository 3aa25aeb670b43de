/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * starter.c - fermata-starter, for JOB_STARTER: the job's command runs in the
 * virtual machine of the job's first host.
 *
 * What it becomes, fermata-shim, stands for the command here: its output, its
 * signals, its end.  Before that it counts the start (lsf_starts_write()), which
 * makes the next one of this job id another incarnation, and tells a group that
 * waits for a restart nobody has asked for (a rerun) to begin anew.
 *
 * A queue may have other jobs, too: theirs runs here, as without a starter.
 *
 * --restarted is what erestart.fermata has LSF run: the command is in the restored
 * guest already, and is only attached to.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/io.h"
#include "plugins/lsf/agent.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/command.h"
#include "plugins/lsf/job.h"
#include "plugins/lsf/process.h"

#define SLACK_MS 30000
#define SHIM_ARGS 9 /* before the command's words */

static const char usage[] =
	"usage: fermata-starter [--always] COMMAND [ARGUMENT...]\n"
	"       fermata-starter --restarted\n"
	"\n"
	"Runs an LSF job's command in the job's virtual machine: for JOB_STARTER.\n"
	"\n"
	"  --always     every job's, not only those of bsub -a fermata\n"
	"  --restarted  it runs there already: attach to it\n"
	"  --help       this text\n";

/* Only where the restored guest has no such task. */
static const char too_early[] = "#!/bin/sh\n"
				"echo 'fermata: the checkpoint is of a moment before the command began: submit the job anew' >&2\n"
				"exit 1\n";

static int begin_anew(const struct fm_conf *conf, const struct lsf_job *job, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;

	if (!lsf_agent_restart(conf, job->number, "", lsf_now_ms() + conf->create_timeout_ms + SLACK_MS, &reply, err))
		return 0;
	return err->code == FM_USAGE ? 0 : -1; /* its group was not made to wait */
}

static void count_start(const struct lsf_job *job)
{
	struct fm_error err;

	if (*job->chkpnt_dir && lsf_starts_write(job->chkpnt_dir, lsf_starts_read(job->chkpnt_dir) + 1, &err))
		lsf_say("job %s: the start is not counted: %s", job->name, err.text);
}

/* A file the shim can read, whoever removes the one it came from. */
static int in_memory(const char *script, size_t size, struct fm_error *err)
{
	FM_AUTO_CLOSE int fd = memfd_create("fermata-job", 0);

	if (fd < 0 || fm_write_all(fd, script, size))
		return fm_fail(err, FM_FAILED, "the job's script: %s", strerror(errno));
	return fm_steal_fd(&fd);
}

static int become_shim(const struct lsf_job *job, const char *script, size_t size, char **words, struct fm_error *err)
{
	const char *other = getenv("FERMATA_SHIM"); /* for tests: another build's */
	const char *path = other ? other : FM_LIBEXECDIR "/fermata-shim";
	char number[16], file[32], *argv[COMMAND_WORDS_MAX + SHIM_ARGS + 1];
	const char *const begin[SHIM_ARGS] = { path, "--job", number, "--task", "batch", "--script", file, "--", NULL };
	int fd = in_memory(script, size, err);
	size_t n = 0;

	if (fd < 0)
		return -1;
	snprintf(number, sizeof number, "%" PRIu32, job->number);
	snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
	while (begin[n]) {
		argv[n] = (char *)(uintptr_t)begin[n];
		n++;
	}
	for (size_t i = 0; words[i]; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	execv(path, argv);
	return fm_fail(err, FM_FAILED, "%s: %s", path, strerror(errno));
}

/* As the job file would: a line is the shell's, words are a command's. */
static int run_here(char **argv, struct fm_error *err)
{
	char *line[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", argv[0], NULL };

	if (argv[1])
		execvp(argv[0], argv);
	else
		execv("/bin/sh", line);
	return fm_fail(err, FM_FAILED, "%s: %s", argv[1] ? argv[0] : "/bin/sh", strerror(errno));
}

static int start(char **argv, struct lsf_job *job, struct fm_error *err)
{
	static char name[] = "job";
	char *attached[] = { name, NULL };
	struct command command = { 0 };
	struct fm_conf conf = { 0 };
	int restarted = !strcmp(argv[0], "--restarted"), r = lsf_job_read(job, err);

	lsf_log_open("fermata-starter", job->chkpnt_dir);
	if (!r)
		r = fm_conf_load(&conf, NULL, err);
	if (!r && job->restart && !restarted)
		r = begin_anew(&conf, job, err);
	if (!r && !restarted)
		r = command_make(&command, argv, err);
	if (!r) {
		count_start(job);
		r = restarted ? become_shim(job, too_early, strlen(too_early), attached, err) :
				become_shim(job, command.script, command.size, command.words, err);
	}
	command_dispose(&command);
	fm_conf_dispose(&conf);
	return r;
}

int main(int argc, char **argv)
{
	const char *marked = getenv("FERMATA_JOB");
	int always = argc > 1 && !strcmp(argv[1], "--always");
	struct lsf_job job = { 0 };
	struct fm_error err;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	argv += 1 + always;
	if (!*argv) {
		fputs(usage, stderr);
		return FM_USAGE;
	}
	lsf_log_open("fermata-starter", "");
	if (!always && strcmp(argv[0], "--restarted") && (!marked || strcmp(marked, "lsf")))
		return run_here(argv, &err) ? lsf_failed("", &err) : 0;
	return start(argv, &job, &err) ? lsf_failed(job.name, &err) : 0;
}
