/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * erestart.c - erestart.fermata: LSF's restart method, run by sbatchd through
 * erestart on the job's first host, as the job's user, in the parent of the
 * checkpoint directory, after the pre-execution commands.
 *
 * Those have begun a group on the new hosts that waits to be told what it is
 * (deferred); this tells it, waits until it runs, and writes the command that
 * attaches to it to .restart_cmd.  It runs nothing itself.
 *
 * What it restarts from is the snapshot fermata.snapshot names.  Where that is
 * gone: a later one of the same job; an earlier one only with -f.  No file at
 * all with -f (LSF says that when a host has failed) means that there never was a
 * checkpoint: exit 0 without a command, and LSF starts the job anew.  Without -f, or
 * where a checkpoint there was cannot be had, it is an error: nine days of work
 * are not to begin again unasked.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/io.h"
#include "plugins/lsf/agent.h"
#include "plugins/lsf/checkpoint.h"
#include "plugins/lsf/job.h"
#include "plugins/lsf/process.h"

#define SLACK_MS 30000
#define ASK_MS 20000

static const char usage[] =
	"usage: erestart.fermata [-c] [-f] DIRECTORY\n"
	"\n"
	"LSF runs this, for jobs whose checkpoint method is fermata; restart one with brestart.\n";

struct arguments {
	const char *dir;
	int force;
};

static int parse(struct arguments *a, int argc, char **argv, struct fm_error *err)
{
	int c;

	*a = (struct arguments){ 0 };
	opterr = 0;
	while ((c = getopt(argc, argv, "cf")) != -1) {
		switch (c) {
		case 'c': break;
		case 'f': a->force = 1; break;
		default: return fm_fail(err, FM_USAGE, "unknown option");
		}
	}
	if (optind + 1 != argc)
		return fm_fail(err, FM_USAGE, "it takes one checkpoint directory");
	a->dir = argv[optind];
	return 0;
}

/* Is it whole? 0: *id_r says which; an id without n asks for the newest. */
static int look_up(const struct fm_conf *conf, const struct fm_snapshot_id *id, struct fm_snapshot_id *found_r,
		   struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	char name[24], path[64];

	fm_snapshot_id_format(id, name);
	snprintf(path, sizeof path, "/v1/snapshots/%s", name);
	if (lsf_agent_call(conf, "GET", path, NULL, lsf_now_ms() + ASK_MS, &reply, err))
		return -1;
	if (strcmp(fm_json_string_or(reply, "state", ""), "whole"))
		return fm_fail(err, FM_CORRUPT, "snapshot %s is not whole", name);
	return fm_snapshot_id_parse(fm_json_string_or(reply, "snapshot", ""), found_r, err);
}

/* The snapshot to restart from, where the one that was written down may be gone. */
static int choose(const struct arguments *a, const struct fm_conf *conf, const struct lsf_job *job,
		  const struct fm_snapshot_id *written, struct fm_snapshot_id *id_r, struct fm_error *err)
{
	const struct fm_snapshot_id newest = { .job = written->job };
	struct fm_error other;

	if (!look_up(conf, written, id_r, err))
		return 0;
	if (err->code != FM_NOT_FOUND && err->code != FM_CORRUPT)
		return -1;
	if (look_up(conf, &newest, id_r, &other))
		return fm_context(err, "snapshot %" PRIu32 ".%" PRIu32 " is not there, nor another of its job", written->job,
				  written->n);
	if (id_r->n < written->n && !a->force)
		return fm_context(err, "snapshot %" PRIu32 ".%" PRIu32 " is not there; the newest is %" PRIu32 ".%" PRIu32
				  ", which brestart -f takes", written->job, written->n, id_r->job, id_r->n);
	lsf_say("job %s: snapshot %" PRIu32 ".%" PRIu32 " is not there: %" PRIu32 ".%" PRIu32 " is taken, %s", job->name,
		written->job, written->n, id_r->job, id_r->n, id_r->n < written->n ? "which is OLDER" : "which is later");
	return 0;
}

static int write_command(const char *path, struct fm_error *err)
{
	/* exec: of a job of many lines LSF replaces the first one alone */
	static const char command[] = "LSB_RESTART_CMD=exec " FM_LIBEXECDIR "/fermata-starter --restarted\n";
	const char *other = getenv("FERMATA_STARTER"); /* for tests: another build's */
	FM_AUTO_FREE char *text = other ? fm_format("LSB_RESTART_CMD=exec %s --restarted\n", other) : strdup(command);

	return text ? fm_file_write(path, 0600, text, strlen(text), err) : fm_fail(err, FM_FAILED, "out of memory");
}

static int restart(const struct arguments *a, const struct lsf_job *job, const struct fm_conf *conf,
		   const char *command, struct fm_error *err)
{
	FM_AUTO_JSON struct json_object *reply = NULL;
	int64_t until = lsf_now_ms() + conf->create_timeout_ms + SLACK_MS;
	struct fm_snapshot_id written, id;
	char name[24];

	if (lsf_checkpoint_read(a->dir, &written, err)) {
		if (err->code != FM_NOT_FOUND)
			return -1;
		if (!a->force)
			return fm_fail(err, FM_NOT_FOUND, "there is no whole checkpoint in %s: brestart -f begins anew", a->dir);
		lsf_say("job %s: it has no checkpoint, and begins anew", job->name);
		return 0;
	}
	if (choose(a, conf, job, &written, &id, err))
		return -1;
	fm_snapshot_id_format(&id, name);
	if (lsf_agent_restart(conf, job->number, name, until, &reply, err))
		return fm_context(err, "restart from snapshot %s", name);
	if (strcmp(fm_json_string_or(reply, "restored_from", ""), name))
		return fm_fail(err, FM_FAILED, "its virtual machines are not those of snapshot %s, but %s", name,
			       fm_json_string_or(reply, "restored_from", "new ones"));
	if (write_command(command, err))
		return -1;
	lsf_say("job %s: goes on from snapshot %s", job->name, name);
	return 0;
}

int main(int argc, char **argv)
{
	FM_AUTO_FREE char *command = NULL;
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
	lsf_log_open("erestart.fermata", ""); /* until it is known where */
	r = lsf_job_read(&job, &err);
	lsf_log_open("erestart.fermata", job.chkpnt_dir);
	if (!r)
		r = parse(&a, argc, argv, &err);
	if (!r)
		r = lsf_checkpoint_dir(a.dir, &err);
	if (!r) {
		command = fm_format("%s/.restart_cmd", *job.chkpnt_dir ? job.chkpnt_dir : a.dir);
		if (command && unlink(command) && errno != ENOENT)
			r = fm_fail(&err, FM_FAILED, "%s, left by an earlier restart: %s", command, strerror(errno));
		r = command ? r : fm_fail(&err, FM_FAILED, "out of memory");
	}
	if (!r)
		r = fm_conf_load(&conf, NULL, &err);
	if (!r)
		r = restart(&a, &job, &conf, command, &err);
	fm_conf_dispose(&conf);
	return r ? lsf_failed(job.name, &err) : 0;
}
